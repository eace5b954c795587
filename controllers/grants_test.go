package controllers

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/ostiary/ostiary/internal/compile"
)

// knownVersions is a discovery that has ReferenceGrant in some versions, or fails.
type knownVersions struct {
	versions map[string]bool
	fail     error
}

func (k *knownVersions) ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	has, ok := k.versions[groupVersion]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: grantGroup}, groupVersion)
	}
	list := &metav1.APIResourceList{GroupVersion: groupVersion, APIResources: []metav1.APIResource{{Kind: "Gateway"}}}
	if has {
		list.APIResources = append(list.APIResources, metav1.APIResource{Kind: grantKind})
	}
	return list, nil
}

func TestReferenceGrantsAreFollowedWhereTheyAreKnown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		before, after knownVersions
		want          string
		wantErr       bool
	}{
		"nowhere":                        {want: ""},
		"v1":                             {after: knownVersions{versions: map[string]bool{grantGroup + "/v1": true}}, want: "v1"},
		"v1 before v1beta1":              {after: knownVersions{versions: map[string]bool{grantGroup + "/v1": true, grantGroup + "/v1beta1": true}}, want: "v1"},
		"v1 of the group without grants": {after: knownVersions{versions: map[string]bool{grantGroup + "/v1": false, grantGroup + "/v1beta1": true}}, want: "v1beta1"},
		"they appear":                    {before: knownVersions{}, after: knownVersions{versions: map[string]bool{grantGroup + "/v1beta1": true}}, want: "v1beta1"},
		"they are replaced":              {before: knownVersions{versions: map[string]bool{grantGroup + "/v1beta1": true}}, after: knownVersions{versions: map[string]bool{grantGroup + "/v1": true}}, want: "v1"},
		"they disappear":                 {before: knownVersions{versions: map[string]bool{grantGroup + "/v1": true}}, want: ""},
		"an API server that can't be asked": {
			before: knownVersions{versions: map[string]bool{grantGroup + "/v1": true}}, after: knownVersions{fail: errTimeout}, want: "v1", wantErr: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, err := newScheme()
			if err != nil {
				t.Fatal(err)
			}
			informers := &informertest.FakeInformers{Scheme: scheme, InformersByGVK: map[schema.GroupVersionKind]toolscache.SharedIndexInformer{}}
			for _, version := range []string{"v1", "v1beta1"} {
				informers.InformersByGVK[schema.GroupVersionKind{Group: grantGroup, Version: version, Kind: grantKind}] = &controllertest.FakeInformer{}
			}
			g := newGrantWatcher(informers, &test.before, func() {}, slog.New(slog.DiscardHandler))
			if err := g.recheck(t.Context()); err != nil {
				t.Fatal(err)
			}
			g.discovery = &test.after
			if err := g.recheck(t.Context()); (err != nil) != test.wantErr {
				t.Errorf("recheck() = %v", err)
			}
			if got := g.watching.Version; got != test.want {
				t.Errorf("following version %q, want %q", got, test.want)
			}
		})
	}
}

func TestAGrantIsPairs(t *testing.T) {
	t.Parallel()
	spec := &gatewayv1.ReferenceGrantSpec{
		From: []gatewayv1.ReferenceGrantFrom{
			{Group: "ostiary.dev", Kind: "ServiceEndpoint", Namespace: "shop"},
			{Group: "ostiary.dev", Kind: "ServiceEndpoint", Namespace: "club"},
		},
		To: []gatewayv1.ReferenceGrantTo{{Kind: "Service"}, {Kind: "Service", Name: ptr.To(gatewayv1.ObjectName("orders"))}},
	}
	pair := func(from, name string) compile.Grant {
		return compile.Grant{
			Namespace: "back", FromGroup: "ostiary.dev", FromKind: "ServiceEndpoint", FromNamespace: from, ToKind: "Service", ToName: name,
		}
	}
	want := []compile.Grant{pair("shop", ""), pair("shop", "orders"), pair("club", ""), pair("club", "orders")}
	if diff := cmp.Diff(want, flattenGrant("back", spec)); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	if got := flattenGrant("back", &gatewayv1.ReferenceGrantSpec{From: spec.From}); len(got) > 0 {
		t.Errorf("a grant to nothing gives %v", got)
	}
}

func TestGathererLeavesOutTheProcess(t *testing.T) {
	t.Parallel()
	families, err := Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); len(name) < 4 || name[:3] == "go_" || name[:4] == "proc" {
			t.Errorf("%s is in the process's own registry", name)
		}
	}
}

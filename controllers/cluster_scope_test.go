package controllers

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// TestTheGeneratedPermissionsSuffice runs a replica with the permissions that are shipped and no others, over namespaces
// that are selected by a label, which needs most of them.
func TestTheGeneratedPermissionsSuffice(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.permit("ostiary-" + b.namespace)
	b.label("selected")
	r := b.start("one", func(o *Options) {
		o.WatchNamespaces = nil
		o.NamespaceSelector = "ostiary.dev/test=" + b.namespace
	})
	b.ready(r)
	pipeline, credential := b.pipeline("orders", "/", jwtPolicy(), terminatePolicy()), b.credential("acme", "acme", "acme-key")
	for _, object := range []client.Object{pipeline, b.secret("acme-key", "a"), b.consumer("acme"), credential} {
		b.create(object)
	}
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	waitForKey(b, r, "acme", "a", "the key")
	b.eventually(func() string { // Events and the Lease are written too
		var events eventsv1.EventList
		if err := b.client.List(t.Context(), &events, client.InNamespace(b.namespace)); err != nil {
			return err.Error()
		}
		for i := range events.Items {
			if events.Items[i].Regarding.Name == "orders" && events.Items[i].Reason == "Programmed" {
				return ""
			}
		}
		return fmt.Sprintf("no Event says that the Pipeline is programmed, among %d", len(events.Items))
	})
	if err := b.client.Get(t.Context(), b.name("ostiary-replica-one"), &coordinationv1.Lease{}); err != nil {
		t.Error(err)
	}

	// Taking the label off takes everything of the namespace out of service.
	b.label("deselected")
	waitForKey(b, r, "acme", "a", "no entry")
	b.eventually(func() string {
		if got := r.publisher.Status().Pipelines; got != 0 {
			return fmt.Sprintf("%d Pipelines are served", got)
		}
		return ""
	})
	b.label("selected")
	waitForKey(b, r, "acme", "a", "the key")
}

// label puts the namespace in or out of what its own selector selects.
func (b *testbed) label(how string) {
	b.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
	edit(b, namespace, func(n *corev1.Namespace) {
		value := b.namespace
		if how != "selected" {
			value = how
		}
		n.Labels["ostiary.dev/test"] = value
	})
}

// permit makes the testbed's replicas a user who has the permissions in config/rbac alone.
func (b *testbed) permit(user string) {
	b.t.Helper()
	data, err := os.ReadFile("../config/rbac/role.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	documents := yaml.NewYAMLToJSONDecoder(bytes.NewReader(data))
	roles := 0
	for {
		var object unstructured.Unstructured
		if err := documents.Decode(&object); err != nil {
			break // the end, or rubbish, of which the count tells
		}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: object.GetKind(), Name: user}
		object.SetName(user)
		switch object.GetKind() {
		case "ClusterRole":
			b.create(&object)
			binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: subjects, RoleRef: ref}
			b.create(binding)
		case "Role":
			object.SetNamespace(b.namespace)
			b.create(&object)
			b.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: user}, Subjects: subjects, RoleRef: ref})
		default:
			b.t.Fatalf("config/rbac/role.yaml has a %s", object.GetKind())
		}
		roles++
	}
	if roles != 2 {
		b.t.Fatalf("config/rbac/role.yaml has %d roles, want a ClusterRole and a Role", roles)
	}
	b.become(user)
}

func TestAMissingPermissionIsSaid(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.become("nobody-" + b.namespace)
	r := b.start("one")
	b.eventually(func() string {
		if err := r.runner.Ready(); err == nil || !strings.Contains(err.Error(), "forbidden") {
			return fmt.Sprintf("Ready() = %v, want what is forbidden", err)
		}
		return ""
	})
}

func TestFaultsAreEvents(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.start("one")
	endpoint := b.serviceEndpoint("orders", "nowhere")
	b.create(endpoint)
	condition := b.waitFor(endpoint, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonServiceNotFound)
	if !strings.Contains(condition.Message, "nowhere") {
		t.Errorf("message %q does not name the Service", condition.Message)
	}
	b.eventually(func() string {
		var events eventsv1.EventList
		if err := b.client.List(t.Context(), &events, client.InNamespace(b.namespace)); err != nil {
			return err.Error()
		}
		for i := range events.Items {
			e := &events.Items[i]
			if e.Regarding.Name == "orders" && e.Reason == string(v1alpha1.ReasonServiceNotFound) && e.Type == corev1.EventTypeWarning {
				return ""
			}
		}
		return fmt.Sprintf("no warning among %d Events", len(events.Items))
	})
	b.create(b.service("nowhere"))
	b.waitFor(endpoint, v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
}

func TestTheOldestCredentialOfAKeyIDWins(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	first, second := b.credential("first", "acme", "first-key"), b.credential("second", "acme", "second-key")
	first.Spec.KeyID, second.Spec.KeyID = "shared", "shared"
	for _, object := range []client.Object{b.consumer("acme"), b.secret("first-key", "a"), b.secret("second-key", "b"), first} {
		b.create(object)
	}
	waitForKey(b, r, "shared", "a", "the key")
	b.create(second) // of the same second perhaps: then the name decides, and says the same
	b.waitFor(second, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonConflicted)
	waitForKey(b, r, "shared", "a", "the key")
	b.delete(first)
	b.waitFor(second, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	waitForKey(b, r, "shared", "b", "the key")
}

// referenceGrants is the CRD of the Gateway API as far as grants are read.
func referenceGrants() *apiextensionsv1.CustomResourceDefinition {
	schema := &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
		Type: "object", XPreserveUnknownFields: ptr.To(true),
	}}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "referencegrants." + grantGroup,
			Annotations: map[string]string{"api-approved.kubernetes.io": "unapproved, for tests"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: grantGroup, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "referencegrants", Singular: "referencegrant", Kind: grantKind, ListKind: grantKind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{
				{Name: "v1beta1", Served: true, Storage: true, Schema: schema},
			},
		},
	}
}

func TestReferenceGrantsPermitReferencesAcrossNamespaces(t *testing.T) {
	t.Parallel()
	b, other := newTestbed(t), newTestbed(t)
	// Its coming and going is noticed by the other tests' replicas too, and means nothing to them.
	if _, err := envtest.InstallCRDs(b.cfg, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{referenceGrants()}}); err != nil {
		t.Fatal(err)
	}
	r := b.start("one", func(o *Options) { o.WatchNamespaces = []string{b.namespace, other.namespace} })
	b.ready(r)
	endpoint := b.serviceEndpoint("orders", "orders")
	endpoint.Spec.BackendRefs[0].Namespace = &other.namespace
	other.create(other.service("orders"))
	b.create(endpoint)
	b.waitFor(endpoint, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)

	grant := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": grantGroup + "/v1beta1", "kind": grantKind,
		"metadata": map[string]any{"namespace": other.namespace, "name": "orders"},
		"spec": map[string]any{
			"from": []any{map[string]any{"group": v1alpha1.GroupName, "kind": "ServiceEndpoint", "namespace": b.namespace}},
			"to":   []any{map[string]any{"group": "", "kind": "Service", "name": "orders"}},
		},
	}}
	b.create(grant)
	b.waitFor(endpoint, v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	b.delete(grant)
	b.waitFor(endpoint, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)
}

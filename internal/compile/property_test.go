package compile_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// The universe of the properties is small, so that objects collide often.
func hosts() []string {
	return []string{"", "a.example.com", "b.example.com", "*.example.com", "B.example.com", "bad host"}
}

func paths() []v1alpha1.PathMatch {
	return []v1alpha1.PathMatch{
		{Value: "/"},
		{Value: "/orders"},
		{Value: "/orders/"},
		{Value: "/orders/new"},
		{Type: v1alpha1.PathMatchExact, Value: "/orders"},
		{Type: v1alpha1.PathMatchExact, Value: "/a//b"},
		{Type: v1alpha1.PathMatchRegularExpression, Value: "/orders/[a-z]+"},
		{Type: v1alpha1.PathMatchRegularExpression, Value: "/orders.*"},
		{Type: v1alpha1.PathMatchRegularExpression, Value: "/orders/("},
		{Type: "Glob", Value: "/orders/*"},
	}
}

func drawMeta(t *rapid.T, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:         rapid.SampledFrom([]string{"shop", "store"}).Draw(t, "namespace"),
		Name:              name,
		CreationTimestamp: metav1.NewTime(time.Unix(rapid.Int64Range(0, 3).Draw(t, "created"), 0)),
		Generation:        1,
	}
}

func drawSome[T any](t *rapid.T, label string, from []T, most int) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, label)
}

func drawPipeline(t *rapid.T, i int) *v1alpha1.Pipeline {
	p := &v1alpha1.Pipeline{ObjectMeta: drawMeta(t, fmt.Sprintf("p%d", i))}
	for j := range rapid.IntRange(1, 2).Draw(t, "endpoints") {
		endpoint := v1alpha1.APIEndpoint{
			Name:    fmt.Sprintf("e%d", j),
			Paths:   drawSome(t, "paths", paths(), 3),
			Methods: drawSome(t, "methods", []string{"GET", "POST", "G T"}, 2),
		}
		for _, host := range drawSome(t, "hosts", hosts(), 2) {
			if host != "" {
				endpoint.Hosts = append(endpoint.Hosts, host)
			}
		}
		if rapid.Bool().Draw(t, "headers") {
			endpoint.Headers = []v1alpha1.HeaderMatch{{Name: "X-A", Value: "1"}}
		}
		p.Spec.APIEndpoints = append(p.Spec.APIEndpoints, endpoint)
	}
	if rapid.Bool().Draw(t, "tls") {
		p.Spec.TLS = []v1alpha1.PipelineTLS{{
			Hosts:      drawSome(t, "tls hosts", hosts()[1:], 2),
			SecretName: rapid.SampledFrom([]string{"s0", "s1", "gone"}).Draw(t, "secret"),
		}}
	}
	if rapid.Bool().Draw(t, "protected") {
		p.Spec.Policies = append(p.Spec.Policies, drawJWT(t))
		if rapid.Bool().Draw(t, "acl") {
			p.Spec.Policies = append(p.Spec.Policies, v1alpha1.Policy{Name: "acl", Type: v1alpha1.PolicyACL, ACL: &v1alpha1.ACLPolicy{
				AllowGroups: drawSome(t, "allowed groups", []string{"a", "b"}, 2),
				DenyGroups:  []string{"c"},
			}})
		}
	}
	if rapid.Bool().Draw(t, "terminate") {
		p.Spec.Policies = append(p.Spec.Policies, v1alpha1.Policy{
			Name: "answer", Type: v1alpha1.PolicyTerminate, Terminate: &v1alpha1.TerminatePolicy{StatusCode: 200},
		})
	} else {
		name := rapid.SampledFrom([]string{"e0", "e1", "gone"}).Draw(t, "endpoint")
		p.Spec.Policies = append(p.Spec.Policies, v1alpha1.Policy{
			Name: "backend", Type: v1alpha1.PolicyProxy,
			Proxy: &v1alpha1.ProxyPolicy{ServiceEndpointRef: v1alpha1.LocalObjectReference{Name: name}},
		})
	}
	return p
}

func drawJWT(t *rapid.T) v1alpha1.Policy {
	policy := v1alpha1.Policy{Name: "auth", Type: v1alpha1.PolicyJWT, JWT: &v1alpha1.JWTPolicy{
		Audiences: drawSome(t, "audiences", []string{"a", "b"}, 2),
	}}
	if rapid.Bool().Draw(t, "selector") {
		policy.JWT.Credentials = &v1alpha1.JWTCredentials{Selector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"tier": "a", "region": "b"},
			MatchExpressions: []metav1.LabelSelectorRequirement{{
				Key: "stage", Operator: metav1.LabelSelectorOpIn, Values: []string{"z", "y"},
			}},
		}}
	}
	return policy
}

func drawSnapshot(t *rapid.T) compile.Snapshot {
	s := compile.Snapshot{
		Options: compile.Options{
			Classes:       compile.ClassesAll,
			HostOwnership: rapid.SampledFrom([]compile.HostOwnership{compile.HostOwnershipNamespace, compile.HostOwnershipShared}).Draw(t, "ownership"),
		},
		Secrets: map[routing.ObjectKey]compile.Secret{},
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "pipelines") {
		s.Pipelines = append(s.Pipelines, drawPipeline(t, i))
	}
	for _, namespace := range []string{"shop", "store"} {
		s.ServiceEndpoints = append(s.ServiceEndpoints,
			&v1alpha1.ServiceEndpoint{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "e0"},
				Spec: v1alpha1.ServiceEndpointSpec{BackendRefs: []v1alpha1.BackendRef{
					{Name: "svc", Port: 80}, {Name: "svc", Namespace: new("store"), Port: 80},
				}},
			},
			&v1alpha1.ServiceEndpoint{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "e1"},
				Spec:       v1alpha1.ServiceEndpointSpec{URLs: []string{"https://a.example.com"}},
			})
		s.Services = append(s.Services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "svc"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		})
		s.Secrets[routing.ObjectKey{Namespace: namespace, Name: "s0"}] = compile.Secret{Data: map[string]compile.SecretBytes{
			"tls.crt": compile.SecretBytes("junk"), "tls.key": compile.SecretBytes("junk"),
		}}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "consumers") {
		s.Consumers = append(s.Consumers, &v1alpha1.Consumer{
			ObjectMeta: drawMeta(t, fmt.Sprintf("c%d", i)),
			Spec:       v1alpha1.ConsumerSpec{Username: rapid.SampledFrom([]string{"", "acme"}).Draw(t, "username")},
		})
	}
	s.IngressClasses = []*networkingv1.IngressClass{{ObjectMeta: metav1.ObjectMeta{Name: "ostiary"}}}
	if rapid.Bool().Draw(t, "grant") {
		s.Grants = append(s.Grants, compile.Grant{
			Namespace: "shop", FromGroup: v1alpha1.GroupName, FromKind: "Pipeline", FromNamespace: "store",
			ToGroup: v1alpha1.GroupName, ToKind: "Pipeline",
		})
	}
	return s
}

// cloneSnapshot is a copy that shares nothing.
func cloneSnapshot(s compile.Snapshot) compile.Snapshot {
	c := compile.Snapshot{Options: s.Options, Grants: slices.Clone(s.Grants), Secrets: map[routing.ObjectKey]compile.Secret{}}
	for _, o := range s.Pipelines {
		c.Pipelines = append(c.Pipelines, o.DeepCopy())
	}
	for _, o := range s.ServiceEndpoints {
		c.ServiceEndpoints = append(c.ServiceEndpoints, o.DeepCopy())
	}
	for _, o := range s.Consumers {
		c.Consumers = append(c.Consumers, o.DeepCopy())
	}
	for _, o := range s.Services {
		c.Services = append(c.Services, o.DeepCopy())
	}
	for _, o := range s.IngressClasses {
		c.IngressClasses = append(c.IngressClasses, o.DeepCopy())
	}
	for key, secret := range s.Secrets {
		data := map[string]compile.SecretBytes{}
		for name, value := range secret.Data {
			data[name] = slices.Clone(value)
		}
		c.Secrets[key] = compile.Secret{Type: secret.Type, Data: data}
	}
	return c
}

func shuffle[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func TestCompileDoesNotDependOnTheOrderOfObjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		config, report := compile.Compile(s)
		r := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		for _, swap := range []func(){
			func() { shuffle(r, s.Pipelines) },
			func() { shuffle(r, s.ServiceEndpoints) },
			func() { shuffle(r, s.Consumers) },
			func() { shuffle(r, s.Services) },
			func() { shuffle(r, s.IngressClasses) },
			func() { shuffle(r, s.Grants) },
		} {
			swap()
		}
		again, reportAgain := compile.Compile(s)
		if diff := cmp.Diff(config, again); diff != "" {
			t.Fatalf("Config depends on the order (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(report, reportAgain); diff != "" {
			t.Fatalf("Report depends on the order (-want +got):\n%s", diff)
		}
	})
}

func TestCompileChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		before := cloneSnapshot(s)
		config, _ := compile.Compile(s)
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatalf("Compile changed its input (-want +got):\n%s", diff)
		}
		// Nor does the Config share memory with it: what changes the one leaves the other alone.
		scribble(&config)
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatalf("the Config shares memory with the input (-want +got):\n%s", diff)
		}
	})
}

// scribble overwrites every list of strings and bytes in a Config.
func scribble(c *routing.Config) {
	overwrite := func(lists ...[]string) {
		for _, list := range lists {
			for i := range list {
				list[i] = "scribbled"
			}
		}
	}
	for i := range c.Pipelines {
		for _, m := range c.Pipelines[i].Matches {
			overwrite(m.Methods, m.Scopes)
		}
		for _, acl := range c.Pipelines[i].ACLs {
			overwrite(acl.AllowGroups, acl.DenyGroups)
		}
		if jwt := c.Pipelines[i].JWT; jwt != nil {
			overwrite(jwt.Audiences, jwt.RequiredScopes, jwt.TokenTypes, jwt.RequiredClaims)
			for _, rule := range jwt.ClaimRules {
				overwrite(rule.Values)
			}
			for _, requirement := range jwt.Selector {
				overwrite(requirement.Values)
			}
		}
	}
	for _, certificate := range c.Certificates {
		overwrite(certificate.Hosts)
		clear(certificate.Chain)
		clear(certificate.Key)
	}
}

// Every Pipeline of ours has a verdict, and what the verdict says of serving is what the Config does.
func TestReportAndConfigAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		config, report := compile.Compile(s)
		if len(report.Pipelines) != len(s.Pipelines) || len(report.Consumers) != len(s.Consumers) ||
			len(report.ServiceEndpoints) != len(s.ServiceEndpoints) {
			t.Fatal("an object has no verdict")
		}
		served := map[routing.ObjectKey]compile.Serving{}
		for _, p := range config.Pipelines {
			if len(p.Matches) == 0 {
				t.Fatalf("%v has no matches", p.Key)
			}
			served[p.Key] = compile.ServingAll
			if p.Broken != "" {
				served[p.Key] = compile.ServingBroken
				if p.JWT != nil || p.ACLs != nil || p.Proxy != nil || p.Terminate != nil {
					t.Fatalf("%v is broken and has something to serve", p.Key)
				}
			} else if (p.Proxy == nil) == (p.Terminate == nil) {
				t.Fatalf("%v has not exactly one answer", p.Key)
			}
		}
		upstreams := map[routing.ObjectKey]bool{}
		for _, u := range config.Upstreams {
			upstreams[u.Key] = true
		}
		for _, p := range config.Pipelines {
			if p.Proxy != nil && !upstreams[p.Proxy.Upstream] {
				t.Fatalf("%v forwards to an upstream that is not there", p.Key)
			}
		}
		for key, verdict := range report.Pipelines {
			if verdict.Serving != served[key] {
				t.Fatalf("%v: the verdict says %d, the Config does %d", key, verdict.Serving, served[key])
			}
			checkVerdict(t, verdict)
		}
	})
}

func checkVerdict(t *rapid.T, v compile.Verdict) {
	if !slices.IsSortedFunc(v.Conditions, func(a, b compile.Condition) int { return strings.Compare(string(a.Type), string(b.Type)) }) {
		t.Fatal("conditions are not sorted by type")
	}
	for _, c := range v.Conditions {
		if c.Message == "" || len(c.Message) > 4096 {
			t.Fatalf("%s has a message of %d bytes", c.Type, len(c.Message))
		}
		if c.Type == v1alpha1.ConditionAccepted && c.Status == metav1.ConditionTrue && v.Serving != compile.ServingAll {
			t.Fatal("accepted, and not served")
		}
		if c.Type == v1alpha1.ConditionAccepted && c.Status != metav1.ConditionTrue && v.Serving == compile.ServingAll {
			t.Fatal("served, and not accepted")
		}
	}
	if (v.Serving == compile.ServingBroken) != (v.Broken != "") {
		t.Fatal("broken without saying why")
	}
}

package compile_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// breakage damages a protected Pipeline, or what it needs, as a mistake or a newer version of the API would.
type breakage struct {
	name string
	do   func(s *compile.Snapshot, p *v1alpha1.Pipeline)
	// ofPaths marks breakage of paths. What stands in for a path can't come before an older match of the very path that
	// it came before by its methods or headers alone, so these are left out.
	ofPaths bool
}

func breakages() []breakage {
	jwt := func(do func(*v1alpha1.JWTPolicy)) func(*compile.Snapshot, *v1alpha1.Pipeline) {
		return func(_ *compile.Snapshot, p *v1alpha1.Pipeline) { do(p.Spec.Policies[0].JWT) }
	}
	endpoint := func(do func(*v1alpha1.APIEndpoint)) func(*compile.Snapshot, *v1alpha1.Pipeline) {
		return func(_ *compile.Snapshot, p *v1alpha1.Pipeline) {
			for i := range p.Spec.APIEndpoints {
				do(&p.Spec.APIEndpoints[i])
			}
		}
	}
	return []breakage{
		{name: "the selector has an unknown operator", do: jwt(func(j *v1alpha1.JWTPolicy) {
			j.Credentials = &v1alpha1.JWTCredentials{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Equals"}}}}
		})},
		{name: "the selector has a key that is none", do: jwt(func(j *v1alpha1.JWTPolicy) {
			j.Credentials = &v1alpha1.JWTCredentials{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"not a key": "x"}}}
		})},
		{name: "the mode is unknown", do: jwt(func(j *v1alpha1.JWTPolicy) { j.Mode = "Never" })},
		{name: "the enforcement is unknown", do: jwt(func(j *v1alpha1.JWTPolicy) { j.Enforcement = "Sometimes" })},
		{name: "the lookup is unknown", do: jwt(func(j *v1alpha1.JWTPolicy) {
			j.Credentials = &v1alpha1.JWTCredentials{Lookup: &v1alpha1.CredentialLookup{Type: "Body", Name: "x"}}
		})},
		{name: "the token source is unknown", do: jwt(func(j *v1alpha1.JWTPolicy) { j.TokenSources = []v1alpha1.TokenSource{{Type: "FormBody", Name: "x"}} })},
		{name: "the audience policy is unknown", do: jwt(func(j *v1alpha1.JWTPolicy) { j.AudienceMatchPolicy = "All" })},
		{name: "the token limit is negative", do: jwt(func(j *v1alpha1.JWTPolicy) { j.MaxTokenBytes = new(int32(-1)) })},
		{name: "the policy type is unknown", do: func(_ *compile.Snapshot, p *v1alpha1.Pipeline) { p.Spec.Policies[0].Type = "OIDC" }},
		{name: "the policy has lost its member", do: func(_ *compile.Snapshot, p *v1alpha1.Pipeline) { p.Spec.Policies[0].JWT = nil }},
		{name: "the policy has another's member", do: func(_ *compile.Snapshot, p *v1alpha1.Pipeline) {
			p.Spec.Policies[0].Type = v1alpha1.PolicyTerminate
		}},
		{name: "the answer is gone", do: func(_ *compile.Snapshot, p *v1alpha1.Pipeline) { p.Spec.Policies = p.Spec.Policies[:1] }},
		{name: "insecure is unknown", do: func(_ *compile.Snapshot, p *v1alpha1.Pipeline) { p.Spec.Insecure = "Sometimes" }},
		{name: "its paths are of an unknown type", ofPaths: true, do: endpoint(func(e *v1alpha1.APIEndpoint) {
			if len(e.Paths) == 0 {
				e.Paths = []v1alpha1.PathMatch{{Value: "/"}}
			}
			for i := range e.Paths {
				e.Paths[i].Type = "Glob"
			}
		})},
		{name: "its expressions don't close a bracket", ofPaths: true, do: endpoint(func(e *v1alpha1.APIEndpoint) {
			for i := range e.Paths {
				if e.Paths[i].Type == v1alpha1.PathMatchRegularExpression {
					e.Paths[i].Value += "("
				}
			}
		})},
		{name: "its paths are not canonical", ofPaths: true, do: endpoint(func(e *v1alpha1.APIEndpoint) {
			for i := range e.Paths {
				if e.Paths[i].Type == "" || e.Paths[i].Type == v1alpha1.PathMatchExact {
					e.Paths[i].Value = "/x/.." + e.Paths[i].Value
				}
			}
		})},
		{name: "its headers are of an unknown type", do: endpoint(func(e *v1alpha1.APIEndpoint) {
			for i := range e.Headers {
				e.Headers[i].Type = "Prefix"
			}
		})},
		{name: "every Secret is gone", do: func(s *compile.Snapshot, _ *v1alpha1.Pipeline) { clear(s.Secrets) }},
		{name: "every ServiceEndpoint is gone", do: func(s *compile.Snapshot, _ *v1alpha1.Pipeline) { s.ServiceEndpoints = nil }},
		{name: "every Service is gone", do: func(s *compile.Snapshot, _ *v1alpha1.Pipeline) { s.Services = nil }},
		{name: "every Consumer is gone", do: func(s *compile.Snapshot, _ *v1alpha1.Pipeline) { s.Consumers = nil }},
	}
}

// probe is a request.
type probe struct {
	host, path, method string
	headers            map[string]string
}

func (p probe) String() string { return fmt.Sprintf("%s %s%s %v", p.method, p.host, p.path, p.headers) }

func probes() []probe {
	var all []probe
	for _, host := range []string{"a.example.com", "b.example.com", "c.example.com", "other.test"} {
		for _, path := range []string{"/", "/orders", "/orders/", "/orders/new", "/orders/x1", "/a/b", "/ordersx"} {
			for _, method := range []string{"GET", "POST", "PUT"} {
				for _, headers := range []map[string]string{nil, {"x-a": "1"}} {
					all = append(all, probe{host, path, method, headers})
				}
			}
		}
	}
	return all
}

// Whatever breaks, no request that needed a token, or was closed, is served without one.
func TestBreakingNeverOpensARoute(t *testing.T) {
	for _, b := range breakages() {
		t.Run(b.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := drawSnapshot(t)
				if b.ofPaths {
					dropMethodsAndHeaders(s.Pipelines)
				}
				var protectedPipelines []*v1alpha1.Pipeline
				for _, p := range s.Pipelines {
					if p.Spec.Policies[0].Type == v1alpha1.PolicyJWT {
						protectedPipelines = append(protectedPipelines, p)
					}
				}
				if len(protectedPipelines) == 0 {
					t.Skip("nothing is protected")
				}
				before := build(t, s)
				b.do(&s, rapid.SampledFrom(protectedPipelines).Draw(t, "broken"))
				after := build(t, s)
				for _, p := range probes() {
					was := lookup(before, p.host, p.path, p.method, p.headers)
					is := lookup(after, p.host, p.path, p.method, p.headers)
					if (was == protected || was == closed) && is == open {
						t.Fatalf("%s was %q and is open", p, was)
					}
				}
			})
		})
	}
}

func build(t *rapid.T, s compile.Snapshot) *routing.Table {
	cfg, _ := compile.Compile(s)
	table, problems := routing.Build(cfg)
	if len(problems) > 0 {
		t.Fatalf("the router finds problems in what was compiled: %v", problems)
	}
	return table
}

func dropMethodsAndHeaders(pipelines []*v1alpha1.Pipeline) {
	for _, p := range pipelines {
		for i := range p.Spec.APIEndpoints {
			p.Spec.APIEndpoints[i].Methods, p.Spec.APIEndpoints[i].Headers = nil, nil
		}
	}
}

package filesource

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

const servicesYAML = `apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: orders, namespace: shop}
spec: {backendRefs: [{name: orders, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: proxied, namespace: shop}
spec:
  apiEndpoints:
  - name: public
    paths: [{type: PathPrefix, value: /proxied}]
  policies:
  - name: auth
    type: JWT
    jwt: {audiences: [orders]}
  - name: backend
    type: Proxy
    proxy: {serviceEndpointRef: {name: orders}}
`

func check(t *testing.T, manifests ...string) Outcome {
	t.Helper()
	world, findings := loadText(t, strings.Join(manifests, "---\n"))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return Check(world)
}

func TestCheck(t *testing.T) {
	o := check(t, pipelineYAML, servicesYAML, consumerYAML, credentialYAML, secretYAML)
	if len(o.Findings) > 0 {
		t.Errorf("findings: %v", o.Findings)
	}
	if len(o.Config.Pipelines) != 2 || len(o.Config.Upstreams) != 1 {
		t.Errorf("%d pipelines, %d upstreams", len(o.Config.Pipelines), len(o.Config.Upstreams))
	}
	if len(o.Entries) != 1 || len(o.Entries[0].Keys) != 1 || o.Entries[0].Consumer.UID != string(UID("Consumer", "shop", "acme")) {
		t.Errorf("entries: %+v", o.Entries)
	}
	want := map[routing.ObjectKey]map[int32][]netip.AddrPort{
		{Namespace: "shop", Name: "orders"}: {80: {netip.MustParseAddrPort("127.0.0.1:8080")}},
	}
	if diff := cmp.Diff(want, o.Endpoints, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	for _, verdicts := range []int{len(o.Report.Pipelines), len(o.Report.ServiceEndpoints), len(o.Report.Consumers), len(o.Credentials)} {
		if verdicts == 0 {
			t.Errorf("verdicts are missing: %+v", o.Report)
		}
	}
}

func TestCheckTellsWhereVerdictsAreBad(t *testing.T) {
	o := check(t,
		strings.Replace(pipelineYAML, "type: PathPrefix, value: /orders", "type: RegularExpression, value: '/orders('", 1),
		strings.Replace(servicesYAML, "{name: orders, port: 80}", "{name: orders, port: 81}", 1),
		consumerYAML,
		credentialYAML,
	)
	want := []string{
		"(standard input):1: error: Pipeline shop/orders: Invalid: spec.apiEndpoints[0].paths[0].value: ",
		"(standard input):13: warning: ServiceEndpoint shop/orders: ServiceNotFound: ",
		"(standard input):50: warning: JWTCredential shop/acme: NoUsableKey: ",
		"(standard input):50: warning: JWTCredential shop/acme: SecretNotFound: ",
	}
	var got []string
	for i, f := range o.Findings {
		line := f.String()
		if i < len(want) && strings.HasPrefix(line, want[i]) {
			line = want[i]
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(o.Findings[0].Message, "; its requests are answered 503") {
		t.Errorf("the first finding does not say that the Pipeline is broken: %s", o.Findings[0].Message)
	}
	if !HasErrors(o.Findings) || HasErrors(o.Findings[1:]) {
		t.Error("only the first finding is an error")
	}
}

// recorder is a Target that remembers what it was told.
type recorder struct {
	told []string
	err  error
}

func (r *recorder) tell(format string, args ...any) {
	r.told = append(r.told, fmt.Sprintf(format, args...))
}

func (r *recorder) SetIdentities(all []keyring.Identity) {
	for _, i := range all {
		r.tell("identity %s %s", i.Claim, i.Value)
	}
}

func (r *recorder) SetCredential(e *keyring.Entry) {
	r.tell("set credential %s %s", e.Key.Name, e.Audiences)
}

func (r *recorder) DeleteCredential(key routing.ObjectKey) { r.tell("delete credential %s", key.Name) }

func (r *recorder) SetEndpoints(service routing.ObjectKey, ports map[int32][]netip.AddrPort) {
	r.tell("set endpoints %s %v", service.Name, ports)
}

func (r *recorder) DeleteEndpoints(service routing.ObjectKey) {
	r.tell("delete endpoints %s", service.Name)
}

func (r *recorder) Publish(cfg routing.Config) error {
	r.tell("publish %d pipelines", len(cfg.Pipelines))
	return r.err
}

func TestApply(t *testing.T) {
	r := &recorder{}
	a := NewApplier(r)
	steps := []struct {
		name      string
		manifests []string
		err       error
		want      []string
	}{
		{
			name: "at first everything is new", manifests: []string{pipelineYAML, servicesYAML, consumerYAML, credentialYAML, secretYAML},
			want: []string{"set credential acme [orders]", "set endpoints orders map[80:[127.0.0.1:8080]]", "publish 2 pipelines"},
		},
		{
			name: "what did not change is not told again", manifests: []string{pipelineYAML, servicesYAML, consumerYAML, credentialYAML, secretYAML},
			want: []string{"publish 2 pipelines"},
		},
		{
			name:      "changes are told",
			manifests: []string{strings.Replace(servicesYAML, "8080", "8081", 1), consumerYAML, strings.Replace(credentialYAML, "[orders]", "[other]", 1), secretYAML},
			want:      []string{"set credential acme [other]", "set endpoints orders map[80:[127.0.0.1:8081]]", "publish 1 pipelines"},
		},
		{
			name: "a new key is a change", err: errors.New("no table"),
			manifests: []string{
				strings.Replace(servicesYAML, "8080", "8081", 1), consumerYAML,
				strings.Replace(credentialYAML, "[orders]", "[other]", 1), strings.Replace(secretYAML, "Zk3v", "Ab9z", 1),
			},
			want: []string{"set credential acme [other]", "publish 1 pipelines"},
		},
		{
			name: "a new window is a change",
			manifests: []string{
				strings.Replace(servicesYAML, "8080", "8081", 1), consumerYAML,
				strings.Replace(strings.Replace(credentialYAML, "[orders]", "[other]", 1), "- name: current\n", "- name: current\n    notAfter: \"2030-01-01T00:00:00Z\"\n", 1),
				strings.Replace(secretYAML, "Zk3v", "Ab9z", 1),
			},
			want: []string{"set credential acme [other]", "publish 1 pipelines"},
		},
		{
			name: "revocations come first, unused endpoints go last", manifests: []string{pipelineYAML},
			want: []string{"delete credential acme", "publish 1 pipelines", "delete endpoints orders"},
		},
	}
	for _, step := range steps {
		r.told, r.err = nil, step.err
		if err := a.Apply(check(t, step.manifests...)); !errors.Is(err, step.err) {
			t.Errorf("%s: error %v, want %v", step.name, err, step.err)
		}
		if diff := cmp.Diff(step.want, r.told); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestFollowRetainsReplacedKeys follows a Secret through the life of a key.
func TestFollowRetainsReplacedKeys(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	another := strings.Replace(secretYAML, "Zk3v", "Ab9z", 1)
	cutting := strings.Replace(credentialYAML, "spec:\n", "spec:\n  rotation: {overlap: 0s}\n", 1)
	history := rotation.NewHistory()
	for _, step := range []struct {
		name      string
		manifests []string
		after     time.Duration
		ends      []time.Duration // of the credential's keys; 0: never
	}{
		{"at first", []string{consumerYAML, credentialYAML, secretYAML}, 0, []time.Duration{0}},
		{"replaced", []string{consumerYAML, credentialYAML, another}, time.Hour, []time.Duration{0, 25 * time.Hour}},
		{"later", []string{consumerYAML, credentialYAML, another}, 2 * time.Hour, []time.Duration{0, 25 * time.Hour}},
		{"without overlap", []string{consumerYAML, cutting, another}, 3 * time.Hour, []time.Duration{0}},
		{"with overlap again", []string{consumerYAML, credentialYAML, another}, 4 * time.Hour, []time.Duration{0}},
		{"replaced again", []string{consumerYAML, credentialYAML, secretYAML}, 5 * time.Hour, []time.Duration{0, 29 * time.Hour}},
		{"without the Secret", []string{consumerYAML, credentialYAML}, 6 * time.Hour, []time.Duration{}},
		{"with the Secret again", []string{consumerYAML, credentialYAML, another}, 7 * time.Hour, []time.Duration{0}},
		{"without the credential", []string{consumerYAML, secretYAML}, 8 * time.Hour, nil},
		{"with the credential again", []string{consumerYAML, credentialYAML, secretYAML}, 9 * time.Hour, []time.Duration{0}},
	} {
		world, findings, err := Load([]string{"-"}, strings.NewReader(strings.Join(step.manifests, "---\n")))
		if err != nil || len(findings) > 0 {
			t.Fatal(err, findings)
		}
		var ends []time.Duration
		for _, entry := range Follow(world, history, start.Add(step.after)).Entries {
			ends = []time.Duration{}
			for _, key := range entry.Keys {
				end := time.Duration(0)
				if !key.NotAfter.IsZero() {
					end = key.NotAfter.Sub(start)
				}
				ends = append(ends, end)
			}
		}
		if diff := cmp.Diff(step.ends, ends); diff != "" {
			t.Errorf("%s: ends of keys (-want +got):\n%s", step.name, diff)
		}
	}
}

// The samples of the repository are valid; what they lack are Secrets and Services.
func TestSamplesAreAccepted(t *testing.T) {
	samples := filepath.Join("..", "..", "config", "samples")
	if _, err := os.Stat(samples); err != nil {
		t.Fatal(err)
	}
	world, findings, err := Load([]string{samples}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) > 0 || world.Len() == 0 {
		t.Errorf("%d objects, findings %v", world.Len(), findings)
	}
	outcome := Check(world)
	if i := slices.IndexFunc(outcome.Findings, func(f Finding) bool { return f.Severity == SeverityError }); i >= 0 {
		t.Errorf("finding %v", outcome.Findings[i])
	}
}

// Package chart tests the Helm chart with Helm itself.
package chart

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/config/crd"
)

var update = flag.Bool("update", false, "write the golden files")

const root = "../.."

func TestChart(t *testing.T) {
	t.Parallel()
	helm := helmPath(t)
	t.Run("golden", func(t *testing.T) { t.Parallel(); testGolden(t, helm) })
	t.Run("lint", func(t *testing.T) { t.Parallel(); testLint(t, helm) })
	t.Run("refused values", func(t *testing.T) { t.Parallel(); testRefused(t, helm) })
	t.Run("values in README.md", func(t *testing.T) { t.Parallel(); testReadme(t, helm) })
	t.Run("CRDs", func(t *testing.T) { t.Parallel(); testCRDs(t, helm) })
	t.Run("permissions", func(t *testing.T) { t.Parallel(); testPermissions(t, helm) })
	t.Run("notes", func(t *testing.T) { t.Parallel(); testNotes(t, helm) })
}

// Each folder of testdata has values.yaml and golden.yaml, what Helm makes of them. CRDs are left out of the golden files:
// they are generated, and have a test of their own.
func testGolden(t *testing.T, helm string) {
	t.Helper()
	cases, err := filepath.Glob("testdata/*/values.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, values := range cases {
		dir := filepath.Dir(values)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			for _, document := range documents(render(t, helm, values)) {
				if !strings.Contains(document, "\nkind: CustomResourceDefinition\n") {
					got.WriteString("---\n" + document)
				}
			}
			golden := filepath.Join(dir, "golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("rendered (-want +got; go test ./charts/ostiary -update writes it):\n%s", diff)
			}
		})
	}
}

func testLint(t *testing.T, helm string) {
	t.Helper()
	cases, err := filepath.Glob("testdata/*/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range cases {
		if out, err := run(t, helm, "lint", "--strict", "--values", values, "."); err != nil {
			t.Errorf("%s: %v\n%s", values, err, out)
		}
	}
}

func testRefused(t *testing.T, helm string) {
	t.Helper()
	cases := map[string]struct {
		values    string
		wantError string
	}{
		"a value that doesn't exist":                    {"replicas: 3", "additional properties 'replicas' not allowed"},
		"a nested value that doesn't exist":             {"controller: {loglevel: debug}", "additional properties 'loglevel' not allowed"},
		"a boolean instead of a word":                   {"controller: {leaderElection: true}", "/controller/leaderElection': value must be one of 'Enabled', 'Disabled'"},
		"a type of Service that doesn't exist":          {"service: {type: ExternalName}", "/service/type': value must be one of 'LoadBalancer', 'NodePort', 'ClusterIP'"},
		"a port out of range":                           {"service: {http: {port: 65536}}", "/service/http/port': maximum: got 65,536, want 65,535"},
		"a privileged port":                             {"listeners: {http: {containerPort: 80}}", "/listeners/http/containerPort': minimum: got 80, want 1,024"},
		"a duration without a unit":                     {"controller: {drainDelay: 5}", "/controller/drainDelay': got number, want string"},
		"a namespace twice":                             {"controller: {watchNamespaces: [a, a]}", "/controller/watchNamespaces': items at 0 and 1 are equal"},
		"a namespace that no object can have":           {"controller: {watchNamespaces: ['*']}", "/controller/watchNamespaces/0': '*' does not match pattern"},
		"a digest that isn't one":                       {"image: {digest: latest}", "/image/digest': 'latest' does not match pattern"},
		"a label that isn't a string":                   {"podLabels: {a: 1}", "/podLabels/a': got number, want string"},
		"a probe with a handler":                        {"readinessProbe: {tcpSocket: {port: 1}}", "additional properties 'tcpSocket' not allowed"},
		"a security context that isn't an object":       {"securityContext: [a]", "/securityContext': got array, want object"},
		"namespaces by name and by label":               {"controller: {watchNamespaces: [a], namespaceSelector: b=c}", "controller.watchNamespaces and controller.namespaceSelector exclude each other: set one of them"},
		"two replicas without leader election":          {"controller: {leaderElection: Disabled}", "controller.leaderElection can be Disabled for a single replica only"},
		"a scaled release without leader election":      {"{replicaCount: 1, autoscaling: {enabled: true}, controller: {leaderElection: Disabled}}", "controller.leaderElection can be Disabled for a single replica only"},
		"a ServiceMonitor without a Service":            {"metrics: {service: {enabled: false}, serviceMonitor: {enabled: true}}", "metrics.serviceMonitor needs metrics.service"},
		"more replicas at least than at most":           {"autoscaling: {enabled: true, minReplicas: 11}", "autoscaling.minReplicas can't be greater than autoscaling.maxReplicas"},
		"autoscaling that aims at nothing":              {"autoscaling: {enabled: true, targetCPUUtilizationPercentage: 0}", "autoscaling needs a target"},
		"an argument that isn't a flag":                 {"controller: {extraArgs: [serve]}", "/controller/extraArgs/0': 'serve' does not match pattern"},
		"an access log of a level that doesn't exist":   {"controller: {accessLog: errors}", "/controller/accessLog': value must be one of 'off', 'all'"},
		"an IngressClass that no object can have":       {"ingressClass: {name: Ostiary}", "/ingressClass/name': 'Ostiary' does not match pattern"},
		"a budget that is neither number nor share":     {"podDisruptionBudget: {maxUnavailable: most}", "/podDisruptionBudget/maxUnavailable'"},
		"a kind of limits that Kubernetes doesn't have": {"resources: {limit: {memory: 1Gi}}", "additional properties 'limit' not allowed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(values, []byte(c.values), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := run(t, helm, "template", "ostiary", ".", "--values", values)
			if err == nil {
				t.Fatal("rendered without an error")
			}
			if !strings.Contains(out, c.wantError) {
				t.Errorf("error doesn't say %q:\n%s", c.wantError, out)
			}
		})
	}
}

// The values that README.md shows are refused by nothing.
func testReadme(t *testing.T, helm string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("no YAML found")
	}
	for _, block := range blocks {
		values := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(values, []byte(block[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(objects(t, render(t, helm, values))) == 0 {
			t.Errorf("nothing is rendered with\n%s", block[1])
		}
	}
}

// The chart has the generated CRDs, which Helm keeps when the release goes.
func testCRDs(t *testing.T, helm string) {
	t.Helper()
	want := map[string]any{}
	crds, err := crd.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range crds {
		data, err := utiljson.Marshal(c.Spec)
		if err != nil {
			t.Fatal(err)
		}
		var spec map[string]any
		if err := utiljson.Unmarshal(data, &spec); err != nil { // whole numbers are int64, as in what is rendered
			t.Fatal(err)
		}
		want[c.Name] = spec
	}
	got := map[string]any{}
	for _, obj := range objects(t, render(t, helm, "testdata/default/values.yaml")) {
		if obj.GetKind() == "CustomResourceDefinition" {
			if obj.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s: Helm would delete it, and every object of its kind, with the release", obj.GetName())
			}
			got[obj.GetName()] = obj.Object["spec"]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("CRDs (-generated +rendered):\n%s", diff)
	}
}

// The roles grant what the controllers' markers ask for, neither less nor more.
func testPermissions(t *testing.T, helm string) {
	t.Helper()
	data, err := os.ReadFile(root + "/config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := grants(t, objects(t, string(data)))
	byLabel := grant{Resource: "namespaces"}
	for granted := range want {
		if granted.Resource == byLabel.Resource {
			delete(want, granted) // with namespaceSelector only
		}
	}

	clusterWide := grants(t, objects(t, render(t, helm, "testdata/default/values.yaml")))
	if diff := cmp.Diff(want, clusterWide); diff != "" {
		t.Errorf("cluster-wide (-markers +chart):\n%s", diff)
	}
	namespaced := grants(t, objects(t, render(t, helm, "testdata/namespaced/values.yaml")))
	if diff := cmp.Diff(want, namespaced); diff != "" {
		t.Errorf("per namespace (-markers +chart):\n%s", diff)
	}
	selected := grants(t, objects(t, render(t, helm, "testdata/selector/values.yaml")))
	if !slices.Equal(selected[byLabel], []string{"get", "list", "watch"}) {
		t.Errorf("namespaces with namespaceSelector: %q", selected[byLabel])
	}

	for _, obj := range objects(t, render(t, helm, "testdata/namespaced/values.yaml")) {
		if obj.GetKind() != "ClusterRole" || strings.HasSuffix(obj.GetName(), "-view") || strings.HasSuffix(obj.GetName(), "-edit") {
			continue
		}
		for granted := range grants(t, []*unstructured.Unstructured{obj}) {
			if granted.Resource != "ingressclasses" {
				t.Errorf("%s grants %s in the whole cluster although namespaces are named", obj.GetName(), granted.Resource)
			}
		}
	}
}

// grant is something that verbs are granted for.
type grant struct {
	Group, Resource string
}

// grants returns the verbs that the controller is granted, sorted; roles for people are left out.
func grants(t *testing.T, objs []*unstructured.Unstructured) map[grant][]string {
	t.Helper()
	verbs := map[grant][]string{}
	for _, obj := range objs {
		if obj.GetKind() != "ClusterRole" && obj.GetKind() != "Role" {
			continue
		}
		if obj.GetLabels()["rbac.authorization.k8s.io/aggregate-to-admin"] != "" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					key := grant{group, resource}
					verbs[key] = append(verbs[key], rule.Verbs...)
					slices.Sort(verbs[key])
					verbs[key] = slices.Compact(verbs[key])
				}
			}
		}
	}
	return verbs
}

// The notes show objects that can be applied.
func testNotes(t *testing.T, helm string) {
	t.Helper()
	for values, want := range map[string][]string{
		"testdata/default/values.yaml":        {"{.status.loadBalancer.ingress[0]}", "ingressClassName: ostiary"},
		"testdata/namespaced/values.yaml":     {"{.spec.ports[*].nodePort}", "--namespace shop"},
		"testdata/second-release/values.yaml": {"port-forward service/ostiary-internal", "upgrade them with the release that owns"},
		"testdata/everything/values.yaml":     {"networkPolicy.egress", "ingressClassName: internal"},
	} {
		out, err := run(t, helm, "install", "ostiary", ".", "--dry-run=client", "--namespace", "ostiary-system", "--values", values)
		if err != nil {
			t.Fatalf("%s: %v\n%s", values, err, out)
		}
		_, notes, found := strings.Cut(out, "NOTES:")
		if !found {
			t.Fatalf("%s: no notes in\n%s", values, out)
		}
		for _, text := range want {
			if !strings.Contains(notes, text) {
				t.Errorf("%s: notes don't say %q:\n%s", values, text, notes)
			}
		}
	}
}

func render(t *testing.T, helm, values string) string {
	t.Helper()
	out, err := run(t, helm, "template", "ostiary", ".", "--namespace", "ostiary-system", "--kube-version", "1.37.0",
		"--api-versions", "monitoring.coreos.com/v1", "--values", values)
	if err != nil {
		t.Fatalf("render %s: %v\n%s", values, err, out)
	}
	return out
}

// documents splits a stream of YAML documents.
func documents(stream string) []string {
	var out []string
	for document := range strings.SplitSeq("\n"+stream, "\n---\n") {
		if document = strings.TrimSpace(document); document != "" {
			out = append(out, document+"\n")
		}
	}
	return out
}

func objects(t *testing.T, stream string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, document := range documents(stream) {
		asJSON, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(asJSON); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		out = append(out, obj)
	}
	return out
}

// helmPath builds Helm from the tools module, once, and returns where it is.
func helmPath(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+root+"/hack/tools/go.mod", "-n", "helm")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build Helm: %v\n%s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// run runs Helm without a user's configuration, and returns what it prints.
func run(t *testing.T, helm string, args ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), helm, args...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+filepath.Join(home, "none"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

package filesource

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

const pipelineYAML = `apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: orders, namespace: shop}
spec:
  apiEndpoints:
  - name: public
    paths: [{type: PathPrefix, value: /orders}]
  policies:
  - name: answer
    type: Terminate
    terminate: {statusCode: 200}
`

const consumerYAML = `apiVersion: ostiary.dev/v1alpha1
kind: Consumer
metadata: {name: acme, namespace: shop}
spec: {type: Application}
`

const secretYAML = `apiVersion: v1
kind: Secret
metadata: {name: acme-jwt, namespace: shop}
stringData: {secret: Zk3vQ9xT1mB7rLw5Yc8Hn2Jd6Gs4PaEu}
`

const credentialYAML = `apiVersion: ostiary.dev/v1alpha1
kind: JWTCredential
metadata: {name: acme, namespace: shop}
spec:
  consumerRef: {name: acme}
  algorithms: [HS256]
  audiences: [orders]
  keys:
  - name: current
    format: Octets
    secretKeyRef: {name: acme-jwt, key: secret}
`

// write puts files below a new directory, which it returns.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// load reads the directory and returns the objects that were accepted and the Findings, without the directory's name.
func load(t *testing.T, s *Source, directory string) (objects, findings []string) {
	t.Helper()
	world, found, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return names(world), relative(found, directory)
}

func names(w *World) []string {
	var names []string
	for _, o := range sortedObjects(w.objects) {
		names = append(names, Finding{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.Object())
	}
	return names
}

func relative(findings []Finding, directory string) []string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, strings.ReplaceAll(f.String(), directory+"/", ""))
	}
	return lines
}

// compiledKinds are made once for all tests: compiling the rules takes most of the time of making a Source.
var compiledKinds = sync.OnceValues(func() (*kinds, error) {
	s, err := NewSource([]string{"."}, nil)
	if err != nil {
		return nil, err
	}
	return s.kinds, nil
})

func newSource(t *testing.T, paths ...string) *Source {
	t.Helper()
	k, err := compiledKinds()
	if err != nil {
		t.Fatal(err)
	}
	return &Source{paths: paths, kinds: k}
}

// loadText reads standard input.
func loadText(t *testing.T, text string) (*World, []Finding) {
	t.Helper()
	s := newSource(t, stdinPath)
	s.stdin = []byte(text)
	world, findings, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return world, findings
}

func TestLoad(t *testing.T) {
	tests := map[string]struct {
		files        map[string]string
		wantObjects  []string
		wantFindings []string
	}{
		"every kind that is read": {
			files: map[string]string{
				"ostiary.yaml": strings.Join([]string{pipelineYAML, consumerYAML, credentialYAML, `
apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: orders, namespace: shop}
spec: {backendRefs: [{name: orders, port: 80}]}
`}, "---\n"),
				"deep/below/core.yml": strings.Join([]string{secretYAML, `
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
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: ostiary}
spec: {controller: ostiary.dev/ingress-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: new, namespace: shop}
spec:
  from: [{group: ostiary.dev, kind: ServiceEndpoint, namespace: other}]
  to: [{group: "", kind: Service}]
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: old, namespace: shop}
spec:
  from: [{group: ostiary.dev, kind: ServiceEndpoint, namespace: other}]
  to: [{group: "", kind: Service, name: orders}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
`}, "---\n"),
			},
			wantObjects: []string{
				"IngressClass ostiary", "Consumer shop/acme", "JWTCredential shop/acme", "Secret shop/acme-jwt",
				"ReferenceGrant shop/new", "ReferenceGrant shop/old", "Service shop/orders", "Pipeline shop/orders",
				"ServiceEndpoint shop/orders", "EndpointSlice shop/orders-1",
			},
		},
		"a namespace is default when none is written": {
			files:       map[string]string{"a.yaml": strings.ReplaceAll(consumerYAML, ", namespace: shop", "")},
			wantObjects: []string{"Consumer default/acme"},
		},
		"lists are taken apart": {
			files: map[string]string{
				"a.json": `{"apiVersion": "v1", "kind": "List", "items": [
					{"apiVersion": "ostiary.dev/v1alpha1", "kind": "Consumer", "metadata": {"name": "a"}, "spec": {"type": "User"}},
					{"apiVersion": "v1", "kind": "SecretList", "items": [{"metadata": {"name": "b"}}]},
					7
				]}`,
			},
			wantObjects:  []string{"Consumer default/a", "Secret default/b"},
			wantFindings: []string{"a.json:1: error: List: items[2]: is no object"},
		},
		"what kubectl writes out can be read": {
			files: map[string]string{"a.yaml": `apiVersion: ostiary.dev/v1alpha1
kind: Consumer
metadata:
  name: a
  uid: 6f1e6e0a-0000-0000-0000-000000000000
  resourceVersion: "7"
  generation: 3
  creationTimestamp: "2026-01-01T00:00:00Z"
  managedFields: [{manager: kubectl}]
spec: {type: User}
status: {conditions: [{type: Whatever}]}
`},
			wantObjects: []string{"Consumer default/a"},
		},
		"other files, hidden ones and kustomizations are left alone": {
			files: map[string]string{
				"README.md": "# no manifest", ".hidden.yaml": "x", ".git/config.yaml": "x", "kustomization.yaml": "resources: []",
				"a.yaml~": "x", ".#a.yaml": "x", "..2026_11_21/a.yaml": "x", "a.yaml": consumerYAML, "empty.yaml": "# nothing\n",
			},
			wantObjects: []string{"Consumer shop/acme"},
		},
		"a bad object does not stop the others": {
			files: map[string]string{
				"a.yaml": strings.Replace(consumerYAML, "Application", "Robot", 1) + "---\n" + secretYAML + "---\na: [\n",
				"b.yaml": pipelineYAML,
			},
			wantObjects: []string{"Secret shop/acme-jwt", "Pipeline shop/orders"},
			wantFindings: []string{
				`a.yaml:1: error: Consumer shop/acme: spec.type: Unsupported value: "Robot": supported values: "User", "Application"`,
				"a.yaml:11: error: yaml: line 11: did not find expected node content",
			},
		},
		"an unknown field names the one that was meant": {
			files: map[string]string{"a.yaml": "\n" + strings.Replace(consumerYAML, "{type: Application}", "{type: Application, sopes: [a]}", 1)},
			wantFindings: []string{
				"a.yaml:2: error: Consumer shop/acme: spec.sopes: Forbidden: unknown field, did you mean scopes?",
			},
		},
		"the same object twice": {
			files:       map[string]string{"a.yaml": consumerYAML, "b.yaml": "# again\n" + consumerYAML},
			wantObjects: []string{"Consumer shop/acme"},
			wantFindings: []string{
				"b.yaml:2: error: Consumer shop/acme: is defined twice, also in a.yaml:1: that one is used, remove one of the two",
			},
		},
		"kinds of others are ignored": {
			files: map[string]string{"a.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
`},
			wantFindings: []string{"a.yaml:1: warning: Deployment orders: ignored: objects of apps/v1, kind Deployment, are not read from files"},
		},
		"a kind of ours that does not exist": {
			files: map[string]string{"a.yaml": strings.Replace(consumerYAML, "Consumer", "Consumr", 1)},
			wantFindings: []string{
				`a.yaml:1: error: Consumr shop/acme: kind: Invalid value: "Consumr": unknown kind of ostiary.dev/v1alpha1, did you mean Consumer?`,
			},
		},
		"a version of ours that does not exist": {
			files: map[string]string{"a.yaml": strings.Replace(consumerYAML, "v1alpha1", "v1", 1)},
			wantFindings: []string{
				`a.yaml:1: error: Consumer shop/acme: apiVersion: Invalid value: "ostiary.dev/v1": no Consumer has this version: write ostiary.dev/v1alpha1`,
			},
		},
		"documents that are no objects": {
			files: map[string]string{"a.yaml": "just text\n---\n[1, 2]\n---\nnull\n---\napiVersion: v1\n---\nkind: Secret\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\n"},
			wantFindings: []string{
				"a.yaml:1: error: is no object: write apiVersion, kind, metadata and spec",
				"a.yaml:3: error: is no object: write apiVersion, kind, metadata and spec",
				"a.yaml:7: error: kind: Required value: write what the object is, such as kind: Pipeline",
				"a.yaml:9: error: Secret a: apiVersion: Required value: write the API that Secret belongs to, such as ostiary.dev/v1alpha1",
				"a.yaml:12: error: Secret: metadata.name: Required value: name or generateName is required",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			directory := write(t, tc.files)
			objects, findings := load(t, newSource(t, directory), directory)
			if diff := cmp.Diff(tc.wantObjects, objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantFindings, findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadTakesSeveralPaths(t *testing.T) {
	directory := write(t, map[string]string{"a.yaml": consumerYAML, "b.manifest": secretYAML, "d/c.yaml": pipelineYAML})
	paths := []string{filepath.Join(directory, "b.manifest"), "-", directory + "/", filepath.Join(directory, "a.yaml")}
	world, findings, err := Load(paths, strings.NewReader(credentialYAML+"---\nx: [\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Consumer shop/acme", "JWTCredential shop/acme", "Secret shop/acme-jwt", "Pipeline shop/orders"}
	if diff := cmp.Diff(want, names(world)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if len(findings) != 1 || findings[0].File != "(standard input)" || findings[0].Line != 13 {
		t.Errorf("findings: %v", findings)
	}
	if world.Len() != 4 {
		t.Errorf("%d objects", world.Len())
	}
}

func TestLoadFails(t *testing.T) {
	for name, paths := range map[string][]string{
		"where a path is nothing":     {filepath.Join(t.TempDir(), "absent.yaml")},
		"where one of several is not": {t.TempDir(), filepath.Join(t.TempDir(), "absent")},
	} {
		t.Run(name, func(t *testing.T) {
			if world, _, err := newSource(t, paths...).Load(); !errors.Is(err, fs.ErrNotExist) || world != nil {
				t.Errorf("world %v, error %v", world, err)
			}
		})
	}
	if _, _, err := Load(nil, nil); !errors.Is(err, ErrNoPaths) {
		t.Errorf("without paths: error %v", err)
	}
	if _, _, err := Load([]string{"-"}, nil); err == nil {
		t.Error("without standard input: no error")
	}
	if _, _, err := Load([]string{"-"}, iotest.ErrReader(fs.ErrClosed)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("with a standard input that fails: error %v", err)
	}
}

func TestObjectsHaveTheirDefaultsAndAStableUID(t *testing.T) {
	directory := write(t, map[string]string{"a.yaml": pipelineYAML + "---\n" + consumerYAML})
	world, _, err := newSource(t, directory).Load()
	if err != nil {
		t.Fatal(err)
	}
	snapshot := world.Snapshot()
	consumer := snapshot.Consumers[0]
	if consumer.UID != UID("Consumer", "shop", "acme") || len(consumer.UID) != 36 || consumer.UID[14] != '5' {
		t.Errorf("UID %q", consumer.UID)
	}
	if want := types.UID("c7471971-0f53-5ddd-b7b7-484534118b04"); consumer.UID != want {
		t.Errorf("UID %q, want %q on every machine", consumer.UID, want)
	}
	if UID("Consumer", "shop", "acm") == consumer.UID || UID("Pipeline", "shop", "acme") == consumer.UID {
		t.Error("different objects have the same UID")
	}
	if consumer.Generation != 1 || !consumer.CreationTimestamp.IsZero() {
		t.Errorf("generation %d, created %v", consumer.Generation, consumer.CreationTimestamp)
	}
}

func TestSnapshot(t *testing.T) {
	directory := write(t, map[string]string{"a.yaml": strings.Join([]string{
		strings.Replace(pipelineYAML, "spec:\n", "spec:\n  tls: [{hosts: [a.test], secretName: tls}]\n", 1),
		secretYAML,
		"apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: shop}\ndata: {tls.crt: YQ==, tls.key: Yg==}\nstringData: {tls.key: c}\ntype: kubernetes.io/tls\n",
	}, "---\n")})
	s := newSource(t, directory)
	world, findings, err := s.Load()
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	snapshot := world.Snapshot()
	want := compile.Options{
		Classes: compile.ClassesAll, ControllerName: "ostiary.dev/ingress-controller", Loopback: compile.LoopbackAllowed,
	}
	if diff := cmp.Diff(want, snapshot.Options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	wantSecrets := map[routing.ObjectKey]compile.Secret{
		{Namespace: "shop", Name: "tls"}: {
			Type: "kubernetes.io/tls",
			Data: map[string]compile.SecretBytes{"tls.crt": compile.SecretBytes("a"), "tls.key": compile.SecretBytes("c")},
		},
	}
	if diff := cmp.Diff(wantSecrets, snapshot.Secrets); diff != "" {
		t.Errorf("secrets that Pipelines use (-want +got):\n%s", diff)
	}

	class := "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: other}\nspec: {controller: example.com/other}\n"
	if err := os.WriteFile(filepath.Join(directory, "class.yaml"), []byte(class), 0o600); err != nil {
		t.Fatal(err)
	}
	if world, _, err = s.Load(); err != nil {
		t.Fatal(err)
	}
	if got := world.Snapshot().Options.Classes; got != compile.ClassesOfController {
		t.Errorf("classes %v beside an IngressClass", got)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	directory := write(t, map[string]string{"a.yaml": secretYAML})
	s := newSource(t, directory)
	world, _, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "world", world, "files", s)
	printed := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, world), fmt.Sprintf(verb, s), fmt.Sprintf(verb, world.Snapshot()), fmt.Sprintf(verb, Check(world)))
	}
	for _, p := range printed {
		if strings.Contains(p, "Zk3vQ9xT1mB7") || strings.Contains(p, fmt.Sprintf("%x", "Zk3vQ9xT1mB7")) || strings.Contains(p, "90 107 51 118") {
			t.Errorf("%q holds the secret", p)
		}
	}
}

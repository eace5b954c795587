//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/mint"
)

// nodeAddress is where processes of the node, as this one, are reached from pods.
const nodeAddress = "10.244.0.1"

// upstream is a backend in this process that remembers what reached it.
type upstream struct {
	port int

	mu   sync.Mutex
	seen map[string]http.Header // by path
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{seen: map[string]http.Header{}}
	listener, err := net.Listen("tcp", net.JoinHostPort(nodeAddress, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(u)
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	u.port = listener.Addr().(*net.TCPAddr).Port
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.seen[r.URL.Path] = r.Header.Clone()
	u.mu.Unlock()
	w.Header().Set("X-Upstream", "reached")
}

// headers are those of the last request with that path.
func (u *upstream) headers(path string) (http.Header, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h, ok := u.seen[path]
	return h, ok
}

// manifest is a Service without a selector and the EndpointSlice that leads to this process.
func (u *upstream) manifest(name string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  ports: [{port: 80, targetPort: %[2]d}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: %[1]s-1
  labels: {kubernetes.io/service-name: %[1]s}
addressType: IPv4
ports: [{port: %[2]d}]
endpoints: [{addresses: ["%[3]s"], conditions: {ready: true}}]
---
apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: %[1]s}
spec:
  backendRefs: [{name: %[1]s, port: 80}]
`, name, u.port, nodeAddress)
}

// keyPair is a key of a consumer.
type keyPair struct {
	algorithm string
	mint.Key
}

func newKey(t *testing.T, algorithm string) keyPair {
	t.Helper()
	key, err := mint.NewKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{algorithm: algorithm, Key: key}
}

// token signs claims; sub, aud and exp have defaults, and a nil value leaves a claim out.
func (k keyPair) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": "acme", "aud": "api", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	token, err := mint.Token(k.algorithm, k.Private, "", all)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// secret is the manifest of a Secret with the key's verifying half.
func (k keyPair) secret(name string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + "}\nstringData:\n  key: |\n    " +
		strings.ReplaceAll(strings.TrimSpace(string(k.Verifier)), "\n", "\n    ") + "\n"
}

// consumer is a Consumer with one JWTCredential, whose key is in the Secret NAME-jwt.
func consumer(name, algorithm string) string {
	return fmt.Sprintf(`
apiVersion: ostiary.dev/v1alpha1
kind: Consumer
metadata: {name: %[1]s}
spec:
  username: %[1]s
---
apiVersion: ostiary.dev/v1alpha1
kind: JWTCredential
metadata: {name: %[1]s}
spec:
  consumerRef: {name: %[1]s}
  keyID: %[1]s
  algorithms: [%[2]s]
  keys:
  - name: current
    secretKeyRef: {name: %[1]s-jwt, key: key}
`, name, algorithm)
}

// cutting makes a replaced key of a consumer stop at once.
func cutting(consumer string) string {
	return strings.Replace(consumer, "  keys:", "  rotation: {overlap: 0s}\n  keys:", 1)
}

// protected is a Pipeline that wants a token for the paths below a prefix.
func protected(name, prefix string) string {
	return fmt.Sprintf(`
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: %[1]s}
spec:
  apiEndpoints:
  - name: all
    hosts: [HOST]
    paths: [{type: PathPrefix, value: %[2]s}]
  policies:
  - name: auth
    type: JWT
    jwt:
      audiences: [api]
      errorResponse: {realm: %[1]s, detail: Reason}
  - name: backend
    type: Proxy
    proxy: {serviceEndpointRef: {name: upstream}}
`, name, prefix)
}

// public is a Pipeline that wants none and answers by itself.
func public(name, prefix string) string {
	return fmt.Sprintf(`
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: %[1]s}
spec:
  apiEndpoints:
  - name: all
    hosts: [HOST]
    paths: [{type: PathPrefix, value: %[2]s}]
  policies:
  - name: answer
    type: Terminate
    terminate: {statusCode: 200, body: public}
`, name, prefix)
}

func join(manifests ...string) string { return strings.Join(manifests, "\n---\n") }

// answer is what a caller got.
type answer struct {
	Status    int
	Challenge string
	Upstream  bool
	Detail    string
}

// call sends a GET to the fixture's host; token may be empty.
func (f fixture) call(path, token string) (answer, error) {
	request, err := http.NewRequestWithContext(f.Context(), http.MethodGet, "http://"+f.host+path, nil)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return f.do(request)
}

func (f fixture) do(request *http.Request) (answer, error) {
	response, err := f.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{
		Status:    response.StatusCode,
		Challenge: response.Header.Get("WWW-Authenticate"),
		Upstream:  response.Header.Get("X-Upstream") == "reached",
	}
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) == nil {
		a.Detail = problem.Detail
	}
	return a, nil
}

// wantStatus waits until calls are answered with a status.
func (f fixture) wantStatus(path, token string, status int) {
	f.Helper()
	await(f.T, fmt.Sprintf("%d for %s", status, path), func() error {
		switch a, err := f.call(path, token); {
		case err != nil:
			return err
		case a.Status != status:
			return fmt.Errorf("got %+v", a)
		}
		return nil
	})
}

// eachReplica calls every ready replica by its own address, past the load balancer.
func (f fixture) eachReplica(path, token string, check func(replica string, a answer) error) error {
	for _, pod := range controllerPods(f.T, f.cluster.Bed) {
		request, err := http.NewRequestWithContext(f.Context(), http.MethodGet, "http://"+net.JoinHostPort(pod.Status.PodIP, "8080")+path, nil)
		if err != nil {
			return err
		}
		request.Host = f.host
		request.Header.Set("Authorization", "Bearer "+token)
		direct := f
		direct.client = f.newClient(pod.Status.PodIP)
		a, err := direct.do(request)
		if err != nil {
			return err
		}
		if err := check(pod.Name, a); err != nil {
			return err
		}
	}
	return nil
}

//go:build linux

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func testAnyOrder(f fixture) {
	key := newKey(f.T, "ES256")
	objects := strings.Split(join(protected("orders", "/orders"), key.secret("acme-jwt"), consumer("acme", "ES256")), "\n---\n")
	seed := uint64(time.Now().UnixNano())
	f.Logf("order of seed %d", seed)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	for _, object := range objects {
		f.apply(object)
	}
	f.waitFor("Programmed", "pipelines.ostiary.dev/orders")
	f.waitFor("Programmed", "jwtcredentials.ostiary.dev/acme")
	f.wantCondition("serviceendpoint/upstream", "ResolvedRefs", "True", "ResolvedRefs", "")
	f.wantCondition("serviceendpoint/upstream", "Programmed", "True", "Programmed", "")
	f.wantCondition("consumer/acme", "Accepted", "True", "Accepted", "")
	f.wantCondition("jwtcredential/acme", "KeysReady", "True", "KeysReady", "")

	if got, err := f.call("/orders/7", key.token(f.T, nil)); err != nil || !got.Upstream || got.Status != http.StatusOK {
		f.Fatalf("with a token: got %+v, %v, want 200 from the upstream", got, err)
	}
	headers, _ := f.upstream.headers("/orders/7")
	for name, want := range map[string]string{
		"X-Consumer-Username":  "acme",
		"X-Consumer-Namespace": f.namespace,
		"X-Consumer-Id":        f.kubectl("get", "consumer", "acme", "-o", "jsonpath={.metadata.uid}"),
		"X-Credential-Id":      "acme",
		"Authorization":        "",
	} {
		if got := headers.Get(name); got != want {
			f.Errorf("the upstream got %s %q, want %q", name, got, want)
		}
	}
	if got, err := f.call("/orders/7", ""); err != nil || got.Status != http.StatusUnauthorized || got.Upstream {
		f.Errorf("without a token: got %+v, %v, want 401", got, err)
	}
}

// testExpressGatewayExample is the example of Express Gateway's 1.5.0 announcement: a port, the path /*, a key, a service
// endpoint.
func testExpressGatewayExample(f fixture) {
	key := newKey(f.T, "RS256")
	f.apply(join(key.secret("acme-jwt"), consumer("acme", "RS256"), `
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: example}
spec:
  apiEndpoints:
  - name: api
    hosts: [HOST]
    paths: [{type: PathPrefix, value: /}]
  policies:
  - name: jwt
    type: JWT
    jwt: {audienceMatchPolicy: Ignore}
  - name: proxy
    type: Proxy
    proxy: {serviceEndpointRef: {name: upstream}}
`))
	f.waitFor("Programmed", "pipelines.ostiary.dev/example")
	f.waitFor("Programmed", "jwtcredentials.ostiary.dev/acme")
	token := key.token(f.T, map[string]any{"aud": nil})
	for _, path := range []string{"/", "/anything", "/deep/er"} {
		if got, err := f.call(path, token); err != nil || !got.Upstream {
			f.Errorf("%s with a token: got %+v, %v, want an answer of the upstream", path, got, err)
		}
		if got, err := f.call(path, ""); err != nil || got.Status != http.StatusUnauthorized {
			f.Errorf("%s without a token: got %+v, %v, want 401", path, got, err)
		}
	}
}

func testSecretUpdate(f fixture) {
	old, next := newKey(f.T, "ES256"), newKey(f.T, "ES256")
	f.apply(join(old.secret("acme-jwt"), cutting(consumer("acme", "ES256")), protected("orders", "/orders")))
	f.waitFor("Programmed", "pipelines.ostiary.dev/orders")
	f.waitFor("Programmed", "jwtcredentials.ostiary.dev/acme")
	oldToken, nextToken := old.token(f.T, nil), next.token(f.T, nil)
	f.wantStatus("/orders", oldToken, http.StatusOK)
	f.wantStatus("/orders", nextToken, http.StatusUnauthorized)
	before := f.podNames()

	f.apply(next.secret("acme-jwt"))
	updated := time.Now()
	await(f.T, "new key on every replica", func() error {
		return f.eachReplica("/orders", nextToken, func(replica string, a answer) error {
			if a.Status != http.StatusOK {
				return fmt.Errorf("%s answers %+v", replica, a)
			}
			return nil
		})
	})
	f.Logf("the new key verifies on every replica %v after kubectl apply returned", time.Since(updated))
	if err := f.eachReplica("/orders", oldToken, func(replica string, a answer) error {
		if a.Status != http.StatusUnauthorized || !strings.Contains(a.Challenge, "signature_invalid") {
			return fmt.Errorf("%s answers %+v to a token of the old key, want 401 signature_invalid", replica, a)
		}
		return nil
	}); err != nil {
		f.Error(err)
	}
	if diff := gocmp.Diff(before, f.podNames()); diff != "" {
		f.Errorf("pods were replaced or restarted (-before +after):\n%s", diff)
	}
}

// podNames are the controller's pods with their restarts.
func (f fixture) podNames() map[string]int32 {
	names := map[string]int32{}
	for _, pod := range controllerPods(f.T, f.cluster.Bed) {
		names[pod.Name] = 0
		for _, c := range pod.Status.ContainerStatuses {
			names[pod.Name] += c.RestartCount
		}
	}
	return names
}

func testMistakes(f fixture) {
	key := newKey(f.T, "ES256")
	f.apply(join(
		key.secret("good-jwt"), consumer("good", "ES256"), protected("good", "/good"),
		key.secret("deleted-jwt"), consumer("deleted", "ES256"),
		key.secret("broken-jwt"), cutting(consumer("broken", "ES256")),
		key.secret("twin-jwt"), consumer("twin", "ES256"),
	))
	f.waitFor("Programmed", "pipelines.ostiary.dev/good")
	for _, name := range []string{"good", "deleted", "broken", "twin"} {
		f.waitFor("Programmed", "jwtcredentials.ostiary.dev/"+name)
	}
	tokens := map[string]string{}
	for _, name := range []string{"good", "deleted", "broken"} {
		tokens[name] = key.token(f.T, map[string]any{"sub": name})
		f.wantStatus("/good/"+name, tokens[name], http.StatusOK)
	}

	// A creationTimestamp counts whole seconds: the twin that loses must be a second younger.
	await(f.T, "the next second", func() error {
		created, err := time.Parse(time.RFC3339, f.kubectl("get", "jwtcredential", "twin", "-o", "jsonpath={.metadata.creationTimestamp}"))
		if err != nil {
			return err
		}
		if time.Since(created) < 2*time.Second {
			return fmt.Errorf("the twin is %v old", time.Since(created))
		}
		return nil
	})
	f.kubectl("delete", "secret", "deleted-jwt")
	f.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: broken-jwt}\nstringData: {key: this is no key}\n")
	f.apply(join(strings.ReplaceAll(consumer("younger", "ES256"), "keyID: younger", "keyID: twin"), key.secret("younger-jwt")))
	f.apply(`
apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: nowhere}
spec:
  backendRefs: [{name: no-such-service, port: 80}]
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: nowhere}
spec:
  apiEndpoints:
  - {name: all, hosts: [HOST], paths: [{type: PathPrefix, value: /nowhere}]}
  policies:
  - {name: backend, type: Proxy, proxy: {serviceEndpointRef: {name: nowhere}}}
`)

	f.wantCondition("jwtcredential/deleted", "ResolvedRefs", "False", "SecretNotFound", `"deleted-jwt"`)
	f.wantCondition("jwtcredential/deleted", "KeysReady", "False", "NoUsableKey", "")
	f.wantCondition("jwtcredential/broken", "KeysReady", "False", "InvalidKey", "spec.keys[0]")
	f.wantCondition("jwtcredential/younger", "Accepted", "False", "Conflicted", "twin")
	f.wantCondition("jwtcredential/twin", "Accepted", "True", "Accepted", "younger")
	f.wantCondition("serviceendpoint/nowhere", "ResolvedRefs", "False", "ServiceNotFound", `"no-such-service"`)

	for name, want := range map[string]int{"deleted": http.StatusUnauthorized, "broken": http.StatusUnauthorized, "good": http.StatusOK} {
		f.wantStatus("/good/"+name, tokens[name], want)
	}
	f.wantStatus("/good/twin", key.token(f.T, map[string]any{"sub": "twin"}), http.StatusOK)
	f.wantStatus("/nowhere", "", http.StatusServiceUnavailable)
	events := f.kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.involvedObject.kind}/{.involvedObject.name} {.reason}{\"\\n\"}{end}")
	for _, want := range []string{"JWTCredential/deleted NoUsableKey", "JWTCredential/younger Conflicted", "ServiceEndpoint/nowhere ServiceNotFound"} {
		if !strings.Contains(events, want) {
			f.Errorf("no event %q among\n%s", want, events)
		}
	}

	f.apply(key.secret("deleted-jwt")) // and mended again
	f.wantStatus("/good/deleted", tokens["deleted"], http.StatusOK)
	f.wantCondition("jwtcredential/deleted", "KeysReady", "True", "KeysReady", "")
}

// errLeaked says that somebody got what was protected.
var errLeaked = errors.New("neither refused nor closed")

func testBrokenProtection(f fixture) {
	key := newKey(f.T, "ES256")
	secret := protected("secret", "/area/secret")
	f.apply(join(public("area", "/area"), key.secret("acme-jwt"), consumer("acme", "ES256"), secret))
	f.waitFor("Programmed", "pipelines.ostiary.dev/area")
	f.waitFor("Programmed", "pipelines.ostiary.dev/secret")
	f.wantStatus("/area/secret/x", key.token(f.T, nil), http.StatusOK)

	// The schema can't know that In needs values; the compiler does.
	broken := strings.Replace(secret, "      audiences: [api]", "      audiences: [api]\n      credentials: {selector: {matchExpressions: [{key: tier, operator: In}]}}", 1)
	stop := make(chan struct{})
	leaks := make(chan error, 1)
	go func() { // all the while, nobody gets what the public Pipeline answers
		for {
			select {
			case <-stop:
				leaks <- nil
				return
			default:
			}
			if a, err := f.call("/area/secret/x", ""); err != nil || (a.Status != http.StatusUnauthorized && a.Status != http.StatusServiceUnavailable) {
				leaks <- fmt.Errorf("an anonymous caller got %+v: %w", a, cmp.Or(err, errLeaked))
				return
			}
		}
	}()
	f.apply(broken)
	f.wantCondition("pipeline.ostiary.dev/secret", "Programmed", "False", "ProtectionBroken", "selector")
	f.wantStatus("/area/secret/x", key.token(f.T, nil), http.StatusServiceUnavailable)
	f.wantStatus("/area/secret/x", "", http.StatusServiceUnavailable)
	f.wantStatus("/area/else", "", http.StatusOK)
	f.apply(secret)
	f.wantStatus("/area/secret/x", key.token(f.T, nil), http.StatusOK)
	close(stop)
	if err := <-leaks; err != nil {
		f.Error(err)
	}
}

func testWrongFields(f fixture) {
	for name, tc := range map[string]struct{ old, new, server, check string }{
		"unknown field": {
			"  apiEndpoints:", "  apiEndpoint: []\n  apiEndpoints:",
			`unknown field "spec.apiEndpoint"`, `did you mean`,
		},
		"unknown value": {
			"type: PathPrefix", "type: Prefix",
			`supported values: "Exact", "PathPrefix", "RegularExpression"`, `supported values: "Exact", "PathPrefix", "RegularExpression"`,
		},
		"member of another type": {
			"type: Proxy", "type: Terminate",
			"terminate", "terminate",
		},
	} {
		manifest := strings.Replace(protected("wrong", "/wrong"), tc.old, tc.new, 1)
		err := f.tryApply(manifest)
		if err == nil || !strings.Contains(err.Error(), tc.server) {
			f.Errorf("%s: kubectl apply says %v, want %q", name, err, tc.server)
		}
		said, code := f.check(manifest)
		if code != 2 || !strings.Contains(said, tc.check) {
			f.Errorf("%s: ostiary check exits with %d and says %s, want 2 and %q", name, code, said, tc.check)
		}
	}
}

// check runs `ostiary check` on a manifest.
func (f fixture) check(manifest string) (said string, exitCode int) {
	f.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(f.Context()), os.Getenv(ostiaryVariable), "check", "-")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(manifest, "HOST", f.host))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		f.Fatalf("run ostiary check: %v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func testClass(f fixture) {
	f.apply(`
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: NAMESPACE}
spec: {controller: example.com/another}
`)
	f.Cleanup(func() {
		if _, err := f.cluster.Kubectl(context.WithoutCancel(f.Context()), "delete", "ingressclass", f.namespace); err != nil {
			f.Error(err)
		}
	})
	f.apply(join(
		strings.Replace(public("other", "/other"), "spec:", "spec:\n  ingressClassName: NAMESPACE", 1),
		strings.Replace(public("named", "/named"), "spec:", "spec:\n  ingressClassName: ostiary", 1),
		public("default", "/default"),
	))
	f.waitFor("Programmed", "pipelines.ostiary.dev/named")
	f.waitFor("Programmed", "pipelines.ostiary.dev/default")
	f.wantStatus("/named", "", http.StatusOK)
	f.wantStatus("/default", "", http.StatusOK)
	f.wantStatus("/other", "", http.StatusNotFound)
	if status := f.kubectl("get", "pipelines.ostiary.dev", "other", "-o", "jsonpath={.status.conditions}"); status != "" {
		f.Errorf("the other class's Pipeline has conditions %s", status)
	}
}

func testGrants(f fixture) {
	f.kubectl("create", "namespace", f.namespace+"-far")
	f.apply(strings.ReplaceAll(`
apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: near}
spec:
  backendRefs: [{name: far, namespace: NAMESPACE-far, port: 80}]
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: near}
spec:
  apiEndpoints:
  - {name: all, hosts: [HOST], paths: [{type: PathPrefix, value: /near}]}
  policies:
  - {name: backend, type: Proxy, proxy: {serviceEndpointRef: {name: near}}}
`, "\t", " "))
	far := f
	far.namespace += "-far"
	far.apply(f.upstream.manifest("far"))
	f.wantCondition("serviceendpoint/near", "ResolvedRefs", "False", "RefNotPermitted", "ReferenceGrant")
	f.wantStatus("/near", "", http.StatusServiceUnavailable)
	far.apply(fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: near}
spec:
  from: [{group: ostiary.dev, kind: ServiceEndpoint, namespace: %s}]
  to: [{group: "", kind: Service, name: far}]
`, f.namespace))
	f.wantCondition("serviceendpoint/near", "ResolvedRefs", "True", "ResolvedRefs", "")
	f.wantStatus("/near", "", http.StatusOK)
	far.kubectl("delete", "referencegrant", "near")
	f.wantStatus("/near", "", http.StatusServiceUnavailable)
}

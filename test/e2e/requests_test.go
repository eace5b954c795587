//go:build linux

package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testBadRequests(f fixture) {
	acme, globex := newKey(f.T, "RS256"), newKey(f.T, "RS256")
	f.apply(join(acme.secret("acme-jwt"), consumer("acme", "RS256"), globex.secret("globex-jwt"), consumer("globex", "RS256"), protected("orders", "/orders")))
	f.waitFor("Programmed", "pipelines.ostiary.dev/orders")
	f.waitFor("Programmed", "jwtcredentials.ostiary.dev/acme")
	f.waitFor("Programmed", "jwtcredentials.ostiary.dev/globex")

	good := acme.token(f.T, nil)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	none := encode(`{"alg":"none","typ":"JWT"}`)
	confused := encode(`{"alg":"HS256","typ":"JWT"}`) + "." + payload
	mac := hmac.New(sha256.New, acme.Verifier)
	mac.Write([]byte(confused))
	another := "A"
	if strings.HasPrefix(signature, another) {
		another = "B"
	}
	for name, tc := range map[string]struct {
		token  string
		reason string
	}{
		"no token":               {"", ""},
		"wrong signature":        {header + "." + payload + "." + another + signature[1:], "signature_invalid"},
		"expired":                {acme.token(f.T, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "token_expired"},
		"not yet valid":          {acme.token(f.T, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "token_not_yet_valid"},
		"alg none":               {none + "." + payload + ".", "token_malformed"},
		"alg none, signed":       {none + "." + payload + "." + signature, "algorithm_not_allowed"},
		"RS/HS confusion":        {confused + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), "algorithm_not_allowed"},
		"foreign consumer's key": {globex.token(f.T, map[string]any{"sub": "acme"}), "signature_invalid"},
		"unknown credential":     {acme.token(f.T, map[string]any{"sub": "nobody"}), "credential_unknown"},
		"wrong audience":         {acme.token(f.T, map[string]any{"aud": "other"}), "audience_mismatch"},
		"no exp":                 {acme.token(f.T, map[string]any{"exp": nil}), "claim_missing"},
		"not a token":            {"abc", "token_malformed"},
	} {
		path := "/orders/" + strings.ReplaceAll(name, " ", "-")
		got, err := f.call(path, tc.token)
		if err != nil {
			f.Errorf("%s: %v", name, err)
			continue
		}
		challenge := `Bearer realm="orders"`
		if tc.reason != "" {
			challenge += `, error="invalid_token", error_description="` + tc.reason + `"`
		}
		if got.Status != http.StatusUnauthorized || got.Challenge != challenge {
			f.Errorf("%s: got %d with %q, want 401 with %q", name, got.Status, got.Challenge, challenge)
		}
		if _, reached := f.upstream.headers(path); reached || got.Upstream {
			f.Errorf("%s: the upstream saw the request", name)
		}
		want := tc.reason
		if want == "" {
			want = "token_missing"
		}
		if said, code := f.explain(path, tc.token); code != 3 || !strings.Contains(said, "refused: 401 "+want+"\n") || leaks(said, tc.token) {
			f.Errorf("%s: ostiary explain exits with %d and says\n%s", name, code, said)
		}
	}
	if said, code := f.explain("/orders/good", good); code != 0 || !strings.Contains(said, "admitted\n") || leaks(said, good) {
		f.Errorf("a good token: ostiary explain exits with %d and says\n%s", code, said)
	}
	if got, err := f.call("/orders/good", good); err != nil || !got.Upstream {
		f.Errorf("a good token: got %+v, %v, want an answer of the upstream", got, err)
	}
	for _, pod := range controllerPods(f.T, f.cluster.Bed) {
		log, err := f.cluster.Logs(systemNamespace, pod.Name)
		if err != nil {
			f.Fatal(err)
		}
		if strings.Contains(log, payload) || strings.Contains(log, signature) {
			f.Errorf("the log of %s holds a part of a token", pod.Name)
		}
	}
}

// explain runs `ostiary explain` on the cluster's objects.
func (f fixture) explain(path, token string) (said string, exitCode int) {
	f.Helper()
	args := []string{"explain", "--kubeconfig", f.cluster.Kubeconfig(), "--request", "GET http://" + f.host + path}
	if token != "" {
		args = append(args, "--token-file", "-")
	}
	cmd := exec.CommandContext(context.WithoutCancel(f.Context()), os.Getenv(ostiaryVariable), args...)
	cmd.Stdin = strings.NewReader(token)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		f.Fatalf("run ostiary explain: %v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// leaks reports whether a text holds a part of a token.
func leaks(said, token string) bool {
	return slices.ContainsFunc(strings.Split(token, "."), func(part string) bool { return len(part) > 8 && strings.Contains(said, part) })
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func testTLS(f fixture) {
	first, firstRoots := certificate(f.T, f.host)
	second, secondRoots := certificate(f.T, "other."+f.host)
	f.apply(join(first.secret("first-tls"), second.secret("second-tls"), `
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: secure}
spec:
  tls:
  - {hosts: [HOST], secretName: first-tls}
  - {hosts: [other.HOST], secretName: second-tls}
  apiEndpoints:
  - {name: all, hosts: [HOST, other.HOST]}
  policies:
  - {name: answer, type: Terminate, terminate: {statusCode: 200}}
`))
	f.waitFor("Programmed", "pipelines.ostiary.dev/secure")
	await(f.T, "redirect of clear text", func() error {
		response, err := f.client.Get("http://" + f.host + "/a?b=c")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if want := "https://" + f.host + "/a?b=c"; response.StatusCode != http.StatusPermanentRedirect || response.Header.Get("Location") != want {
			return fmt.Errorf("got %d to %q, want 308 to %q", response.StatusCode, response.Header.Get("Location"), want)
		}
		return nil
	})
	get := func(host string, roots *x509.CertPool, serverName string) (*http.Response, error) {
		client := f.newClient(f.cluster.address)
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: serverName}
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
		response, err := client.Get("https://" + host + "/")
		if err == nil {
			err = response.Body.Close()
		}
		return response, err
	}
	for host, roots := range map[string]*x509.CertPool{f.host: firstRoots, "other." + f.host: secondRoots} {
		response, err := get(host, roots, host)
		if err != nil || response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
			f.Errorf("https://%s: got %v, %v, want 200 over HTTP/2", host, response, err)
		}
	}
	if response, err := get("other."+f.host, firstRoots, f.host); err != nil || response.StatusCode != http.StatusMisdirectedRequest {
		f.Errorf("a Host of another certificate: got %v, %v, want 421", response, err)
	}
	if _, err := get("unknown."+f.host, firstRoots, "unknown."+f.host); err == nil {
		f.Error("a handshake for an unknown name succeeds")
	}
	f.kubectl("delete", "secret", "second-tls")
	await(f.T, "failing handshakes without the Secret", func() error {
		if _, err := get("other."+f.host, secondRoots, "other."+f.host); err == nil {
			return fmt.Errorf("the handshake succeeds")
		}
		return nil
	})
	if _, err := get(f.host, firstRoots, f.host); err != nil {
		f.Errorf("the other certificate's host: %v", err)
	}
}

// testPods follows a real Deployment through scaling up, a bad readiness and scaling down.
func testPods(f fixture) {
	f.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: backend}
spec:
  replicas: 1
  selector: {matchLabels: {app: backend}}
  template:
    metadata: {labels: {app: backend}}
    spec:
      containers:
      - name: backend
        image: ostiary.test/backend
        ports: [{name: web, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: web}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: backend}
spec:
  selector: {app: backend}
  ports: [{port: 80, targetPort: web}]
---
apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: backend}
spec:
  backendRefs: [{name: backend, port: 80}]
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: backend}
spec:
  apiEndpoints:
  - {name: all, hosts: [HOST]}
  policies:
  - {name: backend, type: Proxy, proxy: {serviceEndpointRef: {name: backend}}}
`)
	f.waitFor("Programmed", "pipelines.ostiary.dev/backend")
	f.wantStatus("/", "", http.StatusOK)
	f.kubectl("scale", "deployment", "backend", "--replicas=3")
	f.kubectl("rollout", "status", "deployment", "backend", "--timeout=30s")
	f.wantStatus("/", "", http.StatusOK)

	failures := f.underLoad(func() {
		f.kubectl("scale", "deployment", "backend", "--replicas=1")
		f.kubectl("rollout", "status", "deployment", "backend", "--timeout=30s")
		f.kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/backend", "--timeout=30s")
	})
	if failures > 0 {
		f.Errorf("%d requests failed while pods went", failures)
	}
	f.kubectl("scale", "deployment", "backend", "--replicas=0")
	f.wantStatus("/", "", http.StatusServiceUnavailable)
}

// underLoad calls the fixture's host again and again, each time on a new connection, while act runs, and returns how many
// calls were not answered with 200.
func (f fixture) underLoad(act func()) (failures int64) {
	ctx, cancel := context.WithCancel(f.Context())
	defer cancel()
	var failed, sent atomic.Int64
	done := make(chan struct{}, 2)
	for range cap(done) {
		go func() {
			defer func() { done <- struct{}{} }()
			client := f.newClient(f.cluster.address)
			client.Transport.(*http.Transport).DisableKeepAlives = true
			for ctx.Err() == nil {
				response, err := client.Get("http://" + f.host + "/")
				sent.Add(1)
				if err != nil {
					failed.Add(1)
					f.Logf("a request failed: %v", err)
					continue
				}
				if response.StatusCode != http.StatusOK {
					failed.Add(1)
					f.Logf("a request was answered %s", response.Status)
				}
				_ = response.Body.Close()
			}
		}()
	}
	act()
	cancel()
	for range cap(done) {
		<-done
	}
	f.Logf("%d of %d requests failed", failed.Load(), sent.Load())
	return failed.Load()
}

func testRollout(f fixture) {
	f.apply(strings.Replace(public("roll", "/"), "body: public", "body: here", 1))
	f.waitFor("Programmed", "pipelines.ostiary.dev/roll")
	f.wantStatus("/", "", http.StatusOK)
	failures := f.underLoad(func() {
		for _, args := range [][]string{
			{"rollout", "restart", "deployment", release, "-n", systemNamespace},
			{"rollout", "status", "deployment", release, "-n", systemNamespace, "--timeout=2m"},
		} {
			if _, err := f.cluster.Kubectl(f.Context(), args...); err != nil {
				f.Error(err)
			}
		}
		await(f.T, "end of the replaced pods", func() error {
			if pods := controllerPods(f.T, f.cluster.Bed); len(pods) != replicas {
				return fmt.Errorf("there are %d pods", len(pods))
			}
			return nil
		})
	})
	if failures > 0 {
		f.Errorf("%d requests failed while replicas were replaced", failures)
	}
	f.wantCondition("pipeline.ostiary.dev/roll", "Programmed", "True", "Programmed", "")
}

func testLeader(f fixture) {
	var leader string
	await(f.T, "leader", func() error {
		lease, err := f.cluster.Client().CoordinationV1().Leases(systemNamespace).Get(f.Context(), release+"-leader", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, pod := range controllerPods(f.T, f.cluster.Bed) {
			if lease.Spec.HolderIdentity != nil && strings.HasPrefix(*lease.Spec.HolderIdentity, pod.Name) {
				leader = pod.Name
				return nil
			}
		}
		return fmt.Errorf("the Lease says %+v", lease.Spec)
	})
	if err := f.cluster.Client().CoreV1().Pods(systemNamespace).Delete(f.Context(), leader, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
	f.apply(public("after", "/after"))
	f.waitFor("Programmed", "pipelines.ostiary.dev/after")
	f.wantStatus("/after", "", http.StatusOK)
	await(f.T, "replacement of the leader's pod", func() error {
		for _, pod := range controllerPods(f.T, f.cluster.Bed) {
			if pod.Name == leader {
				return fmt.Errorf("the pod is still there, in phase %s", pod.Status.Phase)
			}
			if pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("%s is in phase %s", pod.Name, pod.Status.Phase)
			}
		}
		return nil
	})
}

//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/test/bed"
)

const (
	release         = "ostiary"
	systemNamespace = "ostiary-system"
	replicas        = 2
	// patience is how long a test waits for what must come.
	patience = 30 * time.Second
)

// TestEndToEnd boots the cluster, installs the chart and runs the cases side by side.
func TestEndToEnd(t *testing.T) {
	cluster := start(t)
	t.Run("cases", func(t *testing.T) {
		for name, run := range map[string]func(fixture){
			"objects converge in any order":                         testAnyOrder,
			"the example of Express Gateway's announcement serves":  testExpressGatewayExample,
			"Q02 overlap 0s: a Secret's update switches the key":    testSecretUpdate,
			"a bad request is refused before the upstream":          testBadRequests,
			"a mistake stays with its object":                       testMistakes,
			"broken protection never falls through to a public one": testBrokenProtection,
			"a wrong field is refused with what to write":           testWrongFields,
			"certificates are picked by name":                       testTLS,
			"a Pipeline of another class is left alone":             testClass,
			"a grant lets a reference cross namespaces":             testGrants,
			"pods that come and go are followed":                    testPods,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(newFixture(t, cluster))
			})
		}
	})
	// These disturb the installation, so they come after the others, one by one.
	t.Run("replicas are replaced without a failed request", func(t *testing.T) { testRollout(newFixture(t, cluster)) })
	t.Run("keys rotate and are revoked", func(t *testing.T) { testRotations(newFixture(t, cluster)) })
	t.Run("status goes on when the leader goes", func(t *testing.T) { testLeader(newFixture(t, cluster)) })
}

// installation is Ostiary in its cluster.
type installation struct {
	*bed.Bed
	address string // of the load balancer
}

func start(t *testing.T) *installation {
	t.Helper()
	cluster, err := bed.Start(t.Context(), bed.Options{
		Assets: os.Getenv(bed.AssetsVariable),
		Images: map[string]string{
			"ostiary.test/ostiary": os.Getenv(ostiaryVariable),
			"ostiary.test/backend": os.Getenv(backendVariable),
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	crd, err := os.ReadFile(os.Getenv(grantsVariable))
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Apply(t.Context(), string(crd)); err != nil {
		t.Fatal(err)
	}
	helm(t, cluster, "install", release, "../../charts/ostiary", "--namespace", systemNamespace, "--create-namespace",
		"--set", "image.repository=ostiary.test/ostiary",
		"--set", fmt.Sprintf("replicaCount=%d", replicas),
		"--set", "ingressClass.default=true",
		"--set", "controller.drainDelay=2s",
		"--set", "controller.accessLog=all",
		"--wait", "--timeout", "2m")
	t.Cleanup(func() {
		if t.Failed() {
			logControllers(t, cluster)
		}
	})
	return &installation{Bed: cluster, address: loadBalancer(t, cluster)}
}

func helm(t *testing.T, cluster *bed.Bed, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Getenv(helmVariable), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	if out, err := cmd.CombinedOutput(); err != nil {
		logControllers(t, cluster)
		t.Fatalf("helm %s: %v: %s", args[0], err, bytes.TrimSpace(out))
	}
}

func logControllers(t *testing.T, cluster *bed.Bed) {
	t.Helper()
	for _, pod := range controllerPods(t, cluster) {
		log, err := cluster.Logs(systemNamespace, pod.Name)
		if err != nil {
			t.Logf("log of %s: %v", pod.Name, err)
			continue
		}
		lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, `"msg":"request"`) })
		t.Logf("log of %s:\n%s", pod.Name, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
}

func controllerPods(t *testing.T, cluster *bed.Bed) []corev1.Pod {
	t.Helper()
	pods, err := cluster.Client().CoreV1().Pods(systemNamespace).List(context.WithoutCancel(t.Context()), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=ostiary",
	})
	if err != nil {
		t.Errorf("list the controller's pods: %v", err)
		return nil
	}
	return pods.Items
}

func loadBalancer(t *testing.T, cluster *bed.Bed) string {
	t.Helper()
	var address string
	await(t, "address of the load balancer", func() error {
		service, err := cluster.Client().CoreV1().Services(systemNamespace).Get(t.Context(), release, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(service.Status.LoadBalancer.Ingress) == 0 {
			return errors.New("it has none")
		}
		address = service.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return address
}

// fixture is what a case works with: a namespace, a host name, an upstream and the way in.
type fixture struct {
	*testing.T
	cluster   *installation
	namespace string
	host      string
	upstream  *upstream
	client    *http.Client
}

func newFixture(t *testing.T, cluster *installation) fixture {
	t.Helper()
	namespace, err := cluster.Client().CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "case-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{
		T:         t,
		cluster:   cluster,
		namespace: namespace.Name,
		host:      namespace.Name + ".example.com",
		upstream:  newUpstream(t),
	}
	f.client = f.newClient(cluster.address)
	f.apply(f.upstream.manifest("upstream"))
	return f
}

// newClient returns a client for which every host is at the given address.
func (f fixture) newClient(address string) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, target string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(target)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, port))
		},
	}
	f.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// apply hands manifests to kubectl apply. HOST and NAMESPACE in them stand for the fixture's own.
func (f fixture) apply(manifest string) {
	f.Helper()
	if err := f.tryApply(manifest); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) tryApply(manifest string) error {
	file := f.TempDir() + "/manifest.yaml"
	manifest = strings.NewReplacer("HOST", f.host, "NAMESPACE", f.namespace).Replace(manifest)
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		return err
	}
	_, err := f.cluster.Kubectl(f.Context(), "apply", "--validate=strict", "-n", f.namespace, "-f", file)
	return err
}

func (f fixture) kubectl(args ...string) string {
	f.Helper()
	out, err := f.cluster.Kubectl(f.Context(), append([]string{"-n", f.namespace}, args...)...)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// waitFor lets kubectl wait for a condition of an object, as people do.
func (f fixture) waitFor(condition, object string) {
	f.Helper()
	if _, err := f.cluster.Kubectl(f.Context(), "wait", "-n", f.namespace, "--for=condition="+condition, object, "--timeout="+patience.String()); err != nil {
		f.Fatalf("%v; %s", err, f.kubectl("get", object, "-o", "jsonpath={.status}"))
	}
}

// wantCondition waits until an object's condition has a status and reason and its message has a text.
func (f fixture) wantCondition(object, condition, status, reason, text string) {
	f.Helper()
	await(f.T, fmt.Sprintf("%s=%s/%s with %q on %s", condition, status, reason, text, object), func() error {
		out, err := f.cluster.Kubectl(f.Context(), "get", "-n", f.namespace, object, "-o", "json")
		if err != nil {
			return err
		}
		var state struct {
			Metadata struct{ Generation int64 }
			Status   struct{ Conditions []metav1.Condition }
		}
		if err := json.Unmarshal([]byte(out), &state); err != nil {
			return err
		}
		for _, c := range state.Status.Conditions {
			if c.Type != condition {
				continue
			}
			if string(c.Status) == status && c.Reason == reason && strings.Contains(c.Message, text) && c.ObservedGeneration == state.Metadata.Generation {
				return nil
			}
			return fmt.Errorf("it is %s/%s %q, observedGeneration %d of %d", c.Status, c.Reason, c.Message, c.ObservedGeneration, state.Metadata.Generation)
		}
		return fmt.Errorf("it is not among %+v", state.Status.Conditions)
	})
}

// await calls check until it returns nil, for as long as the tests are patient.
func await(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("no %s: %v", what, err)
		case <-again.C:
		}
	}
}

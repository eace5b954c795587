//go:build linux

package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const backendVariable = "OSTIARY_BED_TEST_BACKEND"

func TestMain(m *testing.M) {
	os.Exit(RunTests(m, func(ctx context.Context, dir string) error {
		if _, err := FindAssets(ctx); err != nil {
			return err
		}
		backend := filepath.Join(dir, "backend")
		if err := BuildStatic(ctx, "./test/backend", backend); err != nil {
			return err
		}
		return os.Setenv(backendVariable, backend)
	}))
}

// TestBed boots one cluster for all its cases, which run side by side, and looks
// for what is left when it has stopped.
func TestBed(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	cluster := startBed(t)
	switches := newSwitchboard(t)
	t.Run("cases", func(t *testing.T) {
		for name, run := range map[string]func(fixture){
			"a service reaches ready pods only":                 testReadiness,
			"a deleted pod drains before it goes":               testTermination,
			"a pod that doesn't end is killed":                  testGracePeriod,
			"a failed liveness probe restarts the process":      testLiveness,
			"a process that ends is started again with a pause": testCrashLoop,
			"a job's pod ends for good":                         testCompletion,
			"a pod's service account has its rights only":       testServiceAccount,
			"a pod gets its user, variables and volumes":        testContainer,
			"a missing Secret holds a pod back until it's made": testMissingSecret,
			"an image without a binary only waits":              testPause,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(fixture{t: t, cluster: cluster, switches: switches})
			})
		}
	})
	switches.close()
	if err := cluster.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if left := processes(t); len(left) > 0 {
		t.Errorf("processes left after Stop: %q", left)
	}
	if err := goleak.Find(leaks); err != nil {
		t.Errorf("after Stop: %v", err)
	}
}

// fixture is what a case works with.
type fixture struct {
	t        *testing.T
	cluster  *Bed
	switches *switchboard
}

func startBed(t *testing.T) *Bed {
	t.Helper()
	cluster, err := Start(t.Context(), Options{
		Assets: os.Getenv(AssetsVariable),
		Images: map[string]string{"example.test/backend": os.Getenv(backendVariable)},
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return cluster
}

func testReadiness(f fixture) {
	t, cluster, switches := f.t, f.cluster, f.switches
	ready := switches.add(t, "ready")
	ready.set(http.StatusServiceUnavailable)
	namespace := newNamespace(t, cluster, deployment(fmt.Sprintf(`
        readinessProbe:
          periodSeconds: 1
          failureThreshold: 1
          httpGet: {host: 10.244.0.1, port: %d, path: /ready}`, switches.port()))+service)

	address := balancerAddress(t, cluster, namespace)
	await(t, "an endpoint that is not ready", func() error {
		return wantEndpoints(cluster, namespace, "not ready")
	})
	if _, err := get(t.Context(), "http://"+address); err == nil {
		t.Error("the load balancer answers without a ready pod")
	}

	ready.set(http.StatusOK)
	await(t, "a ready endpoint", func() error { return wantEndpoints(cluster, namespace, "ready") })
	pod := onlyPod(t, cluster, namespace)
	for what, url := range map[string]string{
		"load balancer":   "http://" + address + "/a%2Fb?c=d",
		"cluster address": "http://" + clusterAddress(t, cluster, namespace) + "/a%2Fb?c=d",
		"pod address":     "http://" + net.JoinHostPort(pod.Status.PodIP, "80") + "/a%2Fb?c=d",
	} {
		answer, err := get(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if diff := cmp.Diff(pod.Name+" /a%2Fb c=d", answer.Pod+" "+answer.Path+" "+answer.Query); diff != "" {
			t.Errorf("%s: -want +got:\n%s", what, diff)
		}
	}
	logs, err := cluster.Kubectl(t.Context(), "logs", "-n", namespace, "--tail=1", pod.Name)
	if err != nil || !strings.Contains(logs, "listening on") {
		t.Errorf("kubectl logs: got %q, error %v", logs, err)
	}

	ready.set(http.StatusServiceUnavailable)
	await(t, "an endpoint that is no longer ready", func() error {
		return wantEndpoints(cluster, namespace, "not ready")
	})
	if _, err := get(t.Context(), "http://"+address); err == nil {
		t.Error("the load balancer still answers after the pod has stopped being ready")
	}
	if got := onlyPod(t, cluster, namespace).Status.ContainerStatuses[0].RestartCount; got != 0 {
		t.Errorf("got %d restarts, want none", got)
	}
}

func testTermination(f fixture) {
	t, cluster, switches := f.t, f.cluster, f.switches
	preStop := switches.add(t, "prestop")
	release := preStop.hold()
	namespace := newNamespace(t, cluster, deployment(fmt.Sprintf(`
        readinessProbe: {httpGet: {port: http, path: /healthz}}
        lifecycle:
          preStop:
            httpGet: {host: 10.244.0.1, port: %d, path: /prestop}`, switches.port()))+service)
	await(t, "a ready endpoint", func() error { return wantEndpoints(cluster, namespace, "ready") })
	pod := onlyPod(t, cluster, namespace)
	open := openRequest(t, net.JoinHostPort(pod.Status.PodIP, "80"))

	if _, err := cluster.Kubectl(t.Context(), "scale", "-n", namespace, "deployment/app", "--replicas=0"); err != nil {
		t.Fatal(err)
	}
	preStop.awaitCall(t)
	await(t, "an endpoint that terminates and still serves", func() error {
		return wantEndpoints(cluster, namespace, "not ready, serving, terminating")
	})
	// The hook has not returned: the process knows nothing yet.
	if _, err := get(t.Context(), "http://"+net.JoinHostPort(pod.Status.PodIP, "80")); err != nil {
		t.Errorf("new connection during the preStop hook: %v", err)
	}
	if logs, err := cluster.Logs(namespace, pod.Name); err != nil || strings.Contains(logs, "draining") {
		t.Errorf("SIGTERM came before the hook returned: log %q, error %v", logs, err)
	}

	release()
	await(t, "SIGTERM", func() error {
		logs, err := cluster.Logs(namespace, pod.Name)
		if err == nil && !strings.Contains(logs, "draining") {
			err = fmt.Errorf("log is %q", logs)
		}
		return err
	})
	if answer, err := open.finish(); err != nil || answer.BodyBytes != int64(len(openBody)) {
		t.Errorf("request in flight: got %+v, error %v", answer, err)
	}
	awaitGone(t, cluster, namespace, pod)
}

func testGracePeriod(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, deployment(`
        readinessProbe: {httpGet: {port: http, path: /healthz}}`)+service)
	await(t, "a ready endpoint", func() error { return wantEndpoints(cluster, namespace, "ready") })
	pod := onlyPod(t, cluster, namespace)
	// The process waits for this request, for longer than it is given.
	open := openRequest(t, net.JoinHostPort(pod.Status.PodIP, "80"))

	const grace = 3 * time.Second
	began := time.Now()
	if _, err := cluster.Kubectl(t.Context(), "delete", "pod", "-n", namespace, pod.Name, "--wait=false", "--grace-period=3"); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, cluster, namespace, pod)
	if took := time.Since(began); took < grace || took > 3*grace {
		t.Errorf("the pod was gone after %v, want %v and a little", took, grace)
	}
	if _, err := open.finish(); err == nil {
		t.Error("the request in flight was answered by a process that had been killed")
	}
}

func testLiveness(f fixture) {
	t, cluster, switches := f.t, f.cluster, f.switches
	alive := switches.add(t, "alive")
	namespace := newNamespace(t, cluster, deployment(fmt.Sprintf(`
        livenessProbe:
          periodSeconds: 1
          failureThreshold: 2
          httpGet: {host: 10.244.0.1, port: %d, path: /alive}`, switches.port()))+service)
	await(t, "a ready endpoint", func() error { return wantEndpoints(cluster, namespace, "ready") })
	before := onlyPod(t, cluster, namespace)

	alive.set(http.StatusInternalServerError)
	await(t, "a restart", func() error {
		pod := onlyPod(t, cluster, namespace)
		if status := pod.Status.ContainerStatuses[0]; status.RestartCount == 0 {
			return fmt.Errorf("container status is %+v", status)
		}
		return nil
	})
	alive.set(http.StatusOK)
	await(t, "a ready endpoint after the restart", func() error { return wantEndpoints(cluster, namespace, "ready") })
	after := onlyPod(t, cluster, namespace)
	if diff := cmp.Diff(before.Status.PodIP, after.Status.PodIP); diff != "" {
		t.Errorf("address of the pod after the restart: -want +got:\n%s", diff)
	}
	if after.Status.ContainerStatuses[0].LastTerminationState.Terminated == nil {
		t.Errorf("no last state after a restart: %+v", after.Status.ContainerStatuses[0])
	}
}

func testCrashLoop(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, strings.Replace(deployment(""), "-addr=:80", "-addr=nowhere", 1))
	await(t, "three starts", func() error {
		pod := onlyPod(t, cluster, namespace)
		status := pod.Status.ContainerStatuses
		if len(status) == 0 || status[0].RestartCount < 2 {
			return fmt.Errorf("container status is %+v", status)
		}
		ended := status[0].LastTerminationState.Terminated
		if ended == nil || ended.ExitCode != 1 || !strings.Contains(ended.Message, "listen") {
			return fmt.Errorf("last state is %+v, want exit code 1 and the reason", ended)
		}
		return nil
	})
}

func testCompletion(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, `
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: once, image: example.test/backend, args: [-h]}`)
	if _, err := cluster.Kubectl(t.Context(), "wait", "-n", namespace, "--for=condition=Complete", "job/once", "--timeout=30s"); err != nil {
		t.Fatal(err)
	}
	if pod := onlyPod(t, cluster, namespace); pod.Status.Phase != corev1.PodSucceeded {
		t.Errorf("got phase %s, want Succeeded", pod.Status.Phase)
	}
}

func testServiceAccount(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, deployment(""))
	pod := awaitReady(t, cluster, namespace)
	volumes, err := filepath.Glob(filepath.Join(cluster.WorkDir(), "pods", string(pod.UID), "volumes", "kube-api-access-*"))
	if err != nil || len(volumes) != 1 {
		t.Fatalf("got volumes %q, error %v, want one with the API's credentials", volumes, err)
	}
	variables := environ(t, pod)
	inPod, err := kubernetes.NewForConfig(&rest.Config{
		Host:            "https://" + net.JoinHostPort(variables["KUBERNETES_SERVICE_HOST"], variables["KUBERNETES_SERVICE_PORT"]),
		BearerTokenFile: filepath.Join(volumes[0], "token"),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(volumes[0], "ca.crt")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(volumes[0], "namespace")); err != nil || string(got) != namespace {
		t.Errorf("got namespace %q, error %v, want %q", got, err, namespace)
	}
	if _, err := inPod.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list pods without a role: got error %v, want forbidden", err)
	}
	if _, err := cluster.Kubectl(t.Context(), "create", "rolebinding", "-n", namespace, "view", "--clusterrole=view", "--serviceaccount="+namespace+":default"); err != nil {
		t.Fatal(err)
	}
	await(t, "the role to have effect", func() error {
		_, err := inPod.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	})
}

func testContainer(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, `
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {word: open sesame, other: unused}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
---`+deployment(`
        startupProbe: {exec: {command: [/backend, -h]}}
        resources: {limits: {memory: 64Mi}}
        securityContext: {runAsUser: 1234, runAsGroup: 2345, readOnlyRootFilesystem: true}
        env:
        - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: WORD, valueFrom: {secretKeyRef: {name: word, key: word}}}
        - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
        - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
        - {name: BOTH, value: $(COLOUR) at $(ADDRESS) costs $$(NOTHING) $(UNKNOWN)}
        volumeMounts:
        - {name: word, mountPath: /etc/word}
        - {name: word, mountPath: /single, subPath: secret.txt}
        - {name: scratch, mountPath: /scratch}
      volumes:
      - {name: word, secret: {secretName: word, defaultMode: 0400, items: [{key: word, path: secret.txt}]}}
      - {name: scratch, emptyDir: {}}
      securityContext: {fsGroup: 3456}`))
	pod := awaitReady(t, cluster, namespace)

	got := map[string]string{}
	for name, value := range environ(t, pod) {
		switch name {
		case "ADDRESS", "NAME", "NODE", "WORD", "COLOUR", "MEMORY", "BOTH":
			got[name] = value
		}
	}
	want := map[string]string{
		"ADDRESS": pod.Status.PodIP, "NAME": pod.Name, "NODE": "bed-0", "WORD": "open sesame", "COLOUR": "blue", "MEMORY": "64",
		"BOTH": "blue at " + pod.Status.PodIP + " costs $(NOTHING) $(UNKNOWN)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables: -want +got:\n%s", diff)
	}

	process := podProcess(t, pod)
	for _, path := range []string{"etc/word/secret.txt", "single"} {
		if content, err := os.ReadFile(filepath.Join(process, "root", path)); err != nil || string(content) != "open sesame" {
			t.Errorf("file %q: got %q, error %v", path, content, err)
		}
	}
	if _, err := os.Stat(filepath.Join(process, "root", "etc", "word", "other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key that the volume doesn't list: got error %v", err)
	}
	if err := os.WriteFile(filepath.Join(process, "root", "scratch", "x"), nil, 0o600); err != nil {
		t.Errorf("write to an emptyDir: %v", err)
	}
	for _, path := range []string{"x", "etc/word/x"} {
		if err := os.WriteFile(filepath.Join(process, "root", path), nil, 0o600); err == nil {
			t.Errorf("%q can be written though it is read-only", path)
		}
	}
	ids, err := readIDMap()
	if err != nil {
		t.Fatal(err)
	}
	if ids.single {
		t.Log("a single user in this user namespace: not looking at the process's user")
		return
	}
	status := procStatus(t, process)
	if diff := cmp.Diff(map[string]string{"Uid": "1234", "Gid": "2345"}, map[string]string{
		"Uid": strings.Fields(status["Uid"])[1], "Gid": strings.Fields(status["Gid"])[1],
	}); diff != "" {
		t.Errorf("user of the process: -want +got:\n%s", diff)
	}
	if !strings.Contains(status["Groups"], "3456") {
		t.Errorf("groups of the process are %q, want the fsGroup 3456 among them", status["Groups"])
	}
}

func testMissingSecret(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, deployment(`
        env:
        - {name: WORD, valueFrom: {secretKeyRef: {name: word, key: word}}}`))
	await(t, "a pod that says what it waits for", func() error {
		status := onlyPod(t, cluster, namespace).Status.ContainerStatuses
		if len(status) == 0 || status[0].State.Waiting == nil || !strings.Contains(status[0].State.Waiting.Message, `"word"`) {
			return fmt.Errorf("container status is %+v", status)
		}
		return nil
	})
	if _, err := cluster.Kubectl(t.Context(), "create", "secret", "generic", "word", "-n", namespace, "--from-literal=word=x"); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, cluster, namespace)
}

func testPause(f fixture) {
	t, cluster := f.t, f.cluster
	namespace := newNamespace(t, cluster, strings.Replace(deployment(`
        readinessProbe: {httpGet: {port: http}}`), "example.test/backend", "example.test/other", 1))
	pod := awaitReady(t, cluster, namespace)
	if _, err := cluster.Kubectl(t.Context(), "delete", "namespace", namespace); err != nil {
		t.Error(err)
	}
	awaitGone(t, cluster, namespace, pod)
}

// deployment is one replica of the backend on port 80, with more fields of its
// container, indented by eight, and of its pod, by six.
func deployment(more string) string {
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
      - name: app
        image: example.test/backend:1.2@sha256:0000000000000000000000000000000000000000000000000000000000000000
        args: ["-addr=:80", "-drain-timeout=1h"]
        ports: [{name: http, containerPort: 80}]` + more + "\n---"
}

const service = `
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  type: LoadBalancer
  selector: {app: app}
  ports: [{name: http, port: 80, targetPort: http}]
`

// newNamespace applies a manifest in a namespace of its own, whose name it returns.
func newNamespace(t *testing.T, cluster *Bed, manifest string) string {
	t.Helper()
	namespace, err := cluster.Client().CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.kubectl(t.Context(), manifest, []string{"apply", "--validate=strict", "-n", namespace.Name, "-f", "-"}); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// await calls check until it returns nil and fails the test after half a minute.
func await(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			t.Fatalf("no %s: %v", what, err)
		}
	}
}

// onlyPod returns the namespace's pod and waits for it if there is none yet.
func onlyPod(t *testing.T, cluster *Bed, namespace string) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	await(t, "pod", func() error {
		pods, err := cluster.Client().CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		pod = &pods.Items[0]
		return nil
	})
	return pod
}

func awaitReady(t *testing.T, cluster *Bed, namespace string) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	await(t, "ready pod", func() error {
		pod = onlyPod(t, cluster, namespace)
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("status is %+v", pod.Status)
	})
	return pod
}

func awaitGone(t *testing.T, cluster *Bed, namespace string, pod *corev1.Pod) {
	t.Helper()
	await(t, "end of the pod", func() error {
		now, err := cluster.Client().CoreV1().Pods(namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("pod %s is there, phase %s", now.Name, now.Status.Phase)
		}
		return err
	})
}

// wantEndpoints compares the conditions of the namespace's only endpoint.
func wantEndpoints(cluster *Bed, namespace, want string) error {
	slices, err := cluster.Client().DiscoveryV1().EndpointSlices(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	var got []string
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			got = append(got, conditions(endpoint.Conditions))
		}
	}
	if diff := cmp.Diff([]string{want}, got); diff != "" {
		return fmt.Errorf("endpoints: -want +got:\n%s", diff)
	}
	return nil
}

func conditions(c discoveryv1.EndpointConditions) string {
	on := func(b *bool) bool { return b != nil && *b }
	switch {
	case on(c.Ready):
		return "ready"
	case on(c.Terminating) && on(c.Serving):
		return "not ready, serving, terminating"
	case on(c.Terminating):
		return "not ready, terminating"
	}
	return "not ready"
}

func balancerAddress(t *testing.T, cluster *Bed, namespace string) string {
	t.Helper()
	var address string
	await(t, "address of the load balancer", func() error {
		s, err := cluster.Client().CoreV1().Services(namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(s.Status.LoadBalancer.Ingress) == 0 {
			return errors.New("none yet")
		}
		address = s.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return address
}

func clusterAddress(t *testing.T, cluster *Bed, namespace string) string {
	t.Helper()
	s, err := cluster.Client().CoreV1().Services(namespace).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.ClusterIP
}

// answer is what the backend says.
type answer struct {
	Pod, Path, Query string
	BodyBytes        int64
}

func get(ctx context.Context, url string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	return do(request)
}

func do(request *http.Request) (answer, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	var a answer
	err = json.NewDecoder(response.Body).Decode(&a)
	return a, err
}

const openBody = "0123456789"

// inFlight is a request whose body is not complete yet.
type inFlight struct {
	body   *io.PipeWriter
	result chan error
	answer answer
}

// openRequest returns once the request's head and the start of its body are sent.
func openRequest(t *testing.T, address string) *inFlight {
	t.Helper()
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &inFlight{body: writer, result: make(chan error, 1)}
	go func() {
		var err error
		f.answer, err = do(request)
		_ = reader.CloseWithError(errors.New("the request has ended"))
		f.result <- err
	}()
	if _, err := io.WriteString(writer, openBody[:5]); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *inFlight) finish() (answer, error) {
	if _, err := io.WriteString(f.body, openBody[5:]); err != nil {
		return answer{}, err
	}
	if err := f.body.Close(); err != nil {
		return answer{}, err
	}
	err := <-f.result
	return f.answer, err
}

// switchboard answers probes and hooks of pods as the test says, one path for each.
type switchboard struct {
	server   *http.Server
	listener net.Listener
	served   chan struct{}
	mu       sync.Mutex
	switches map[string]*toggle
}

func newSwitchboard(t *testing.T) *switchboard {
	t.Helper()
	listener, err := net.Listen("tcp", nodeAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &switchboard{listener: listener, served: make(chan struct{}), switches: map[string]*toggle{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends with close
	}()
	return s
}

func (s *switchboard) close() {
	_ = s.server.Close()
	<-s.served
}

func (s *switchboard) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *switchboard) add(t *testing.T, name string) *toggle {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	sw := &toggle{status: http.StatusOK, called: make(chan struct{}, 1)}
	s.switches[name] = sw
	return sw
}

func (s *switchboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	sw := s.switches[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if sw == nil {
		http.NotFound(w, r)
		return
	}
	select {
	case sw.called <- struct{}{}:
	default:
	}
	status, held := sw.get()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(status)
}

type toggle struct {
	called chan struct{}
	mu     sync.Mutex
	status int
	held   chan struct{}
}

func (s *toggle) get() (int, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.held
}

func (s *toggle) set(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// hold keeps callers waiting until release is called.
func (s *toggle) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
	return sync.OnceFunc(func() { close(s.held) })
}

func (s *toggle) awaitCall(t *testing.T) {
	t.Helper()
	select {
	case <-s.called:
	case <-time.After(30 * time.Second):
		t.Fatal("the hook was not called")
	}
}

// podProcess returns the folder in /proc of the pod's process.
func podProcess(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		content, err := os.ReadFile(filepath.Join(folder, "environ"))
		if err == nil && strings.Contains(string(content), "\x00HOSTNAME="+pod.Name+"\x00") {
			return folder
		}
	}
	t.Fatalf("no process of pod %s", pod.Name)
	return ""
}

func environ(t *testing.T, pod *corev1.Pod) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(podProcess(t, pod), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{}
	for line := range strings.SplitSeq(string(content), "\x00") {
		name, value, _ := strings.Cut(line, "=")
		variables[name] = value
	}
	return variables
}

func procStatus(t *testing.T, process string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(process, "status"))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.SplitSeq(string(content), "\n") {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = value
	}
	return fields
}

// processes lists the command lines of what runs in this process namespace, but
// for the test itself and process 1.
func processes(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		if content, err := os.ReadFile(filepath.Join(folder, "cmdline")); err == nil {
			lines = append(lines, strings.ReplaceAll(string(content), "\x00", " "))
		}
	}
	return lines
}

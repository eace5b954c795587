//go:build linux

package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
)

// Options configures Start.
type Options struct {
	// Assets is the folder with etcd, kube-apiserver, kube-controller-manager and
	// kubectl, as hack/kubebed/build.sh prints it. Required.
	Assets string
	// WorkDir takes certificates, etcd's data, pods and logs. By default it is a
	// temporary folder that Stop removes; a folder given here is made if need be
	// and kept.
	WorkDir string
	// Images maps an image's repository (no tag, no digest) to the static binary
	// that stands for it. A Pod with any other image is a process that only waits
	// for its end.
	Images map[string]string
	// Log takes what the bed has to say. Default: nothing is logged.
	Log *slog.Logger
}

// Bed is a running cluster.
type Bed struct {
	assets     string
	workDir    string
	keepWork   bool
	kubeconfig string
	config     *rest.Config
	client     kubernetes.Interface
	plane      *controlPlane
	log        *slog.Logger

	cancel   context.CancelFunc // ends the parts below
	parts    sync.WaitGroup
	stopOnce sync.Once
	stopErr  error
}

// Start boots the cluster and returns when it is usable: the API server answers,
// the controllers run, the Node is there. It must be called inside EnterNamespace's
// namespace, once at a time. Cancelling ctx after Start has returned has no effect:
// call Stop.
func Start(ctx context.Context, options Options) (_ *Bed, err error) {
	if err := checkIsolated(); err != nil {
		return nil, err
	}
	b := &Bed{assets: options.Assets, log: options.Log}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	images, err := newImageStore(options.Images)
	if err != nil {
		return nil, err
	}
	if err := b.makeWorkDir(options.WorkDir); err != nil {
		return nil, err
	}
	started := time.Now()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Stop())
		}
	}()
	if err := setUpNetwork(ctx); err != nil {
		return nil, fmt.Errorf("set up the network: %w", err)
	}
	if b.plane, err = startControlPlane(ctx, b.assets, b.workDir, b.log); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	b.config, b.kubeconfig = b.plane.config, b.plane.kubeconfig
	if b.client, err = kubernetes.NewForConfig(b.config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	if err := b.startParts(running, images); err != nil {
		return nil, err
	}
	if err := b.plane.awaitControllers(ctx, b.client); err != nil {
		return nil, err
	}
	b.log.Info("cluster is ready", "after", time.Since(started).Round(time.Millisecond), "kubeconfig", b.kubeconfig, "workDir", b.workDir)
	return b, nil
}

func (b *Bed) makeWorkDir(dir string) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "ostiary-bed-")
		if err != nil {
			return fmt.Errorf("make a work folder: %w", err)
		}
		b.workDir = made
		return nil
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find work folder %q: %w", dir, err)
	}
	b.workDir, b.keepWork = absolute, true
	// What an earlier cluster left there belongs to other certificates and objects.
	for _, name := range []string{"certs", "etcd", "pods"} {
		if err := os.RemoveAll(filepath.Join(absolute, name)); err != nil {
			return fmt.Errorf("clean work folder: %w", err)
		}
	}
	if err := os.MkdirAll(absolute, 0o700); err != nil {
		return fmt.Errorf("make work folder: %w", err)
	}
	return nil
}

// startParts registers the Node and starts the podlet, the service proxy and the
// kubelet's log server. Stop ends them through ctx and waits for b.parts.
func (b *Bed) startParts(ctx context.Context, images *imageStore) error {
	node, err := registerNode(ctx, b.client)
	if err != nil {
		return fmt.Errorf("register the node: %w", err)
	}
	logs, err := newLogServer(b.workDir, b.log)
	if err != nil {
		return fmt.Errorf("start the log server: %w", err)
	}
	b.parts.Go(func() { logs.run(ctx) })

	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: b.client.CoreV1().Events("")})
	recorder := events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "podlet", Host: node.Name})

	factory := informers.NewSharedInformerFactory(b.client, 0)
	pods, err := newPodlet(ctx, b.client, factory, node, images, recorder, b.workDir, b.plane.ca, b.log)
	if err != nil {
		return fmt.Errorf("start the podlet: %w", err)
	}
	services, err := newServiceProxy(b.client, factory, b.log)
	if err != nil {
		return fmt.Errorf("start the service proxy: %w", err)
	}
	factory.Start(ctx.Done())
	b.parts.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { pods.run(ctx) })
		both.Go(func() { services.run(ctx) })
		both.Wait()
		events.Shutdown()
		factory.Shutdown()
	})
	synced, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for kind, ok := range factory.WaitForCacheSync(synced.Done()) {
		if !ok {
			return fmt.Errorf("wait for the first list of %v", kind)
		}
	}
	return nil
}

// Stop ends every pod and the control plane and removes a temporary work folder.
// It may be called more than once. Watches that the caller holds open make the API
// server wait for up to five seconds: end them first.
func (b *Bed) Stop() error {
	b.stopOnce.Do(func() {
		b.cancel()
		b.parts.Wait()
		var errs []error
		if b.plane != nil {
			errs = append(errs, b.plane.stop())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, tearDownNetwork(ctx))
		if !b.keepWork {
			errs = append(errs, os.RemoveAll(b.workDir))
		}
		b.stopErr = errors.Join(errs...)
	})
	return b.stopErr
}

// Failed is closed when a control plane process that the bed watches has ended
// though Stop was not called.
func (b *Bed) Failed() <-chan struct{} { return b.plane.failed }

// Kubeconfig is the path of a kubeconfig of a cluster administrator.
func (b *Bed) Kubeconfig() string { return b.kubeconfig }

// WorkDir is the folder with the logs of the control plane and of the pods.
func (b *Bed) WorkDir() string { return b.workDir }

// Assets is the folder with kubectl and the control plane's programs.
func (b *Bed) Assets() string { return b.assets }

// RESTConfig returns a client configuration of a cluster administrator. It is the
// caller's to change.
func (b *Bed) RESTConfig() *rest.Config { return rest.CopyConfig(b.config) }

// Client is a client of a cluster administrator.
func (b *Bed) Client() kubernetes.Interface { return b.client }

// Kubectl runs kubectl as administrator and returns its standard output. The error
// holds its standard error.
func (b *Bed) Kubectl(ctx context.Context, args ...string) (string, error) {
	return b.kubectl(ctx, "", args)
}

// Apply hands a YAML manifest to kubectl apply, validated strictly.
func (b *Bed) Apply(ctx context.Context, manifest string) error {
	_, err := b.kubectl(ctx, manifest, []string{"apply", "--validate=strict", "-f", "-"})
	return err
}

func (b *Bed) kubectl(ctx context.Context, input string, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.assets, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.kubeconfig, "KUBECACHEDIR="+filepath.Join(b.workDir, "kubectl-cache"))
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Logs returns what the named pod's process has written so far, over all restarts.
// It outlives the pod.
func (b *Bed) Logs(namespace, pod string) (string, error) {
	content, err := os.ReadFile(podLogPath(b.workDir, namespace, pod))
	if err != nil {
		return "", fmt.Errorf("read the pod's log: %w", err)
	}
	return string(content), nil
}

func podLogPath(workDir, namespace, pod string) string {
	return filepath.Join(workDir, namespace+"_"+pod+".log")
}

// registerNode makes the one Node, ready and with the machine's size.
func registerNode(ctx context.Context, client kubernetes.Interface) (*corev1.Node, error) {
	capacity := nodeCapacity()
	now := metav1.Now()
	node, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: nodeName,
		Labels: map[string]string{
			corev1.LabelHostname:     nodeName,
			corev1.LabelOSStable:     "linux",
			corev1.LabelTopologyZone: "zone-a",
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create it: %w", err)
	}
	node.Status = corev1.NodeStatus{
		Capacity:    capacity,
		Allocatable: capacity,
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "BedReady", Message: "the test bed runs",
			LastHeartbeatTime: now, LastTransitionTime: now,
		}},
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: nodeAddress},
			{Type: corev1.NodeHostName, Address: nodeName},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
		NodeInfo:        corev1.NodeSystemInfo{OperatingSystem: "linux", KubeletVersion: "podlet", ContainerRuntimeVersion: "bed://process"},
	}
	if node, err = client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("set its status: %w", err)
	}
	return node, nil
}

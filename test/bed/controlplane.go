//go:build linux

package bed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// stopTimeout bounds how long a control plane process may take to end: an API
// server waits for open watches, which nobody needs any more.
const stopTimeout = 5 * time.Second

// controllers are those of kube-controller-manager that a one-node cluster without
// storage needs. The node lifecycle controller is left out: nobody renews the
// Node's lease, and it would taint the Node.
const controllers = "clusterrole-aggregation-controller,cronjob-controller,daemonset-controller,deployment-controller," +
	"disruption-controller,endpointslice-controller,endpointslice-mirroring-controller,endpoints-controller," +
	"garbage-collector-controller,horizontal-pod-autoscaler-controller,job-controller,namespace-controller," +
	"replicaset-controller,root-ca-certificate-publisher-controller,serviceaccount-controller," +
	"serviceaccount-token-controller,statefulset-controller,ttl-after-finished-controller"

// controlPlane is etcd, kube-apiserver and kube-controller-manager.
type controlPlane struct {
	plane      *envtest.ControlPlane
	config     *rest.Config
	kubeconfig string
	ca         []byte
	log        *slog.Logger

	manager  *exec.Cmd
	exited   chan struct{} // closed when the manager has ended
	stopping chan struct{} // closed when it is meant to end
	failed   chan struct{} // closed when it ended by itself
	logs     []*os.File
}

func startControlPlane(ctx context.Context, assets, workDir string, log *slog.Logger) (_ *controlPlane, err error) {
	c := &controlPlane{
		log:      log,
		exited:   make(chan struct{}),
		stopping: make(chan struct{}),
		failed:   make(chan struct{}),
	}
	started := false
	defer func() {
		if err == nil {
			return
		}
		if started {
			err = errors.Join(err, c.plane.Stop())
		}
		err = errors.Join(err, c.closeLogs())
	}()
	certificates, data := filepath.Join(workDir, "certs"), filepath.Join(workDir, "etcd")
	for _, dir := range []string{certificates, data} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
	}
	etcdLog, err := c.openLog(workDir, "etcd")
	if err != nil {
		return nil, err
	}
	serverLog, err := c.openLog(workDir, "kube-apiserver")
	if err != nil {
		return nil, err
	}
	c.plane = &envtest.ControlPlane{
		KubectlPath: filepath.Join(assets, "kubectl"),
		Etcd: &envtest.Etcd{
			Path: filepath.Join(assets, "etcd"), DataDir: data, Out: etcdLog, Err: etcdLog,
			StartTimeout: time.Minute, StopTimeout: stopTimeout,
		},
		APIServer: &envtest.APIServer{
			Path: filepath.Join(assets, "kube-apiserver"), CertDir: certificates, Out: serverLog, Err: serverLog,
			StartTimeout: time.Minute, StopTimeout: stopTimeout,
			// The serving certificate names this address, which pods reach too.
			SecureServing: envtest.SecureServing{ListenAddr: envtest.ListenAddr{Address: nodeAddress, Port: apiServerPort}},
		},
	}
	c.plane.APIServer.Configure().
		Set("authorization-mode", "RBAC").
		Set("advertise-address", nodeAddress). // no default route to guess it from
		Set("service-cluster-ip-range", clusterNetwork).
		Set("kubelet-preferred-address-types", "InternalIP").
		Set("allow-privileged", "true").
		Set("disable-admission-plugins", "") // envtest disables ServiceAccount
	if err := c.plane.Start(); err != nil {
		return nil, fmt.Errorf("start etcd and kube-apiserver (logs: %s): %w", workDir, err)
	}
	started = true
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	admin, err := c.plane.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, &rest.Config{QPS: 200, Burst: 400})
	if err != nil {
		return nil, fmt.Errorf("make the administrator: %w", err)
	}
	c.config = admin.Config()
	c.ca = c.config.CAData
	content, err := admin.KubeConfig()
	if err != nil {
		return nil, fmt.Errorf("make the kubeconfig: %w", err)
	}
	c.kubeconfig = filepath.Join(workDir, "kubeconfig")
	if err := os.WriteFile(c.kubeconfig, content, 0o600); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	if err := c.startManager(assets, workDir, certificates); err != nil {
		return nil, fmt.Errorf("start kube-controller-manager: %w", err)
	}
	return c, nil
}

func (c *controlPlane) openLog(workDir, name string) (*os.File, error) {
	file, err := os.Create(filepath.Join(workDir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	c.logs = append(c.logs, file)
	return file, nil
}

func (c *controlPlane) closeLogs() error {
	var errs []error
	for _, file := range c.logs {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

func (c *controlPlane) startManager(assets, workDir, certificates string) error {
	ca := filepath.Join(certificates, "ca.crt")
	if err := os.WriteFile(ca, c.ca, 0o644); err != nil {
		return fmt.Errorf("write the root certificate: %w", err)
	}
	log, err := c.openLog(workDir, "kube-controller-manager")
	if err != nil {
		return err
	}
	c.manager = exec.Command(filepath.Join(assets, "kube-controller-manager"),
		"--kubeconfig="+c.kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--use-service-account-credentials=false",
		"--service-account-private-key-file="+filepath.Join(certificates, "sa-signer.key"),
		"--root-ca-file="+ca,
		"--controllers="+controllers,
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--endpointslice-updates-batch-period=0s",
	)
	c.manager.Stdout, c.manager.Stderr = log, log
	c.manager.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.manager.Start(); err != nil {
		return err
	}
	go func() { // ends with the process, which stop ends
		defer close(c.exited)
		err := c.manager.Wait()
		select {
		case <-c.stopping:
		default:
			c.log.Error("kube-controller-manager ended by itself", "err", err, "log", log.Name())
			close(c.failed)
		}
	}()
	return nil
}

// awaitControllers returns when the controllers serve the default namespace.
func (c *controlPlane) awaitControllers(ctx context.Context, client kubernetes.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			_, err = client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		}
		if err == nil {
			return nil
		}
		select {
		case <-c.failed:
			return errors.New("kube-controller-manager ended")
		default:
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("wait for kube-controller-manager: %w", err)
		}
	}
}

func (c *controlPlane) stop() error {
	close(c.stopping)
	var errs []error
	if err := c.manager.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, fmt.Errorf("stop kube-controller-manager: %w", err))
	}
	select {
	case <-c.exited:
	case <-time.After(stopTimeout):
		errs = append(errs, errors.New("stop kube-controller-manager: killed after a time-out"), c.manager.Process.Kill())
		<-c.exited
	}
	if err := c.plane.Stop(); err != nil {
		errs = append(errs, fmt.Errorf("stop etcd and kube-apiserver: %w", err))
	}
	return errors.Join(append(errs, c.closeLogs())...)
}

// imageRepository cuts tag and digest off an image's name.
func imageRepository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		image = image[:i]
	}
	return image
}

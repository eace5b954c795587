//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/test/bed"
)

const (
	release   = "ostiary"
	namespace = "ostiary-system"
	// demoNamespace and demoHost are those of config/samples.
	demoNamespace = "shop"
	demoHost      = "api.example.com"
)

// backends are the Services that config/samples forwards to.
//
//go:embed backends.yaml
var backends string

// cluster is the running cluster with Ostiary in it.
type cluster struct {
	root     string
	programs string
	say      *progress

	bed     *bed.Bed
	keys    *demoKeys
	address string // of Ostiary's load balancer
}

// boot starts the cluster and installs everything. The returned code is that of a
// failure.
func (c *cluster) boot(ctx context.Context, log *slog.Logger) (int, error) {
	c.say.step("cluster")
	running, err := bed.Start(ctx, bed.Options{
		Assets: os.Getenv(bed.AssetsVariable),
		Images: map[string]string{
			ostiaryImage: filepath.Join(c.programs, "ostiary"),
			backendImage: filepath.Join(c.programs, "backend"),
		},
		Log: log,
	})
	if err != nil {
		return 1, err
	}
	c.bed = running
	if err := c.setEnvironment(); err != nil {
		return 1, err
	}
	c.say.step("helm install")
	err = command(ctx, "helm", "install", release, filepath.Join(c.root, "charts", "ostiary"),
		"--namespace", namespace, "--create-namespace", "--wait", "--timeout", "2m")
	if err != nil {
		return 1, errors.Join(err, c.diagnose(ctx, namespace))
	}
	if c.address, err = c.balancerAddress(ctx); err != nil {
		return 1, err
	}
	c.say.step("sample backends and config/samples")
	if err := c.applyDemo(ctx); err != nil {
		return 1, errors.Join(err, c.diagnose(ctx, demoNamespace))
	}
	return 0, c.nameAddress()
}

// setEnvironment makes kubectl, helm and ostiary the cluster's, for this process
// and those that it starts.
func (c *cluster) setEnvironment() error {
	helm := filepath.Join(c.bed.WorkDir(), "helm")
	for name, value := range map[string]string{
		"KUBECONFIG":       c.bed.Kubeconfig(),
		"PATH":             c.bed.Assets() + ":" + c.programs + ":" + os.Getenv("PATH"),
		"HELM_CACHE_HOME":  filepath.Join(helm, "cache"),
		"HELM_CONFIG_HOME": filepath.Join(helm, "config"),
		"HELM_DATA_HOME":   filepath.Join(helm, "data"),
	} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// balancerAddress waits for the address of the release's load balancer.
func (c *cluster) balancerAddress(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		services, err := c.bed.Client().CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("find the load balancer: %w", err)
		}
		for _, service := range services.Items {
			if ingress := service.Status.LoadBalancer.Ingress; len(ingress) > 0 {
				return ingress[0].IP, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", errors.New("find the load balancer: no Service of the release has an address")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// applyDemo makes the sample backends and Secrets, then config/samples, and waits
// until all of it works.
func (c *cluster) applyDemo(ctx context.Context) error {
	if err := command(ctx, "kubectl", "create", "namespace", demoNamespace); err != nil {
		return err
	}
	keys, err := newDemoKeys(c.bed.WorkDir())
	if err != nil {
		return err
	}
	c.keys = keys
	secrets, err := keys.manifest()
	if err != nil {
		return err
	}
	for _, manifest := range []string{secrets, backends} {
		if err := c.bed.Apply(ctx, manifest); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"apply", "--validate=strict", "-k", filepath.Join(c.root, "config", "samples")},
		{"rollout", "status", "-n", demoNamespace, "deployment/orders", "--timeout=60s"},
		{"rollout", "status", "-n", demoNamespace, "deployment/orders-canary", "--timeout=60s"},
		{"wait", "-n", demoNamespace, "--for=condition=Programmed", "pipelines.ostiary.dev", "--all", "--timeout=60s"},
	} {
		if err := command(ctx, "kubectl", args...); err != nil {
			return err
		}
	}
	return nil
}

// diagnose returns what may explain a failure as an error.
func (c *cluster) diagnose(ctx context.Context, namespace string) error {
	var text strings.Builder
	for _, args := range [][]string{
		{"get", "pods", "-n", namespace, "-o", "wide"},
		{"get", "events", "-n", namespace},
		{"get", "pipelines.ostiary.dev,serviceendpoints.ostiary.dev,jwtcredentials.ostiary.dev,consumers.ostiary.dev", "-n", namespace},
		{"logs", "-n", namespace, "-l", "app.kubernetes.io/name=ostiary", "--tail=30"},
	} {
		out, err := c.bed.Kubectl(ctx, args...)
		fmt.Fprintf(&text, "\n$ kubectl %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	return errors.New("what the cluster looks like:" + text.String())
}

// nameAddress makes the samples' host name resolve to the load balancer, in this
// mount namespace only.
func (c *cluster) nameAddress() error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return fmt.Errorf("read the host table: %w", err)
	}
	ours := filepath.Join(c.bed.WorkDir(), "hosts")
	hosts = append(bytes.TrimRight(hosts, "\n"), fmt.Sprintf("\n%s %s\n", c.address, demoHost)...)
	if err := os.WriteFile(ours, hosts, 0o644); err != nil {
		return fmt.Errorf("write the host table: %w", err)
	}
	if err := unix.Mount(ours, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("put the host table in place: %w", err)
	}
	return nil
}

// command runs a program. The error holds what it wrote.
func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

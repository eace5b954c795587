//go:build linux

package bed

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type probeKind string

const (
	probeStartup   probeKind = "startup"
	probeLiveness  probeKind = "liveness"
	probeReadiness probeKind = "readiness"
)

const (
	// Until a pod is ready for the first time its readiness is asked more often
	// than its probe says, as tests wait for it.
	eagerPeriod = 200 * time.Millisecond
	// listenPatience bounds the wait for a listener of a pod without readiness
	// probe: it may be one that never listens for TCP.
	listenPatience = 2 * time.Second
)

// probeEvent is sent when a probe's result changes.
type probeEvent struct {
	kind    probeKind
	ok      bool
	message string
}

// probeSet probes one process until it is stopped.
type probeSet struct {
	events    chan probeEvent
	container *corev1.Container
	address   string
	process   *process

	cancel         context.CancelFunc
	cancelLiveness context.CancelFunc
	running        sync.WaitGroup
}

func startProbes(c *corev1.Container, address string, process *process) *probeSet {
	ctx, cancel := context.WithCancel(context.Background())
	liveness, cancelLiveness := context.WithCancel(ctx)
	s := &probeSet{
		events: make(chan probeEvent), container: c, address: address, process: process,
		cancel: cancel, cancelLiveness: cancelLiveness,
	}
	s.running.Go(func() { s.run(ctx, liveness) })
	return s
}

// stop ends all probes and waits for them.
func (s *probeSet) stop() {
	s.cancelLiveness()
	s.cancel()
	s.running.Wait()
}

// stopLiveness ends the startup and liveness probes.
func (s *probeSet) stopLiveness() { s.cancelLiveness() }

func (s *probeSet) run(ctx, liveness context.Context) {
	if len(s.process.spec.Argv) == 0 { // no image: nothing answers probes
		s.send(ctx, probeEvent{kind: probeStartup, ok: true})
		s.send(ctx, probeEvent{kind: probeReadiness, ok: true})
		return
	}
	if probe := s.container.StartupProbe; probe != nil {
		if !s.probe(liveness, probeStartup, probe) {
			return
		}
	} else {
		s.send(ctx, probeEvent{kind: probeStartup, ok: true})
	}
	if probe := s.container.LivenessProbe; probe != nil {
		s.running.Go(func() { s.probe(liveness, probeLiveness, probe) })
	}
	if probe := s.container.ReadinessProbe; probe != nil {
		s.probe(ctx, probeReadiness, probe)
		return
	}
	awaitListener(ctx, s.process.pid)
	s.send(ctx, probeEvent{kind: probeReadiness, ok: true})
}

func (s *probeSet) send(ctx context.Context, event probeEvent) {
	select {
	case <-ctx.Done():
	case s.events <- event:
	}
}

// probe asks again and again. A startup probe ends with its first verdict, which
// it returns; a liveness probe with its first failure.
func (s *probeSet) probe(ctx context.Context, kind probeKind, p *corev1.Probe) bool {
	if sleep(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) != nil {
		return false
	}
	period := time.Duration(max(p.PeriodSeconds, 1)) * time.Second
	verdict := kind == probeLiveness // a live process is taken to be live
	successes, failures := int32(0), int32(0)
	eager := kind != probeLiveness
	for {
		err := s.check(ctx, p)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			successes, failures = successes+1, 0
		} else {
			successes, failures = 0, failures+1
		}
		switch {
		case err == nil && !verdict && successes >= max(p.SuccessThreshold, 1):
			verdict, eager = true, false
			s.send(ctx, probeEvent{kind: kind, ok: true})
			if kind == probeStartup {
				return true
			}
		case err != nil && failures >= max(p.FailureThreshold, 1) && (verdict || kind == probeStartup && !eager):
			verdict = false
			s.send(ctx, probeEvent{kind: kind, message: err.Error()})
			if kind != probeReadiness {
				return false
			}
		}
		wait := period
		if eager && kind == probeReadiness {
			wait = min(period, eagerPeriod)
		}
		if kind == probeStartup {
			eager = false
		}
		if sleep(ctx, wait) != nil {
			return false
		}
	}
}

// check asks once.
func (s *probeSet) check(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return httpGet(ctx, s.container, s.address, p.HTTPGet)
	case p.TCPSocket != nil:
		port, err := resolvePort(s.container, p.TCPSocket.Port)
		if err != nil {
			return err
		}
		host := s.address
		if p.TCPSocket.Host != "" {
			host = p.TCPSocket.Host
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		return conn.Close()
	case p.Exec != nil:
		return s.process.exec(ctx, p.Exec.Command)
	}
	return errors.New("the test bed knows httpGet, tcpSocket and exec probes only")
}

// httpGet asks as the kubelet does: certificates are not verified, redirects not
// followed, any status below 400 is success.
func httpGet(ctx context.Context, c *corev1.Container, address string, get *corev1.HTTPGetAction) error {
	port, err := resolvePort(c, get.Port)
	if err != nil {
		return err
	}
	host := address
	if get.Host != "" {
		host = get.Host
	}
	scheme := "http"
	if get.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	url := scheme + "://" + net.JoinHostPort(host, port) + "/" + strings.TrimPrefix(get.Path, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/bed")
	for _, header := range get.HTTPHeaders {
		request.Header.Add(header.Name, header.Value)
		if strings.EqualFold(header.Name, "Host") {
			request.Host = header.Value
		}
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode >= 400 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

func resolvePort(c *corev1.Container, port intstr.IntOrString) (string, error) {
	if port.Type == intstr.Int {
		return strconv.Itoa(port.IntValue()), nil
	}
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return strconv.Itoa(int(p.ContainerPort)), nil
		}
	}
	if _, err := strconv.Atoi(port.StrVal); err == nil {
		return port.StrVal, nil
	}
	return "", fmt.Errorf("container %q has no port named %q", c.Name, port.StrVal)
}

// awaitListener returns when something listens in the process's network namespace,
// or after listenPatience.
func awaitListener(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(ctx, listenPatience)
	defer cancel()
	for !listening(pid) {
		if sleep(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

func listening(pid int) bool {
	for _, name := range []string{"tcp", "tcp6"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			continue // the process has ended
		}
		lines := bufio.NewScanner(file)
		found := false
		for lines.Scan() && !found {
			fields := strings.Fields(lines.Text())
			found = len(fields) > 3 && fields[3] == "0A" // TCP_LISTEN
		}
		file.Close()
		if found {
			return true
		}
	}
	return false
}

// runPreStop runs the container's preStop hook, if it has one, until ctx ends.
func runPreStop(ctx context.Context, c *corev1.Container, address string, process *process) error {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return nil
	}
	switch hook := c.Lifecycle.PreStop; {
	case hook.Exec != nil:
		return process.exec(ctx, hook.Exec.Command)
	case hook.HTTPGet != nil:
		return httpGet(ctx, c, address, hook.HTTPGet)
	case hook.Sleep != nil:
		return sleep(ctx, time.Duration(hook.Sleep.Seconds)*time.Second)
	}
	return errors.New("the test bed knows exec, httpGet and sleep hooks only")
}

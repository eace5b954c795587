//go:build linux

package bed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Restarts back off from and up to these; the kubelet's 10 seconds to 5 minutes
	// would make tests slow.
	firstBackOff = 250 * time.Millisecond
	lastBackOff  = 10 * time.Second
	// A process that ran this long starts over with the first back-off.
	backOffReset = 30 * time.Second
	// minimumGrace is what a process gets after a preStop hook that took all of
	// the grace period, as from the kubelet.
	minimumGrace = 2 * time.Second
	// volumeRefresh is how often changed Secrets, ConfigMaps and tokens get to a
	// running pod.
	volumeRefresh = 10 * time.Second
)

// worker runs one pod from its binding to its removal. Its goroutine (run) owns
// all fields but the channels.
type worker struct {
	podlet    *podlet
	pod       *corev1.Pod
	container *corev1.Container
	log       *slog.Logger
	updates   chan *corev1.Pod // the latest pod, at most one
	gone      chan struct{}    // closed when the API no longer has the pod
	goneOnce  sync.Once

	address  netip.Addr
	volumes  *volumeSet
	process  *process
	probes   *probeSet
	probed   <-chan probeEvent
	backOff  time.Duration
	status   containerStatus
	reported *corev1.PodStatus
}

func newWorker(p *podlet, pod *corev1.Pod) *worker {
	return &worker{
		podlet: p, pod: pod, container: &pod.Spec.Containers[0],
		log:     p.log.With("pod", podKey(pod)),
		updates: make(chan *corev1.Pod, 1),
		gone:    make(chan struct{}),
		backOff: firstBackOff,
	}
}

// update hands over the pod's latest state. Only the podlet's goroutine calls it.
func (w *worker) update(pod *corev1.Pod) {
	select {
	case <-w.updates:
	default:
	}
	w.updates <- pod
}

// removed says that the API no longer has the pod.
func (w *worker) removed() { w.goneOnce.Do(func() { close(w.gone) }) }

func (w *worker) run(ctx context.Context) {
	defer w.cleanUp()
	w.status.wait("ContainerCreating", "")
	start := time.NewTimer(0)
	defer start.Stop()
	refresh := time.NewTicker(volumeRefresh)
	defer refresh.Stop()
	retryReport := time.NewTicker(500 * time.Millisecond)
	defer retryReport.Stop()
	w.warnOfLimits()

	for w.pod.DeletionTimestamp == nil {
		select {
		case <-ctx.Done():
			w.kill()
			return
		case <-w.gone:
			w.kill()
			return
		case pod := <-w.updates:
			w.pod = pod
			continue
		case <-start.C:
			if err := w.start(ctx); err != nil {
				w.status.wait("CreateContainerError", err.Error())
				w.event(corev1.EventTypeWarning, "Failed", "%v", err)
				start.Reset(w.nextBackOff())
			}
		case <-w.process.ended():
			if w.exited() {
				start.Reset(w.nextBackOff())
			}
		case event := <-w.probed:
			w.observe(event)
		case <-refresh.C:
			if w.process == nil {
				continue
			}
			if err := w.volumes.refresh(ctx); err != nil && ctx.Err() == nil {
				w.event(corev1.EventTypeWarning, "FailedMount", "refresh volumes: %v", err)
			}
			continue
		case <-retryReport.C:
		}
		w.report(ctx)
	}
	w.terminate(ctx)
}

// warnOfLimits says what of the pod will not happen.
func (w *worker) warnOfLimits() {
	if n := len(w.pod.Spec.Containers) - 1; n > 0 {
		w.event(corev1.EventTypeWarning, "NotSupported", "the test bed runs only the first container, %q: %d more not run", w.container.Name, n)
	}
	if n := len(w.pod.Spec.InitContainers); n > 0 {
		w.event(corev1.EventTypeWarning, "NotSupported", "the test bed runs no init containers: %d not run", n)
	}
}

func (w *worker) event(kind, reason, format string, args ...any) {
	level := slog.LevelInfo
	if kind == corev1.EventTypeWarning {
		level = slog.LevelWarn
	}
	w.log.Log(context.Background(), level, "pod event", "reason", reason, "message", fmt.Sprintf(format, args...))
	w.podlet.events.Eventf(w.pod, kind, reason, format, args...)
}

// start makes what the pod needs, as far as it is not there yet, and starts the
// process.
func (w *worker) start(ctx context.Context) error {
	if !w.address.IsValid() {
		address, err := w.podlet.addresses.take()
		if err != nil {
			return err
		}
		w.address = address
	}
	if w.volumes == nil {
		volumes, err := newVolumeSet(w.podlet, w.pod, w.address)
		if err != nil {
			return err
		}
		w.volumes = volumes
	}
	if err := w.volumes.refresh(ctx); err != nil {
		return err
	}
	spec, err := w.podlet.processSpec(ctx, w.pod, w.container, w.address, w.volumes)
	if err != nil {
		return err
	}
	mode := os.O_APPEND
	if w.status.restarts == 0 {
		mode = os.O_TRUNC // what is there belongs to an earlier pod of this name
	}
	began := time.Now()
	process, err := startProcess(ctx, spec, podLogPath(w.podlet.workDir, w.pod.Namespace, w.pod.Name), mode)
	if err != nil {
		return err
	}
	w.process = process
	if len(spec.Argv) == 0 {
		w.event(corev1.EventTypeWarning, "NoBinary", "the test bed has no binary for image %q: the process only waits", w.container.Image)
	}
	w.status.run(began)
	w.probes = startProbes(w.container, w.address.String(), process)
	w.probed = w.probes.events
	w.event(corev1.EventTypeNormal, "Started", "process %d, address %s", process.pid, w.address)
	return nil
}

// exited records that the process has ended by itself or because of a failed
// probe, and reports whether to start it again.
func (w *worker) exited() bool {
	result := w.process.result
	ran := w.status.terminate(result, w.process.lastOutput())
	w.stopProbes()
	w.process = nil
	if ran > backOffReset {
		w.backOff = firstBackOff
	}
	again := w.pod.Spec.RestartPolicy == corev1.RestartPolicyAlways ||
		w.pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure && exitCode(result) != 0
	if !again {
		return false
	}
	w.status.restarts++
	w.event(corev1.EventTypeWarning, "BackOff", "process ended with exit code %d, starting it again after %v", exitCode(result), w.backOff)
	w.status.wait("CrashLoopBackOff", fmt.Sprintf("back-off %v", w.backOff))
	return true
}

func (w *worker) nextBackOff() time.Duration {
	current := w.backOff
	w.backOff = min(2*w.backOff, lastBackOff)
	return current
}

// observe takes in what a probe found.
func (w *worker) observe(event probeEvent) {
	switch {
	case event.kind == probeStartup && event.ok:
		w.status.started = true
	case event.kind == probeReadiness:
		if !event.ok && w.status.ready {
			w.event(corev1.EventTypeWarning, "Unhealthy", "readiness probe failed: %s", event.message)
		}
		w.status.ready = event.ok
	case !event.ok: // startup or liveness
		w.event(corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s: restarting the process", event.kind, event.message)
		process := w.process
		process.signal(syscall.SIGTERM)
		// Stopped by nothing: killing a process that has ended does nothing.
		time.AfterFunc(w.gracePeriod(), process.kill)
	}
}

func (w *worker) gracePeriod() time.Duration {
	if seconds := w.pod.DeletionGracePeriodSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	if seconds := w.pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

// terminate ends the pod as the kubelet does: preStop hook, SIGTERM, SIGKILL at
// the end of the grace period, removal from the API. Readiness goes on being
// probed meanwhile, for the serving condition of terminating endpoints.
func (w *worker) terminate(ctx context.Context) {
	w.report(ctx)
	if w.process != nil {
		w.probes.stopLiveness()
		if !w.terminateProcess(ctx) {
			return
		}
	}
	w.stopProbes()
	w.status.ready = false
	if w.status.running() || w.status.state.Waiting != nil {
		w.status.neverRan()
	}
	w.report(ctx)
	w.podlet.finishDeletion(ctx, w.pod)
}

// terminateProcess returns false when the bed stops or the pod was removed by
// force meanwhile: then the process is killed and nothing is left to report.
func (w *worker) terminateProcess(ctx context.Context) bool {
	grace := w.gracePeriod()
	began := time.Now()
	w.event(corev1.EventTypeNormal, "Killing", "stopping with a grace period of %v", grace)
	hookDone := make(chan error, 1)
	hook, cancelHook := context.WithTimeout(ctx, grace)
	defer cancelHook()
	if grace > 0 {
		go func() { hookDone <- runPreStop(hook, w.container, w.address.String(), w.process) }()
	} else {
		hookDone <- nil
	}
	deadline := time.NewTimer(grace + minimumGrace)
	defer deadline.Stop()
	for {
		select {
		case <-ctx.Done():
			w.kill()
			return false
		case <-w.gone:
			w.kill()
			return false
		case pod := <-w.updates:
			w.pod = pod // a second deletion may shorten the grace period
			if shorter := w.gracePeriod(); shorter < grace {
				grace = shorter
				deadline.Reset(time.Until(began.Add(grace)))
			}
			continue
		case err := <-hookDone:
			hookDone = nil
			if err != nil {
				w.event(corev1.EventTypeWarning, "FailedPreStopHook", "preStop hook: %v", err)
			}
			deadline.Reset(max(time.Until(began.Add(grace)), min(grace, minimumGrace)))
			w.process.signal(syscall.SIGTERM)
		case <-deadline.C:
			w.process.kill()
		case event := <-w.probed:
			if event.kind == probeReadiness {
				w.status.ready = event.ok
			}
		case <-w.process.ended():
			w.status.terminate(w.process.result, w.process.lastOutput())
			w.process = nil
			return true
		}
		w.report(ctx)
	}
}

func (w *worker) stopProbes() {
	if w.probes != nil {
		w.probes.stop()
		w.probes, w.probed = nil, nil
	}
}

// kill ends the process at once.
func (w *worker) kill() {
	if w.process != nil {
		w.process.kill()
		<-w.process.ended()
		w.process = nil
	}
}

func (w *worker) cleanUp() {
	w.kill()
	w.stopProbes()
	if w.address.IsValid() {
		w.podlet.addresses.release(w.address)
	}
	if err := os.RemoveAll(w.podlet.podDir(w.pod)); err != nil {
		w.log.Error("can't remove the pod's folder", "err", err)
	}
}

// report writes the pod's status if it differs from what was last written. A
// failure is tried again by the next call.
func (w *worker) report(ctx context.Context) {
	status := w.podStatus()
	if w.reported != nil && statusEqual(w.reported, status) {
		return
	}
	err := patchStatus(ctx, w.podlet.client, w.pod, status)
	switch {
	case err == nil:
		w.reported = status
	case ctx.Err() == nil && !errors.Is(err, errPodGone):
		w.log.Warn("can't report the pod's status", "err", err)
	}
}

func (w *worker) podStatus() *corev1.PodStatus {
	started := w.pod.CreationTimestamp
	status := &corev1.PodStatus{
		Phase:             w.status.phase(w.pod.Spec.RestartPolicy, w.pod.DeletionTimestamp != nil),
		HostIP:            nodeAddress,
		HostIPs:           []corev1.HostIP{{IP: nodeAddress}},
		StartTime:         &started,
		ContainerStatuses: []corev1.ContainerStatus{w.status.api(w.container)},
	}
	if w.address.IsValid() {
		status.PodIP = w.address.String()
		status.PodIPs = []corev1.PodIP{{IP: w.address.String()}}
	}
	ready := w.status.running() && w.status.ready
	w.status.conditions.set(corev1.PodScheduled, true)
	w.status.conditions.set(corev1.PodInitialized, true)
	w.status.conditions.set(corev1.ContainersReady, ready)
	w.status.conditions.set(corev1.PodReady, ready)
	status.Conditions = w.status.conditions.list()
	return status
}

// metav1Now is the time as the API stores it: without fractions of a second.
func metav1Now() metav1.Time { return metav1.Now().Rfc3339Copy() }

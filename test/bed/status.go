//go:build linux

package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// errPodGone says that a status has no pod to be written to.
var errPodGone = errors.New("the pod is gone")

// containerStatus is what a worker knows about its process.
type containerStatus struct {
	state, last corev1.ContainerState
	restarts    int32
	started     bool
	ready       bool
	conditions  conditionSet
}

func (s *containerStatus) running() bool { return s.state.Running != nil }

func (s *containerStatus) wait(reason, message string) {
	if s.state.Terminated != nil {
		s.last = s.state
	}
	s.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	s.ready, s.started = false, false
}

func (s *containerStatus) run(at time.Time) {
	s.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at).Rfc3339Copy()}}
	s.ready, s.started = false, false
}

// terminate records the process's end and returns how long it ran.
func (s *containerStatus) terminate(result syscall.WaitStatus, output string) time.Duration {
	began := metav1Now()
	if s.state.Running != nil {
		began = s.state.Running.StartedAt
	}
	ended := &corev1.ContainerStateTerminated{
		ExitCode: int32(exitCode(result)), StartedAt: began, FinishedAt: metav1Now(), Reason: "Completed",
	}
	if result.Signaled() {
		ended.Signal = int32(result.Signal())
	}
	if ended.ExitCode != 0 {
		ended.Reason, ended.Message = "Error", output
	}
	s.state = corev1.ContainerState{Terminated: ended}
	s.ready, s.started = false, false
	return time.Since(began.Time)
}

// neverRan records the end of a container that had no process when it was deleted.
func (s *containerStatus) neverRan() {
	now := metav1Now()
	s.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "ContainerStatusUnknown", StartedAt: now, FinishedAt: now,
	}}
	s.ready, s.started = false, false
}

func (s *containerStatus) phase(policy corev1.RestartPolicy, deleted bool) corev1.PodPhase {
	switch ended := s.state.Terminated; {
	case ended != nil && (deleted || policy != corev1.RestartPolicyAlways):
		if ended.ExitCode == 0 {
			return corev1.PodSucceeded
		}
		return corev1.PodFailed
	case s.running(), s.restarts > 0:
		return corev1.PodRunning
	default:
		return corev1.PodPending
	}
}

func (s *containerStatus) api(c *corev1.Container) corev1.ContainerStatus {
	started := s.started
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.Image, State: s.state, LastTerminationState: s.last,
		Ready: s.running() && s.ready, Started: &started, RestartCount: s.restarts,
	}
}

// conditionSet keeps the transition times of a pod's conditions.
type conditionSet struct {
	conditions []corev1.PodCondition
}

func (s *conditionSet) set(kind corev1.PodConditionType, on bool) {
	status := corev1.ConditionFalse
	if on {
		status = corev1.ConditionTrue
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; c.Type == kind {
			if c.Status != status {
				c.Status, c.LastTransitionTime = status, metav1Now()
			}
			return
		}
	}
	s.conditions = append(s.conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1Now()})
}

func (s *conditionSet) list() []corev1.PodCondition {
	return append([]corev1.PodCondition(nil), s.conditions...)
}

func statusEqual(a, b *corev1.PodStatus) bool { return equality.Semantic.DeepEqual(a, b) }

// patchStatus writes a pod's status, unless another pod has its name by now.
func patchStatus(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, status *corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	_, err = client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return errPodGone
	}
	return err
}

// retryLimit bounds how long a call of the API is tried again.
const retryLimit = 30 * time.Second

// retry calls f until it succeeds, ctx ends or retryLimit is over, and returns the
// last error.
func retry(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := f()
		if err == nil {
			return nil
		}
		if sleep(ctx, wait) != nil {
			return err
		}
	}
}

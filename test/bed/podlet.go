//go:build linux

package bed

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

const (
	nodeName    = "bed-0"
	kubeletPort = 10250
)

// podlet stands in for the kubelet and for the scheduler: it binds every pod to
// the one Node and gives each a worker, which runs it as a process.
type podlet struct {
	client    kubernetes.Interface
	node      *corev1.Node
	images    *imageStore
	events    record.EventRecorder
	workDir   string
	ca        []byte
	log       *slog.Logger
	addresses *addressPool
	ids       idMap

	pods    chan podEvent
	done    <-chan struct{} // closed when nobody reads pods any more
	workers sync.WaitGroup
}

// podEvent is what the informer saw: a pod as it is now, or its removal.
type podEvent struct {
	pod     *corev1.Pod
	removed bool
}

func newPodlet(ctx context.Context, client kubernetes.Interface, factory informers.SharedInformerFactory, node *corev1.Node, images *imageStore,
	events record.EventRecorder, workDir string, ca []byte, log *slog.Logger,
) (*podlet, error) {
	ids, err := readIDMap()
	if err != nil {
		return nil, err
	}
	if ids.single {
		log.Warn("this user namespace has a single user: pods that ask for another one run as its root")
	}
	p := &podlet{
		client: client, node: node, images: images, events: events, workDir: workDir, ca: ca, log: log,
		addresses: newAddressPool(podNetwork, firstPodAddress),
		ids:       ids,
		pods:      make(chan podEvent),
		done:      ctx.Done(),
	}
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.observe(o, false) },
		UpdateFunc: func(_, o any) { p.observe(o, false) },
		DeleteFunc: func(o any) { p.observe(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return p, nil
}

func (p *podlet) observe(object any, removed bool) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	if pod, ok := object.(*corev1.Pod); ok {
		select {
		case p.pods <- podEvent{pod: pod, removed: removed}:
		case <-p.done:
		}
	}
}

// run hands events to the pods' workers until ctx ends, then waits for the workers,
// which kill their pods.
func (p *podlet) run(ctx context.Context) {
	workers := map[types.UID]*worker{}
	ended := make(chan types.UID)
	for {
		select {
		case <-ctx.Done():
			p.workers.Wait()
			return
		case uid := <-ended:
			delete(workers, uid)
		case event := <-p.pods:
			uid := event.pod.UID
			w := workers[uid]
			switch {
			case w != nil && event.removed:
				w.removed()
			case w != nil:
				w.update(event.pod)
			case event.removed, event.pod.Status.Phase == corev1.PodSucceeded, event.pod.Status.Phase == corev1.PodFailed:
				// Nothing runs. A finished pod that is being deleted still needs its end.
				if !event.removed && event.pod.DeletionTimestamp != nil {
					p.workers.Go(func() { p.finishDeletion(ctx, event.pod) })
				}
			case event.pod.Spec.NodeName == "":
				p.workers.Go(func() { p.bind(ctx, event.pod) })
			case event.pod.Spec.NodeName == p.node.Name:
				w = newWorker(p, event.pod)
				workers[uid] = w
				p.workers.Go(func() {
					w.run(ctx)
					select {
					case ended <- uid:
					case <-ctx.Done():
					}
				})
			}
		}
	}
}

// bind stands in for the scheduler.
func (p *podlet) bind(ctx context.Context, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		p.finishDeletion(ctx, pod)
		return
	}
	if len(pod.Spec.SchedulingGates) > 0 {
		return
	}
	err := retry(ctx, func() error {
		err := p.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: p.node.Name},
		}, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil // gone, or an event seen late: bound already
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		p.log.Error("can't bind the pod", "pod", podKey(pod), "err", err)
	}
}

// finishDeletion removes a pod whose process has ended from the API.
func (p *podlet) finishDeletion(ctx context.Context, pod *corev1.Pod) {
	err := retry(ctx, func() error {
		err := p.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)),
			Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
		})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil // gone, or another pod has its name by now
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		p.log.Error("can't delete the pod", "pod", podKey(pod), "err", err)
	}
}

func podKey(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

func (p *podlet) podDir(pod *corev1.Pod) string {
	return filepath.Join(p.workDir, "pods", string(pod.UID))
}

// nodeCapacity is the machine's size.
func nodeCapacity() corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:  *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourcePods: *resource.NewQuantity(1000, resource.DecimalSI),
	}
	memory := int64(4 << 30)
	if content, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kilobytes int64
		if _, err := fmt.Sscanf(string(content), "MemTotal: %d kB", &kilobytes); err == nil {
			memory = kilobytes << 10
		}
	}
	list[corev1.ResourceMemory] = *resource.NewQuantity(memory, resource.BinarySI)
	return list
}

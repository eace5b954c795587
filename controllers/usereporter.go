package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycoordinationv1 "k8s.io/client-go/applyconfigurations/coordination/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

const (
	// usePoll is how often a replica looks what there is to tell of the use of keys.
	usePoll = 5 * time.Second
	// usePause is by how much longer it waits for each key that it tells of, so that many are told of together.
	usePause = 2 * time.Millisecond
	// maxUsesPerLease is how many keys one Lease tells of: about 170 kB, of the 256 KiB that annotations may have.
	maxUsesPerLease = 6000
	// maxKeysPerEvent is how many keys an Event names.
	maxKeysPerEvent = 3
)

func keyUseLabels(opts Options) map[string]string {
	return map[string]string{labelName: "ostiary", labelInstance: opts.Instance, labelComponent: componentKeyUses}
}

func keyUseLeaseName(opts Options, share int) string {
	return "ostiary-key-uses-" + opts.PodName + "-" + strconv.Itoa(share)
}

// useReporter tells the other replicas, by Leases, when this one used keys that are on their way out, learns the same from
// them, and has people told.
type useReporter struct {
	options  Options
	client   client.Client
	cache    cache.Cache
	uses     *keyUses
	ledger   *useLedger
	leader   leadership
	recorder eventRecorder
	wake     func(objectRef)
	now      func() time.Time
	log      *slog.Logger

	// told are the minutes that were written, in so many shares; next is the earliest moment of the next write.
	told    map[useID]int64
	shares  int
	next    time.Time
	failing bool
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*useReporter) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. Its Leases outlive it: what they tell must get into the status first.
func (r *useReporter) Start(ctx context.Context) error {
	if r.options.PodNamespace != "" {
		informer, err := r.cache.GetInformer(ctx, &coordinationv1.Lease{}, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch the Leases of key uses: %w", err)
		}
		if _, err := informer.AddEventHandler(r.handler()); err != nil {
			return fmt.Errorf("watch the Leases of key uses: %w", err)
		}
	}
	poll := time.NewTicker(usePoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			r.next = time.Time{}
			r.write(context.WithoutCancel(ctx), everyUse)
			return nil
		case <-poll.C:
		case <-r.uses.moved:
			if !sleep(ctx, leaseWindow) {
				continue
			}
		}
		r.step(ctx)
	}
}

// step does what there is to do at this moment.
func (r *useReporter) step(ctx context.Context) {
	r.write(ctx, dueUses)
	r.announce(ctx)
	r.sweep(ctx)
}

// useFilter says which uses are a reason to write.
type useFilter func(told, seen int64, now time.Time) bool

// dueUses are those of keys that were never told of, and those after an hour's pause.
func dueUses(told, seen int64, now time.Time) bool {
	return seen > told && (told == 0 || !now.Before(fromMinutes(told).Add(useRenewal)))
}

// everyUse is each that was not told.
func everyUse(told, seen int64, _ time.Time) bool { return seen > told }

// write tells of uses where one is a reason to. What can't be written is written the next time.
func (r *useReporter) write(ctx context.Context, due useFilter) {
	now := r.now()
	if now.Before(r.next) {
		return
	}
	seen := r.uses.seen()
	for id := range r.told {
		if _, ok := seen[id]; !ok {
			delete(r.told, id)
		}
	}
	var failed error
	shares := shareUses(seen)
	again := len(shares) != r.shares // all of them: keys move from one to another
	for share, minutes := range shares {
		changed := again && len(minutes) > 0
		for id, minute := range minutes {
			changed = changed || due(r.told[id], minute, now)
		}
		if !changed {
			continue
		}
		r.next = now.Add(time.Duration(len(seen)) * usePause)
		name := keyUseLeaseName(r.options, share)
		r.wakeCredentials(r.ledger.take(name, minutes, now))
		if err := r.apply(ctx, name, minutes); err != nil {
			failed = err
			continue
		}
		if r.told == nil {
			r.told = map[useID]int64{}
		}
		maps.Copy(r.told, minutes)
	}
	if failed == nil {
		r.shares = len(shares)
	}
	if failed != nil && !r.failing && ctx.Err() == nil {
		r.log.Warn("other replicas can't be told which keys are in use here", "err", failed)
	}
	r.failing = failed != nil
}

// shareUses divides uses into as many shares as are needed, each key always into the same one of so many.
func shareUses(seen map[useID]int64) []map[useID]int64 {
	count := uint32(1)
	if most := len(seen) * 5 / 4; most > maxUsesPerLease { // shares are not all alike
		count = 1 << bits.Len(uint(most/maxUsesPerLease))
	}
	shares := make([]map[useID]int64, count)
	for id, minute := range seen {
		share := crc32.ChecksumIEEE([]byte(id)) % count
		if shares[share] == nil {
			shares[share] = map[useID]int64{}
		}
		shares[share][id] = minute
	}
	return shares
}

// apply writes a share into its Lease. Outside of a cluster there is nobody to be told.
func (r *useReporter) apply(ctx context.Context, name string, minutes map[useID]int64) error {
	if r.options.PodNamespace == "" {
		return nil
	}
	record, err := json.Marshal(minutes)
	if err != nil {
		return fmt.Errorf("encode the uses of keys: %w", err)
	}
	lease := applycoordinationv1.Lease(name, r.options.PodNamespace).
		WithLabels(keyUseLabels(r.options)).
		WithAnnotations(map[string]string{annotationKeyUses: string(record)}).
		WithSpec(applycoordinationv1.LeaseSpec().
			WithHolderIdentity(r.options.PodName).
			WithRenewTime(metav1.NewMicroTime(r.now())))
	if r.options.PodUID != "" {
		lease.WithOwnerReferences(applymetav1.OwnerReference().
			WithAPIVersion("v1").WithKind("Pod").WithName(r.options.PodName).WithUID(r.options.PodUID))
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	if err := r.client.Apply(ctx, lease, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply Lease %q: %w", name, err)
	}
	return nil
}

// wakeCredentials has the status of the keys' credentials looked at.
func (r *useReporter) wakeCredentials(ids []useID) {
	for _, credential := range r.uses.credentialsOf(ids) {
		r.wake(objectRef{kindJWTCredential, credential})
	}
}

// announce emits an Event for each credential of which keys were taken away that were in use.
func (r *useReporter) announce(ctx context.Context) {
	for ref, keys := range r.uses.ended(r.ledger.last, r.leader) {
		var credential v1alpha1.JWTCredential
		err := r.client.Get(ctx, objectName(ref.key), &credential)
		switch {
		case apierrors.IsNotFound(err), err == nil && credential.UID != ref.uid: // it is gone with its keys
		case err != nil:
			r.log.Warn("nobody is told that a key was taken away while in use", "credential", path(ref.key), "err", err)
		default:
			r.recorder.Eventf(&credential, nil, corev1.EventTypeWarning, string(v1alpha1.ReasonRemovedKeyInUse), "RemoveKey",
				"%s", capNote(removalNote(keys)))
		}
	}
}

// removalNote tells of keys that were taken away, the latest used first.
func removalNote(keys []endedKey) string {
	slices.SortFunc(keys, func(a, b endedKey) int {
		return cmp.Or(b.last.Compare(a.last), cmp.Compare(a.thumbprint, b.thumbprint))
	})
	var parts []string
	for _, key := range keys[:min(len(keys), maxKeysPerEvent)] {
		part := "key " + key.thumbprint
		if key.kid != "" && key.kid != key.thumbprint {
			part += " (kid " + strconv.Quote(key.kid) + ")"
		}
		parts = append(parts, part+", used at "+key.last.Format(time.RFC3339))
	}
	if more := len(keys) - maxKeysPerEvent; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return "No longer verifies tokens, though in use within the last hour: " + strings.Join(parts, "; ") + ". Its tokens are refused now."
}

// sweep deletes the Leases of replicas that ended and whose Pods are not their owners.
func (r *useReporter) sweep(ctx context.Context) {
	stale := r.ledger.sweep()
	if r.options.PodNamespace == "" || !r.leader.leading() {
		return
	}
	for _, name := range stale {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: r.options.PodNamespace, Name: name}}
		switch err := r.client.Delete(ctx, lease); {
		case apierrors.IsNotFound(err):
			r.ledger.lose(name)
		case err != nil && ctx.Err() == nil:
			r.log.Warn("a Lease of key uses that nobody renews can't be deleted", "lease", name, "err", err)
		}
	}
}

// handler takes in what the replicas tell.
func (r *useReporter) handler() toolscache.ResourceEventHandler {
	observe := func(lease *coordinationv1.Lease) {
		changed, err := r.ledger.observe(lease)
		if err != nil {
			r.log.Warn("a replica's Lease of key uses is not understood", "lease", lease.Name, "err", err)
			return
		}
		if len(changed) > 0 {
			r.wakeCredentials(changed)
			r.uses.changed()
		}
	}
	return leaseHandler(componentKeyUses, observe, r.ledger.lose)
}

// leaseHandler handles the Leases of one component.
func leaseHandler(component string, observe func(*coordinationv1.Lease), lost func(name string)) toolscache.ResourceEventHandler {
	ours := func(object any) (*coordinationv1.Lease, bool) {
		if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		lease, ok := object.(*coordinationv1.Lease)
		return lease, ok && lease.Labels[labelComponent] == component
	}
	seen := func(object any) {
		if lease, ok := ours(object); ok {
			observe(lease)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, object any) { seen(object) },
		DeleteFunc: func(object any) {
			if lease, ok := ours(object); ok {
				lost(lease.Name)
			}
		},
	}
}

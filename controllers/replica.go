package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycoordinationv1 "k8s.io/client-go/applyconfigurations/coordination/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// fieldOwner owns what the controllers apply.
	fieldOwner = "ostiary"

	// annotationReplica holds what a replica has made live, as JSON.
	annotationReplica = "ostiary.dev/replica"

	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelComponent = "app.kubernetes.io/component"

	// componentReplica and componentKeyUses are the components that Leases are of.
	componentReplica = "replica"
	componentKeyUses = "key-uses"

	// leaseDuration is how long a replica counts after it last renewed its Lease.
	leaseDuration = 30 * time.Second
	// leaseRenewal is how often it does at least.
	leaseRenewal = 10 * time.Second
	// leaseWindow is how long progress is gathered before one write tells of it.
	leaseWindow = 200 * time.Millisecond
	// readinessPoll is how often a replica looks whether its readiness changed.
	readinessPoll = 500 * time.Millisecond
	// leaseTimeout bounds one write.
	leaseTimeout = 5 * time.Second
)

func replicaLabels(opts Options) map[string]string {
	return map[string]string{labelName: "ostiary", labelInstance: opts.Instance, labelComponent: componentReplica}
}

// leaseLabels are those of all Leases that replicas write for each other.
func leaseLabels(opts Options) map[string]string {
	return map[string]string{labelName: "ostiary", labelInstance: opts.Instance}
}

func replicaLeaseName(opts Options) string { return "ostiary-replica-" + opts.PodName }

// replicaRecord is the annotation of a replica's Lease.
type replicaRecord struct {
	// Ready says whether the replica takes requests.
	Ready bool `json:"ready"`
	// Table and Keyring are the highest resourceVersions, by resource, that the live table and keyring include.
	Table   marks `json:"table"`
	Keyring marks `json:"keyring"`
}

// decodeReplica reads a replica's Lease.
func decodeReplica(lease *coordinationv1.Lease) (replicaState, error) {
	var record replicaRecord
	if err := json.Unmarshal([]byte(lease.Annotations[annotationReplica]), &record); err != nil {
		return replicaState{}, fmt.Errorf("decode annotation %s: %w", annotationReplica, err)
	}
	state := replicaState{ready: record.Ready, table: record.Table, keyring: record.Keyring}
	if lease.Spec.RenewTime != nil {
		state.renewed = *lease.Spec.RenewTime
	}
	return state, nil
}

// replicaPublisher tells the other replicas, by a Lease, what this one has made live.
type replicaPublisher struct {
	options Options
	client  client.Client
	own     func() replicaState
	now     func() time.Time
	log     *slog.Logger

	moved chan struct{} // holds one token when own may have changed
}

// changed asks for a write soon.
func (p *replicaPublisher) changed() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*replicaPublisher) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. When it ends, so does the Lease: the others need not wait for a replica that left.
func (p *replicaPublisher) Start(ctx context.Context) error {
	defer p.withdraw(ctx)
	poll := time.NewTicker(readinessPoll)
	defer poll.Stop()
	var last replicaState
	var renewed, failing time.Time
	for {
		state := p.own()
		if state != last || p.now().Sub(renewed) >= leaseRenewal {
			switch err := p.publish(ctx, state); {
			case err == nil:
				last, renewed, failing = state, p.now(), time.Time{}
			case ctx.Err() != nil:
				return nil
			case failing.IsZero(): // said once, tried with every poll
				failing = p.now()
				p.log.Warn("other replicas can't be told what is served here", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-p.moved:
			if !sleep(ctx, leaseWindow) {
				return nil
			}
		}
	}
}

func (p *replicaPublisher) publish(ctx context.Context, state replicaState) error {
	record, err := json.Marshal(replicaRecord{Ready: state.ready, Table: state.table, Keyring: state.keyring})
	if err != nil {
		return fmt.Errorf("encode the replica's progress: %w", err)
	}
	lease := applycoordinationv1.Lease(replicaLeaseName(p.options), p.options.PodNamespace).
		WithLabels(replicaLabels(p.options)).
		WithAnnotations(map[string]string{annotationReplica: string(record)}).
		WithSpec(applycoordinationv1.LeaseSpec().
			WithHolderIdentity(p.options.PodName).
			WithLeaseDurationSeconds(int32(leaseDuration / time.Second)).
			WithRenewTime(metav1.NewMicroTime(p.now())))
	if p.options.PodUID != "" {
		lease.WithOwnerReferences(applymetav1.OwnerReference().
			WithAPIVersion("v1").WithKind("Pod").WithName(p.options.PodName).WithUID(p.options.PodUID))
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	if err := p.client.Apply(ctx, lease, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply Lease %q: %w", replicaLeaseName(p.options), err)
	}
	return nil
}

func (p *replicaPublisher) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: p.options.PodNamespace, Name: replicaLeaseName(p.options)}}
	if err := p.client.Delete(ctx, lease); err != nil && !apierrors.IsNotFound(err) {
		p.log.Warn("this replica's Lease can't be deleted; it runs out by itself", "err", err)
	}
}

// sleep waits and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

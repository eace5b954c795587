package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	electionLease   = 15 * time.Second
	electionRenewal = 10 * time.Second
	electionRetry   = 2 * time.Second
)

// elector takes part in the election of the replica that writes status. Unlike the manager's own election it survives
// losing: the replica goes on serving and stands again.
type elector struct {
	lock    resourcelock.Interface
	elected func() // called when this replica became the leader
	log     *slog.Logger

	term atomic.Pointer[term]
}

// term is one time as leader; it is over when done is closed.
type term struct{ done <-chan struct{} }

func (t *term) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func newElector(cfg *rest.Config, opts Options, log *slog.Logger, elected func()) (*elector, error) {
	leases, err := coordinationclient.NewForConfig(rest.AddUserAgent(rest.CopyConfig(cfg), "leader-election"))
	if err != nil {
		return nil, fmt.Errorf("make the client of leader election: %w", err)
	}
	identity := opts.PodName + "_" + string(uuid.NewUUID())
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, opts.PodNamespace, electionLeaseName(opts), nil, leases,
		resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		return nil, fmt.Errorf("make the lock of leader election: %w", err)
	}
	return &elector{lock: lock, elected: elected, log: log}, nil
}

func electionLeaseName(opts Options) string { return opts.Instance + "-leader" }

// leading reports whether this replica is the leader.
func (e *elector) leading() bool {
	t := e.term.Load()
	return t != nil && !t.over()
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*elector) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (e *elector) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		candidate, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock:            e.lock,
			LeaseDuration:   electionLease,
			RenewDeadline:   electionRenewal,
			RetryPeriod:     electionRetry,
			ReleaseOnCancel: true,
			Name:            e.lock.Describe(),
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					e.term.Store(&term{done: ctx.Done()})
					e.log.Info("this replica writes status")
					e.elected()
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("stand for election: %w", err)
		}
		candidate.Run(ctx)
		if ctx.Err() == nil {
			e.log.Warn("another replica may write status now; this one goes on serving and stands again")
		}
	}
	return nil
}

// alwaysLeading is a replica that is alone.
type alwaysLeading struct{}

func (alwaysLeading) leading() bool { return true }

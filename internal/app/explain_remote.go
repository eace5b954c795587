package app

import (
	"context"
	"time"

	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/routing"
)

// remoteSets are key sets that others publish, until each was fetched or found not to be there.
type remoteSets struct {
	missing map[routing.RemoteKeys]struct{}
	news    chan routing.RemoteKeys
}

func newRemoteSets(outcome filesource.Outcome) *remoteSets {
	r := &remoteSets{missing: map[routing.RemoteKeys]struct{}{}}
	for i := range outcome.Config.Pipelines {
		if jwt := outcome.Config.Pipelines[i].JWT; jwt != nil {
			for j := range jwt.Issuers {
				r.need(jwt.Issuers[j].Remote)
			}
		}
	}
	for _, entry := range outcome.Entries {
		if entry.Remote != nil {
			r.need(entry.Remote.Source)
		}
	}
	r.news = make(chan routing.RemoteKeys, len(r.missing))
	return r
}

func (r *remoteSets) need(source routing.RemoteKeys) {
	if !source.IsZero() {
		r.missing[source] = struct{}{}
	}
}

// changed is told of every set once it is known whether it can be fetched, and of what becomes of it later, which is of
// no interest.
func (r *remoteSets) changed(source routing.RemoteKeys) {
	select {
	case r.news <- source:
	default:
	}
}

// wait waits for all sets, no longer than one may take to be fetched.
func (r *remoteSets) wait(ctx context.Context) {
	enough := time.NewTimer(jwks.FetchTimeout)
	defer enough.Stop()
	for len(r.missing) > 0 {
		select {
		case source := <-r.news:
			delete(r.missing, source)
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

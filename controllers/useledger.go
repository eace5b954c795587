package controllers

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

const (
	// annotationKeyUses holds a share of what a replica knows of the use of keys: a JSON object of minutes since 1970.
	annotationKeyUses = "ostiary.dev/key-uses"
	// staleUses is the age from which on the leader deletes such a record: what it says is in the status for long.
	staleUses = 3 * time.Hour
	// lostUses is how long what a deleted record said is still known, so that it gets into the status.
	lostUses = time.Minute
)

// useLedger knows, from what all replicas tell, when keys were last used.
type useLedger struct {
	now func() time.Time

	mu      sync.Mutex
	records map[string]useRecord // by the names of the Leases
}

// useRecord is what one Lease says. It is immutable.
type useRecord struct {
	minutes map[useID]int64
	// since is when it was last seen to change.
	since time.Time
	// lost is when its Lease was deleted; zero: it was not.
	lost time.Time
}

func newUseLedger(now func() time.Time) *useLedger {
	return &useLedger{now: now, records: map[string]useRecord{}}
}

// last is when a key was last used; zero: no use is known.
func (l *useLedger) last(id useID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last int64
	for _, record := range l.records {
		last = max(last, record.minutes[id])
	}
	if last == 0 {
		return time.Time{}
	}
	return fromMinutes(last)
}

// take replaces what one record says, and returns the keys of which it says something else.
func (l *useLedger) take(name string, minutes map[useID]int64, since time.Time) []useID {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.records[name].minutes
	l.records[name] = useRecord{minutes: minutes, since: since}
	var changed []useID
	for id, minute := range minutes {
		if before[id] != minute {
			changed = append(changed, id)
		}
	}
	return changed
}

// observe takes in a Lease, and returns the keys of which it says something else.
func (l *useLedger) observe(lease *coordinationv1.Lease) ([]useID, error) {
	var minutes map[useID]int64
	if err := json.Unmarshal([]byte(lease.Annotations[annotationKeyUses]), &minutes); err != nil {
		return nil, fmt.Errorf("decode annotation %s: %w", annotationKeyUses, err)
	}
	since := l.now()
	if renewed := lease.Spec.RenewTime; renewed != nil && renewed.Time.Before(since) {
		since = renewed.Time // it may be what a replica left behind
	}
	return l.take(lease.Name, minutes, since), nil
}

// lose takes in that a Lease is gone.
func (l *useLedger) lose(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if record, ok := l.records[name]; ok {
		record.lost = l.now()
		l.records[name] = record
	}
}

// sweep forgets what was lost, and names the Leases that nobody renews.
func (l *useLedger) sweep() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var stale []string
	now := l.now()
	for name, record := range l.records {
		switch {
		case !record.lost.IsZero():
			if now.Sub(record.lost) > lostUses {
				delete(l.records, name)
			}
		case now.Sub(record.since) > staleUses:
			stale = append(stale, name)
		}
	}
	return stale
}

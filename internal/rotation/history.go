package rotation

import (
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// History keeps the records of credentials. It is safe for use by several goroutines.
type History struct {
	mu          sync.Mutex
	credentials map[routing.ObjectKey]*remembered
}

// remembered is one credential. Another of that name, with another UID, inherits nothing.
type remembered struct {
	uid     string
	records []Record
	// cuts say since when a place is known to have been empty: what others saw there before is not retained.
	cuts map[Place]time.Time // of places without their Secrets' UIDs
}

// NewHistory returns an empty History.
func NewHistory() *History {
	return &History{credentials: map[routing.ObjectKey]*remembered{}}
}

// Observation is what was seen of one credential, with what others remember of it.
type Observation struct {
	Credential routing.ObjectKey
	UID        string
	Sources    []Source
	Limits     Limits
	Others     []Record
}

// Observe takes in what was seen now, and returns what there is to remember. The result must not be changed.
func (h *History) Observe(o Observation, now time.Time) []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.credentials[o.Credential]
	if known == nil || known.uid != o.UID {
		known = &remembered{uid: o.UID, cuts: map[Place]time.Time{}}
		h.credentials[o.Credential] = known
	}
	cuts := map[Place]time.Time{}
	for _, s := range o.Sources {
		place := s.Place
		place.SecretUID = ""
		if s.Kind == compile.SourceAbsent {
			cuts[place] = now
		} else if cut, ok := known.cuts[place]; ok {
			cuts[place] = cut
		}
	}
	known.cuts = cuts
	var others []Record
	for _, r := range o.Others {
		place := r.Place
		place.SecretUID = ""
		if cut, ok := cuts[place]; !ok || r.FirstSeen.After(cut) {
			others = append(others, r)
		}
	}
	known.records = Next(Merge(known.records, others), o.Sources, o.Limits, now)
	return known.records
}

// Records are what is remembered of a credential. They must not be changed.
func (h *History) Records(credential routing.ObjectKey) []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.credentials[credential]; known != nil {
		return known.records
	}
	return nil
}

// Forget forgets a credential.
func (h *History) Forget(credential routing.ObjectKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.credentials, credential)
}

// Credentials are those of which something is remembered, in any order.
func (h *History) Credentials() []routing.ObjectKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := make([]routing.ObjectKey, 0, len(h.credentials))
	for key := range h.credentials {
		keys = append(keys, key)
	}
	return keys
}

// Sources pairs what a credential's keys lead to with the UIDs of their Secrets, where these are known.
func Sources(keys []compile.KeySource, uid func(secret string) string) []Source {
	sources := make([]Source, len(keys))
	for i, k := range keys {
		sources[i] = Source{
			Place: Place{Name: k.Name, Secret: k.Secret, Entry: k.Entry, SecretUID: uid(k.Secret)},
			Kind:  k.Kind, Value: k.Value,
		}
	}
	return sources
}

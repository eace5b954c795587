package keyring

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
)

// Use says when a key last verified a token that was let through, to the minute. It is safe for use by several goroutines.
//
// Every request reads it and almost none writes it, once a minute and key at most: so cores that verify with one key don't
// take its memory from each other. A nil Use notes nothing.
type Use struct{ minute atomic.Int64 } // since 1970; 0: never

// Note notes a use. It allocates nothing.
func (u *Use) Note(now time.Time) {
	if u == nil {
		return
	}
	if minute := now.Unix() / 60; u.minute.Load() < minute {
		u.minute.Store(minute) // of several at once any wins: they differ by no more than the requests' own times
	}
}

// Last is the beginning of the minute of the last use; zero: there was none.
func (u *Use) Last() time.Time {
	if u == nil {
		return time.Time{}
	}
	minute := u.minute.Load()
	if minute == 0 {
		return time.Time{}
	}
	return time.Unix(minute*60, 0).UTC()
}

// Use is where uses of the key are noted; nil where nobody asks for them.
func (k Key) Use() *Use { return k.use }

// UseOf is where uses of one of the entry's keys are noted, nil of any other key.
func (e *Entry) UseOf(key *jose.Key) *Use {
	for i := range e.Keys {
		if e.Keys[i].Key == key {
			return e.Keys[i].use
		}
	}
	return nil
}

// NoteUses has uses of the entry's keys noted from now on, together with those of the same keys in old, the entry that it
// is to replace; nil: there is none. It must be called before the entry is in a Keyring.
func (e *Entry) NoteUses(old *Entry) {
	if e == old {
		return
	}
	var known []Key
	if old != nil {
		known = slices.Clip(old.Keys)
	}
	for i := range e.Keys {
		key := &e.Keys[i]
		same := slices.IndexFunc(known, func(k Key) bool { return k.use != nil && k.SameMaterial(*key.Key) })
		if same >= 0 {
			key.use = known[same].use
			continue
		}
		key.use = &Use{}
		known = append(known, *key)
	}
}

package controllers

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// useRenewal is how often the use of a key that is used all the time is told again.
	useRenewal = time.Hour
	// useLag bounds how long it takes until it is known to all.
	useLag = 5 * time.Minute
	// removalWindow is how long other replicas have to tell that they used a key that was taken away.
	removalWindow = 10 * time.Minute
	// handover is how long a replica is ready to say what the leader may not have said: longer than nobody leads.
	handover = electionLease + 2*electionRetry
)

// useID names a key of a credential in what the replicas tell each other.
type useID string

// useIDBytes is how much of a hash is one: too much for two of millions of keys to have the same.
const useIDBytes = 12

func newUseID(credential types.UID, thumbprint string) useID {
	sum := sha256.Sum256([]byte(string(credential) + "/" + thumbprint))
	return useID(base64.RawURLEncoding.EncodeToString(sum[:useIDBytes]))
}

// keyUses follows, on each replica, the keys whose use people are told of: those on their way out, and those that are gone
// for a moment only.
type keyUses struct {
	now func() time.Time

	moved chan struct{} // holds one token when a key that was used is gone, or another replica told something

	mu          sync.Mutex
	keys        map[useID]*followedKey
	credentials map[routing.ObjectKey][]useID
}

// followedKey is one of them.
type followedKey struct {
	credential routing.ObjectKey
	uid        types.UID
	thumbprint string
	kid        string
	use        *keyring.Use
	// gone is when it was taken away; zero: it is there.
	gone time.Time
	// known is when it was first known, on a replica that doesn't lead, that it was in use when it went.
	known time.Time
	// told says that nothing more is to be said of its end.
	told bool
}

func newKeyUses(now func() time.Time) *keyUses {
	return &keyUses{
		now: now, moved: make(chan struct{}, 1),
		keys: map[useID]*followedKey{}, credentials: map[routing.ObjectKey][]useID{},
	}
}

// changed asks for what there is to tell to be told soon.
func (u *keyUses) changed() {
	select {
	case u.moved <- struct{}{}:
	default:
	}
}

// replaced takes in that the keys of entry took the place of those of old, nil where there were none. salt is that of the
// thumbprints in the verdict.
func (u *keyUses) replaced(old, entry *keyring.Entry, verdict compile.Verdict, salt []byte) {
	leaving := map[string]bool{}
	for i := range verdict.Keys {
		if k := &verdict.Keys[i]; k.Retained || k.State == v1alpha1.KeyStateRetiring {
			leaving[k.Thumbprint] = true
		}
	}
	now, urgent := u.now(), false
	followed := map[useID]*followedKey{}
	follow := func(key keyring.Key, gone time.Time) {
		thumbprint := key.Fingerprint(salt)
		if thumbprint == "" || gone.IsZero() && !leaving[thumbprint] {
			return
		}
		followed[newUseID(verdict.UID, thumbprint)] = &followedKey{
			credential: entry.Key, uid: verdict.UID, thumbprint: thumbprint, kid: key.KID(), use: key.Use(), gone: gone,
		}
	}
	if old != nil {
		for _, key := range old.Keys {
			if !slices.ContainsFunc(entry.Keys, func(k keyring.Key) bool { return k.SameMaterial(*key.Key) }) {
				follow(key, now)
				urgent = urgent || usedBefore(key.Use().Last(), now)
			}
		}
	}
	for _, key := range entry.Keys {
		follow(key, time.Time{})
	}

	u.mu.Lock()
	for _, id := range u.credentials[entry.Key] {
		before := u.keys[id]
		delete(u.keys, id)
		if _, ok := followed[id]; ok || before.gone.IsZero() || before.uid != verdict.UID {
			continue
		}
		if !slices.ContainsFunc(entry.Keys, func(k keyring.Key) bool { return k.Fingerprint(salt) == before.thumbprint }) {
			followed[id] = before // it went a moment ago
		}
	}
	u.setLocked(entry.Key, followed)
	u.mu.Unlock()
	if urgent {
		u.changed()
	}
}

// setLocked makes these the keys that are followed of a credential, of which none is.
func (u *keyUses) setLocked(credential routing.ObjectKey, followed map[useID]*followedKey) {
	delete(u.credentials, credential)
	for id, key := range followed {
		u.keys[id] = key
		u.credentials[credential] = append(u.credentials[credential], id)
	}
}

// forget takes in that a credential is gone, or serves nothing: its keys are not followed any more.
func (u *keyUses) forget(credential routing.ObjectKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range u.credentials[credential] {
		delete(u.keys, id)
	}
	delete(u.credentials, credential)
}

// seen are the minutes since 1970 in which the followed keys were last used on this replica, those that were.
func (u *keyUses) seen() map[useID]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	minutes := map[useID]int64{}
	for id, key := range u.keys {
		if last := key.use.Last(); !last.IsZero() && (key.gone.IsZero() || usedBefore(last, key.gone)) {
			minutes[id] = toMinutes(last)
		}
	}
	return minutes
}

// credentialsOf are the credentials that these keys belong to, each once.
func (u *keyUses) credentialsOf(ids []useID) []routing.ObjectKey {
	u.mu.Lock()
	defer u.mu.Unlock()
	var credentials []routing.ObjectKey
	for _, id := range ids {
		if key := u.keys[id]; key != nil {
			credentials = append(credentials, key.credential)
		}
	}
	return uniqueKeys(credentials)
}

// endedKey is a key that was taken away although it had been used shortly before.
type endedKey struct {
	thumbprint, kid string
	last            time.Time
}

// ended are keys that were taken away within an hour of a use, by their credentials, each once and on the leader alone: the
// others take note that it said so. last says when a key was last used on any replica. Keys that went long ago are not
// followed any more.
func (u *keyUses) ended(last func(useID) time.Time, leader leadership) map[credentialRef][]endedKey {
	u.mu.Lock()
	defer u.mu.Unlock()
	ended := map[credentialRef][]endedKey{}
	now := u.now()
	for id, key := range u.keys {
		if key.gone.IsZero() {
			continue
		}
		if now.Sub(key.gone) > removalWindow {
			u.dropLocked(id, key)
			continue
		}
		used := last(id)
		if key.told || !usedBefore(used, key.gone) {
			continue
		}
		if leader.leading() {
			key.told = true
			ref := credentialRef{key.credential, key.uid}
			ended[ref] = append(ended[ref], endedKey{key.thumbprint, key.kid, used})
			continue
		}
		if key.known.IsZero() {
			key.known = now
		}
		key.told = now.Sub(key.known) > handover
	}
	return ended
}

func (u *keyUses) dropLocked(id useID, key *followedKey) {
	delete(u.keys, id)
	rest := slices.DeleteFunc(u.credentials[key.credential], func(other useID) bool { return other == id })
	if len(rest) == 0 {
		delete(u.credentials, key.credential)
	} else {
		u.credentials[key.credential] = rest
	}
}

// credentialRef is one JWTCredential of that name.
type credentialRef struct {
	key routing.ObjectKey
	uid types.UID
}

// usedBefore reports whether a use was within the hour before a moment. Clocks need not agree, and uses are known by the
// minute: what is later counts too.
func usedBefore(last, moment time.Time) bool {
	return !last.IsZero() && moment.Sub(last) < time.Hour+time.Minute
}

func toMinutes(t time.Time) int64 { return t.Unix() / 60 }

func fromMinutes(minutes int64) time.Time { return time.Unix(minutes*60, 0).UTC() }

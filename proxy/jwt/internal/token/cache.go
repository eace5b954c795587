package token

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
)

// Cache remembers which key verified which token, with the token taken apart. That is a fact of mathematics which never
// becomes false, and all that it remembers: whoever asks it brings a key that may verify now, and judges everything else
// anew. So nothing has to be told to the Cache when a key, a credential or a consumer goes away.
//
// Tokens are found by a keyed hash and compared as a whole. The hash leads to a set of a few entries with a budget of
// bytes of its own, so that memory is bounded without a look at the others. Looking up takes no lock and writes nothing
// that other lookups read but, every few seconds, when an entry was used. Adding takes the set's lock.
//
// A nil *Cache remembers nothing.
type Cache struct {
	seed maphash.Seed
	sets []set
	// budget is how many bytes the entries of a set may hold, most how many one entry may.
	budget, most int

	hits      counter
	misses    atomic.Uint64
	evictions atomic.Uint64
	entries   atomic.Int64
	bytes     atomic.Int64
}

const (
	// ways is how many entries a set has.
	ways = 16
	// setBytes is the least budget of a set: ways tokens of some hundred bytes each.
	setBytes = 32 << 10
	// setOverhead is what a set takes without entries.
	setOverhead = 256
	// MinCacheBytes is the size of the smallest Cache.
	MinCacheBytes = setBytes + setOverhead
	// maxCacheBytes keeps sums within an int.
	maxCacheBytes = 1 << 40
)

// set is the entries whose hashes begin alike. The tags are in a cache line of their own, and what writers alone need is
// behind the entries.
type set struct {
	tags    [ways]atomic.Uint32 // the lower halves of the entries' hashes
	entries [ways]atomic.Pointer[entry]
	mu      sync.Mutex
	bytes   int
	_       [setOverhead - 64 - 128 - 16]byte
}

// entry is what the Cache knows of a token. It is immutable but for when it was used and what is noted beside it.
type entry struct {
	hash    uint64
	parts   *parts
	key     jose.Identity // that verified it
	size    int
	expires int64 // seconds since 1970 from which no policy takes the token any more; 0: never
	// used is the time of the last use in usePeriods, shifted by one; the last bit says that there was a use since it was
	// added.
	used  atomic.Uint32
	notes [slots]atomic.Pointer[note]
}

// NewCache returns a Cache that takes about that many bytes at most, and at least MinCacheBytes. It is nil, which
// remembers nothing, where bytes is 0 or less.
func NewCache(bytes int64) *Cache {
	if bytes <= 0 {
		return nil
	}
	bytes = min(max(bytes, MinCacheBytes), maxCacheBytes)
	sets := int(bytes / MinCacheBytes)
	budget := int(bytes)/sets - setOverhead
	return &Cache{
		seed:   maphash.MakeSeed(),
		sets:   make([]set, sets),
		budget: budget,
		most:   budget / 2,
		hits:   newCounter(),
	}
}

// Parse is the function of that name for a token that may be known. It keeps nothing of compact.
func (c *Cache) Parse(compact, claim string, now time.Time) (Unverified, error) {
	if c == nil {
		return Parse(strings.Clone(compact), claim)
	}
	hash := maphash.Comparable(c.seed, compact) // of the whole at once, which String is not of
	if e := c.find(hash, compact); e != nil {
		e.touch(now)
		u := Unverified{parts: e.parts, claim: e.parts.claim, cache: c, known: e, hash: hash}
		if claim != e.parts.claimName {
			u.claim = e.parts.textOf(claim)
		}
		return u, nil
	}
	u, err := Parse(strings.Clone(compact), claim)
	u.cache, u.hash = c, hash
	return u, err
}

// Remember adds a token that was looked up here and verified. now says which of the others are over.
func (c *Cache) Remember(v *Verified, now time.Time) {
	if c == nil || v.parts == nil || v.known != nil || v.parts.claimsErr != nil {
		return
	}
	c.misses.Add(1)
	e := &entry{hash: v.hash, parts: v.parts, key: v.key, size: v.parts.size() + noteBytes(v.parts)}
	if expires := v.parts.claims.Expires; !expires.IsZero() {
		e.expires = expires.Add(lateness).Unix()
	}
	e.used.Store(usePeriod(now) << 1)
	c.add(e, now)
}

// lateness is how long after its end a token may be taken, by clocks that differ.
const lateness = 5 * time.Minute

// set returns the set that the upper bits of a hash lead to.
func (c *Cache) set(hash uint64) *set {
	at, _ := bits.Mul64(hash, uint64(len(c.sets)))
	return &c.sets[at]
}

func tagOf(hash uint64) uint32 { return uint32(hash) } //nolint:gosec // the lower half is what is wanted

// find returns the entry of the token, nil where there is none.
func (c *Cache) find(hash uint64, compact string) *entry {
	s, tag := c.set(hash), tagOf(hash)
	for i := range s.tags {
		if s.tags[i].Load() != tag {
			continue
		}
		if e := s.entries[i].Load(); e != nil && e.is(hash, compact) {
			return e
		}
	}
	return nil
}

func (e *entry) is(hash uint64, compact string) bool {
	return e.hash == hash && e.parts.compact == compact
}

// add puts an entry into its set, in place of the one of the same token, and of others where the set is full.
func (c *Cache) add(e *entry, now time.Time) {
	if e.size > c.most {
		return
	}
	s := c.set(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		if old := s.entries[i].Load(); old != nil && old.is(e.hash, e.parts.compact) {
			c.drop(s, i)
		}
	}
	at := s.empty()
	for at < 0 || s.bytes+e.size > c.budget {
		at = s.victim(now)
		c.drop(s, at)
		c.evictions.Add(1)
	}
	// Who sees one of the two without the other compares the token and finds nothing.
	s.entries[at].Store(e)
	s.tags[at].Store(tagOf(e.hash))
	s.bytes += e.size
	c.entries.Add(1)
	c.bytes.Add(int64(e.size))
}

// drop takes an entry out. The caller holds mu.
func (c *Cache) drop(s *set, at int) {
	size := s.entries[at].Swap(nil).size
	s.bytes -= size
	c.entries.Add(-1)
	c.bytes.Add(-int64(size))
}

// empty returns a place without an entry, or -1. The caller holds mu.
func (s *set) empty() int {
	for i := range s.entries {
		if s.entries[i].Load() == nil {
			return i
		}
	}
	return -1
}

// victim returns the place of the entry to give up, of which there is one. The caller holds mu.
//
// That is first one whose token is over; then, the longest unused first, one that was not used again since it was added,
// or not for a while; then the longest unused. So a flood of new tokens displaces its own, and of those in use at most what
// it needs for one of its own.
func (s *set) victim(now time.Time) int {
	at, worst := -1, standing{}
	for i := range s.entries {
		e := s.entries[i].Load()
		if e == nil {
			continue
		}
		if st := e.standing(now); at < 0 || st.worse(worst) {
			at, worst = i, st
		}
	}
	return at
}

// standing orders entries by how much they are worth keeping.
type standing struct {
	rank rank
	idle int32 // how long not used, in usePeriods; negative where the clock was set back
}

type rank uint8

const (
	rankOver rank = iota
	rankUnproven
	rankUsed
)

func (a standing) worse(b standing) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.idle > b.idle
}

// unusedLong is after how many usePeriods without use an entry stands no better than a new one: five minutes.
const unusedLong = 37

func (e *entry) standing(now time.Time) standing {
	used := e.used.Load()
	st := standing{rank: rankUsed, idle: int32(usePeriod(now)) - int32(used>>1)} //nolint:gosec // both have 31 bits
	switch {
	case e.expires != 0 && now.Unix() >= e.expires:
		st.rank = rankOver
	case used&1 == 0, st.idle > unusedLong:
		st.rank = rankUnproven
	}
	return st
}

// usePeriod is the time in units of eight seconds, in 31 bits.
func usePeriod(now time.Time) uint32 { return uint32(now.Unix()>>3) & (1<<31 - 1) } //nolint:gosec // enough for 500 years

// touch notes that the entry is used, once in a usePeriod: what is written would otherwise be fetched anew by every core.
func (e *entry) touch(now time.Time) {
	if used := usePeriod(now)<<1 | 1; e.used.Load() != used {
		e.used.Store(used)
	}
}

// Stats says how a Cache is doing.
type Stats struct {
	// Hits are tokens that were known to be verified, Misses those that were verified by their signature.
	Hits, Misses uint64
	// Evictions are entries that made room for others.
	Evictions uint64
	// Entries and Bytes are what it holds.
	Entries, Bytes int64
}

// Stats returns the counts since the Cache was made.
func (c *Cache) Stats() Stats {
	if c == nil {
		return Stats{}
	}
	return Stats{
		Hits: c.hits.sum(), Misses: c.misses.Load(), Evictions: c.evictions.Load(),
		Entries: c.entries.Load(), Bytes: c.bytes.Load(),
	}
}

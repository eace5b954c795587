package token

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/jose"
)

// start is the time of the cache's tests.
func start() time.Time { return time.Unix(1_800_000_000, 0) }

// take does what a policy does with a token that it takes, and says whether the cache knew that the key verifies it.
func take(t testing.TB, c *Cache, compact string, key *jose.Key, now time.Time) bool {
	t.Helper()
	u, err := c.Parse(compact, "sub", now)
	if err != nil {
		t.Fatal(err)
	}
	verified, known := u.Known(key)
	if !known {
		if verified, err = u.Verify(key); err != nil {
			t.Fatal(err)
		}
	}
	if sub, ok := verified.Text("sub"); !ok || sub == "" {
		t.Fatalf("claim %q, %t", sub, ok)
	}
	c.Remember(&verified, now)
	return known
}

// numbered is a token of its own for each number, which ends at that time.
func numbered(t testing.TB, n int, expires time.Time) string {
	t.Helper()
	return compact(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"%08d","exp":%d}`, n, expires.Unix()))
}

func TestCacheKnowsWhichKeyVerified(t *testing.T) {
	c := NewCache(1)
	text := numbered(t, 1, start().Add(time.Hour))
	key, same, other := keyOf(t, 0), keyOf(t, 0), keyOf(t, 1)
	if take(t, c, text, key, start()) {
		t.Error("known before it was seen")
	}
	if !take(t, c, text, key, start()) {
		t.Error("not known although it was seen")
	}
	u, err := c.Parse(text, "sub", start())
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*jose.Key{"another key": other, "a key of the same secret": same, "no key": {}} {
		if v, known := u.Known(k); known || v != (Verified{}) {
			t.Errorf("known to be verified by %s", name)
		}
	}
	if _, err := u.Verify(other); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	// The same secret in another credential takes the place.
	if take(t, c, text, same, start()) || !take(t, c, text, same, start()) || take(t, c, text, key, start()) {
		t.Error("the last key that verified the token is not the one that is known")
	}
	if got, want := c.Stats(), (Stats{Hits: 2, Misses: 3, Entries: 1, Bytes: c.Stats().Bytes}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

// TestPublicKeysAreKnownAgain: a set that is fetched anew has the same keys in other places of memory.
func TestPublicKeysAreKnownAgain(t *testing.T) {
	jwk := []byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)
	other := []byte(`{"kty":"OKP","crv":"Ed25519","x":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"}`)
	var keys []*jose.Key
	for _, data := range [][]byte{jwk, jwk, other} {
		parsed, problems, _ := jose.Parse(data, jose.Options{Algorithms: []jose.Algorithm{jose.EdDSA}})
		if len(parsed) != 1 {
			t.Fatal(problems)
		}
		keys = append(keys, parsed...)
	}
	if keys[0].Identity() != keys[1].Identity() || keys[0].Identity() == keys[2].Identity() || keys[0].Identity() == (jose.Identity{}) {
		t.Error("the identity of a public key is not that of its thumbprint")
	}
	if a, b := keyOf(t, 0), keyOf(t, 0); a.Identity() == b.Identity() || (&jose.Key{}).Identity() != (jose.Identity{}) {
		t.Error("two secrets have one identity, or no key has one")
	}
}

// TestKnownKeyMustPermit: what a key may verify is asked of the key at hand, not of the one that verified.
func TestKnownKeyMustPermit(t *testing.T) {
	c := NewCache(1)
	text := numbered(t, 1, start())
	take(t, c, text, keyOf(t, 0), start())
	u, err := c.Parse(text, "sub", start())
	if err != nil {
		t.Fatal(err)
	}
	u.known.key = jose.Identity{}
	if _, known := u.Known(&jose.Key{}); known {
		t.Error("a key that permits nothing is known to verify")
	}
}

func TestCacheOfCollidingHashes(t *testing.T) {
	c := NewCache(1)
	key := keyOf(t, 0)
	const hash = 0xfedcba9876543210
	texts := make([]string, 5)
	for i := range texts {
		texts[i] = numbered(t, i, start().Add(time.Hour))
		u, err := Parse(texts[i], "sub")
		if err != nil {
			t.Fatal(err)
		}
		if e := c.find(hash, texts[i]); e != nil {
			t.Fatalf("token %d is taken for %q", i, e.parts.compact)
		}
		verified, err := u.Verify(key)
		if err != nil {
			t.Fatal(err)
		}
		verified.hash = hash
		c.Remember(&verified, start())
	}
	for i, text := range texts {
		if e := c.find(hash, text); e == nil || e.parts.compact != text {
			t.Errorf("token %d is not found beside others of its hash", i)
		}
		if c.find(hash+1, text) != nil || c.find(hash^1<<63, text) != nil {
			t.Errorf("token %d is found by another hash", i)
		}
	}
}

func TestCacheKeepsNothingOfTheText(t *testing.T) {
	for name, c := range map[string]*Cache{"with a cache": NewCache(1), "without": nil} {
		t.Run(name, func(t *testing.T) {
			whole := compact(t, `{"alg":"HS256","kid":"kid","typ":"JWT"}`, `{"sub":"acme","iss":"me","jti":"1","aud":["a","b"],"scope":"x y"}`)
			buffer := []byte(whole)
			u, err := c.Parse(unsafe.String(&buffer[0], len(buffer)), "sub", start())
			if err != nil {
				t.Fatal(err)
			}
			for i := range buffer {
				buffer[i] = '!'
			}
			verified, err := u.Verify(keyOf(t, 0))
			if err != nil {
				t.Fatal(err)
			}
			c.Remember(&verified, start())
			claims, err := verified.Claims()
			if err != nil {
				t.Fatal(err)
			}
			kid, _ := u.KID()
			sub, _ := u.Claim()
			issuer, _ := u.Issuer()
			typ, _ := verified.Type()
			got := append([]string{kid, typ, sub, issuer, *claims.Issuer, *claims.ID}, append(claims.Audience, claims.Scopes...)...)
			if diff := cmp.Diff([]string{"kid", "JWT", "acme", "me", "me", "1", "a", "b", "x", "y"}, got); diff != "" {
				t.Errorf("after the text was overwritten (-want +got):\n%s", diff)
			}
			if c != nil && !take(t, c, whole, keyOfEntry(t, c), start()) {
				t.Error("not found after the text was overwritten")
			}
		})
	}
}

// keyOfEntry is a key of the only entry's identity.
func keyOfEntry(t *testing.T, c *Cache) *jose.Key {
	t.Helper()
	key := keyOf(t, 0)
	for i := range c.sets[0].entries {
		if e := c.sets[0].entries[i].Load(); e != nil {
			e.key = key.Identity()
		}
	}
	return key
}

func TestCacheReadsTheClaimThatIsAskedFor(t *testing.T) {
	c := NewCache(1)
	text := compact(t, `{"alg":"HS256"}`, `{"sub":"acme","azp":"app","n":1}`)
	take(t, c, text, keyOf(t, 0), start())
	for claim, want := range map[string]string{"sub": "acme", "azp": "app", "n": "", "absent": "", "": ""} {
		u, err := c.Parse(text, claim, start())
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := u.Claim(); u.known == nil || got != want || ok != (want != "") {
			t.Errorf("claim %q is %q, want %q", claim, got, want)
		}
	}
}

func TestCacheRemembersNothingElse(t *testing.T) {
	c := NewCache(MinCacheBytes)
	key := keyOf(t, 0)
	for name, text := range map[string]string{
		"a token whose claims are malformed": compact(t, `{"alg":"HS256"}`, `{"sub":"a","exp":"tomorrow"}`),
		"a token that is too large":          compact(t, `{"alg":"HS256"}`, `{"sub":"`+strings.Repeat("a", 8<<10)+`"}`),
	} {
		for range 2 {
			if take(t, c, text, key, start()) {
				t.Errorf("%s is remembered", name)
			}
		}
	}
	c.Remember(&Verified{}, start())
	if stats := c.Stats(); stats.Entries != 0 || stats.Bytes != 0 {
		t.Errorf("stats %+v", stats)
	}
	for _, bytes := range []int64{0, -1} {
		off := NewCache(bytes)
		if off != nil || take(t, off, numbered(t, 1, start()), key, start()) || off.Stats() != (Stats{}) {
			t.Errorf("a cache of %d bytes is one", bytes)
		}
	}
}

func TestCacheIsAsLargeAsAskedFor(t *testing.T) {
	for _, bytes := range []int64{1, MinCacheBytes, 100_000, 1 << 20, 3 << 20, 64 << 20} {
		c := NewCache(bytes)
		got := int64(len(c.sets)) * int64(c.budget+setOverhead)
		if want := max(bytes, MinCacheBytes); got > want || got < want-int64(len(c.sets)) {
			t.Errorf("%d bytes: %d sets of %d bytes", bytes, len(c.sets), c.budget)
		}
		if c.budget < setBytes || c.budget >= 2*setBytes {
			t.Errorf("%d bytes: sets of %d bytes", bytes, c.budget)
		}
	}
	if size := unsafe.Sizeof(set{}); size != setOverhead {
		t.Errorf("a set has %d bytes, not %d", size, setOverhead)
	}
}

// TestFloodDisplacesItself: tokens that are used keep their places while ten times as many as fit are seen once.
func TestFloodDisplacesItself(t *testing.T) {
	c := NewCache(1 << 20)
	key, now := keyOf(t, 0), start()
	hot := make([]string, 100)
	for i := range hot {
		hot[i] = numbered(t, i, now.Add(time.Hour))
		take(t, c, hot[i], key, now)
		take(t, c, hot[i], key, now)
	}
	for i := range 10_000 {
		take(t, c, numbered(t, 1000+i, now.Add(time.Hour)), key, now)
		if stats := c.Stats(); stats.Bytes > 1<<20 {
			t.Fatalf("%d bytes after %d tokens", stats.Bytes, i)
		}
	}
	kept := 0
	for _, text := range hot {
		if take(t, c, text, key, now) {
			kept++
		}
	}
	if kept < 95 {
		t.Errorf("%d of 100 tokens in use were kept", kept)
	}
	if stats := c.Stats(); stats.Evictions < 9000 || stats.Entries < 400 {
		t.Errorf("stats %+v", stats)
	}
	sum := int64(0)
	for i := range c.sets {
		sum += int64(c.sets[i].bytes)
	}
	if sum != c.Stats().Bytes {
		t.Errorf("the sets hold %d bytes, counted are %d", sum, c.Stats().Bytes)
	}
}

// TestUnusedGiveWay: a token that nobody sends any more doesn't keep out new ones, however often it was used.
func TestUnusedGiveWay(t *testing.T) {
	c := NewCache(1)
	key, now := keyOf(t, 0), start()
	first := make([]string, ways)
	for i := range first {
		first[i] = numbered(t, i, now.Add(time.Hour))
		take(t, c, first[i], key, now)
		take(t, c, first[i], key, now)
	}
	now = now.Add(6 * time.Minute)
	take(t, c, first[0], key, now)
	for i := range ways - 1 {
		take(t, c, numbered(t, 100+i, now.Add(time.Hour)), key, now)
	}
	if !take(t, c, first[0], key, now) {
		t.Error("the one in use was displaced")
	}
	for i := range ways - 1 {
		if !take(t, c, numbered(t, 100+i, now.Add(time.Hour)), key, now) {
			t.Errorf("new token %d was displaced by those that nobody sends", i)
		}
	}
}

func TestExpiredGiveWayFirst(t *testing.T) {
	c := NewCache(1)
	key, now := keyOf(t, 0), start()
	for i := range ways {
		expires := now.Add(time.Hour)
		if i == 7 {
			expires = now.Add(time.Second)
		}
		take(t, c, numbered(t, i, expires), key, now)
		if i == 7 {
			take(t, c, numbered(t, i, expires), key, now)
		}
	}
	now = now.Add(time.Second + lateness)
	take(t, c, numbered(t, 7, start().Add(time.Second)), key, now)
	take(t, c, numbered(t, 100, now.Add(time.Hour)), key, now)
	for i := range ways {
		if i != 7 && !take(t, c, numbered(t, i, start().Add(time.Hour)), key, now) {
			t.Errorf("token %d was displaced, and one that is over was not", i)
		}
	}
}

// TestCacheMemory holds what is counted against what the runtime has to hold.
func TestCacheMemory(t *testing.T) {
	key, now := keyOf(t, 0), start()
	for name, payload := range map[string]string{
		"small": `{"sub":"%08d"}`,
		"usual": `{"sub":"%08d","iss":"https://idp.example.com/realms/shop","aud":["orders-api","account"],"exp":1800003600,"iat":1800000000,` +
			`"jti":"0b6e1a5e-8f64-4f46-8a2b-6f2c4c1d1f11","scope":"openid profile orders.read orders.write","azp":"web","email":"someone@example.com"}`,
		"escapes": `{"sub":"%08d","iss":"` + strings.Repeat(`\u0041`, 100) + `","scope":"` + strings.Repeat(`\u0041 `, 100) + `"}`,
		"large":   `{"sub":"%08d","groups":"` + strings.Repeat("x", 3000) + `"}`,
	} {
		const bytes = 4 << 20
		texts := make([]string, 6000)
		for i := range texts {
			texts[i] = compact(t, `{"alg":"HS256","typ":"JWT"}`, fmt.Sprintf(payload, i))
		}
		before := heap()
		c := NewCache(bytes)
		for _, text := range texts {
			take(t, c, text, key, now)
		}
		if used := heap() - before; used > bytes*11/10 || used < bytes/8 {
			t.Errorf("%s: %d bytes for a cache of %d that holds %+v", name, used, bytes, c.Stats())
		}
		runtime.KeepAlive(c)
		runtime.KeepAlive(texts)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestNotes(t *testing.T) {
	c := NewCache(1)
	key := keyOf(t, 0)
	text := numbered(t, 1, start().Add(time.Hour))
	u, err := c.Parse(text, "sub", start())
	if err != nil {
		t.Fatal(err)
	}
	verified, err := u.Verify(key)
	if err != nil {
		t.Fatal(err)
	}
	verified.Note(SlotScopes, "too early", 1)
	c.Remember(&verified, start())
	u, _ = c.Parse(text, "sub", start())
	verified, _ = u.Known(key)
	if got := verified.Noted(SlotScopes); got != nil {
		t.Errorf("noted %v", got)
	}
	verified.Note(SlotScopes, "scopes", 6)
	verified.Note(SlotFields, "too large", 1000)
	if got := verified.Noted(SlotScopes); got != "scopes" || verified.Noted(SlotFields) != nil {
		t.Errorf("noted %v and %v", got, verified.Noted(SlotFields))
	}
}

// TestCacheConcurrently has goroutines displace each other's tokens: whatever is found is the token that was asked for.
func TestCacheConcurrently(t *testing.T) {
	c := NewCache(1)
	keys := []*jose.Key{keyOf(t, 0), keyOf(t, 0)}
	texts := make([]string, 64)
	for i := range texts {
		texts[i] = numbered(t, i, start().Add(time.Hour))
	}
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 2000 {
				n := (i*(g+1) + g) % len(texts)
				key := keys[(i/7+g)%2]
				u, err := c.Parse(texts[n], "sub", start().Add(time.Duration(i)*time.Second))
				if err != nil {
					t.Error(err)
					return
				}
				if sub, _ := u.Claim(); sub != fmt.Sprintf("%08d", n) {
					t.Errorf("token %d is taken for %s", n, sub)
					return
				}
				verified, known := u.Known(key)
				if !known {
					if verified, err = u.Verify(key); err != nil {
						t.Error(err)
						return
					}
				}
				c.Remember(&verified, start())
				verified.Note(SlotScopes, n, 8)
				if noted, ok := verified.Noted(SlotScopes).(int); ok && noted != n {
					t.Errorf("what was noted beside token %d is found beside %d", noted, n)
				}
			}
		})
	}
	group.Wait()
	if stats := c.Stats(); stats.Entries > ways || stats.Hits == 0 || stats.Bytes > int64(c.budget) {
		t.Errorf("stats %+v", stats)
	}
}

func TestCounter(t *testing.T) {
	c := newCounter()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				c.add()
			}
		})
	}
	group.Wait()
	if got := c.sum(); got != 8000 {
		t.Errorf("counted %d, want 8000", got)
	}
}

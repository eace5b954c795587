package keyring

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/routing"
)

// newKey makes a key of that name.
func newKey(t testing.TB, kid string) *jose.Key {
	t.Helper()
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i * 7)
	}
	keys, problems, _ := jose.Parse(secret, jose.Options{KID: kid, Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
	if len(keys) != 1 {
		t.Fatal(problems)
	}
	return keys[0]
}

// credential makes an Entry that was created at that second.
func credential(t testing.TB, name, keyID string, created int64, kids ...string) *Entry {
	t.Helper()
	e := &Entry{
		Key:     routing.ObjectKey{Namespace: "shop", Name: name},
		KeyID:   keyID,
		Created: time.Unix(created, 0),
	}
	for _, kid := range kids {
		e.Keys = append(e.Keys, Key{Key: newKey(t, kid)})
	}
	return e
}

func key(name string) routing.ObjectKey { return routing.ObjectKey{Namespace: "shop", Name: name} }

func names(entries []*Entry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.Key.Name)
	}
	return list
}

func winner(n *Namespace, keyID string) string {
	if e := n.ByKeyID(keyID); e != nil {
		return e.Key.Name
	}
	return ""
}

func TestOldestCredentialOfAKeyIDWins(t *testing.T) {
	ring := New()
	shop := ring.Namespace("shop")
	for _, step := range []struct {
		set    *Entry
		delete string
		want   string
	}{
		{set: credential(t, "middle", "acme", 20), want: "middle"},
		{set: credential(t, "young", "acme", 30), want: "middle"},
		{set: credential(t, "old", "acme", 10), want: "old"},
		{set: credential(t, "also-old", "acme", 10), want: "also-old"},
		{delete: "also-old", want: "old"},
		{delete: "never-there", want: "old"},
		{delete: "middle", want: "old"},
		{delete: "old", want: "young"},
		{set: credential(t, "young", "other", 30), want: ""},
		{set: credential(t, "young", "acme", 30), want: "young"},
		{delete: "young", want: ""},
		{delete: "young", want: ""},
	} {
		if step.set != nil {
			ring.Set(step.set)
		} else {
			ring.Delete(key(step.delete))
		}
		if got := winner(shop, "acme"); got != step.want {
			t.Fatalf("after %+v: %q wins, want %q", step, got, step.want)
		}
	}
	if shop.Len() != 0 || ring.Len() != 0 {
		t.Errorf("%d credentials are left", ring.Len())
	}
}

func TestSetReplacesTheWholeCredential(t *testing.T) {
	ring := New()
	shop := ring.Namespace("shop")
	first := credential(t, "a", "acme", 10, "k1", "k2", "k2")
	ring.Set(first)
	ring.Set(credential(t, "b", "bob", 20, "k2"))
	second := credential(t, "a", "acme", 10, "k2", "k3", "")
	ring.Set(second)
	if got := shop.ByKeyID("acme"); got != second {
		t.Error("the first credential is still there")
	}
	got := map[string][]string{}
	for _, kid := range []string{"k1", "k2", "k3", ""} {
		got[kid] = names(shop.ByKID(kid))
	}
	want := map[string][]string{"k1": nil, "k2": {"a", "b"}, "k3": {"a"}, "": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("holders of kids (-want +got):\n%s", diff)
	}
	if slices.Contains(shop.ByKID("k2"), first) {
		t.Error("the first credential still holds k2")
	}
}

func TestHoldersOfAKIDAreOldestFirst(t *testing.T) {
	ring := New()
	for _, e := range []*Entry{
		credential(t, "c", "3", 30, "k"), credential(t, "b", "2", 10, "k"), credential(t, "a", "1", 10, "k"), credential(t, "d", "4", 20, "k"),
	} {
		ring.Set(e)
	}
	if diff := cmp.Diff([]string{"a", "b", "d", "c"}, names(ring.Namespace("shop").ByKID("k"))); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

func TestNamespacesShareNothing(t *testing.T) {
	ring := New()
	bank := ring.Namespace("bank") // a handle from before there is any credential
	e := credential(t, "a", "acme", 10, "k")
	e.Key.Namespace = "bank"
	ring.Set(e)
	if bank.ByKeyID("acme") != e || len(bank.ByKID("k")) != 1 {
		t.Error("the handle does not see the credential")
	}
	if shop := ring.Namespace("shop"); shop.ByKeyID("acme") != nil || shop.ByKID("k") != nil {
		t.Error("another namespace sees the credential")
	}
	ring.Delete(key("a"))
	ring.Delete(routing.ObjectKey{Namespace: "nowhere", Name: "a"})
	if bank.ByKeyID("acme") != e || ring.Len() != 1 {
		t.Error("deleting another namespace's credential deleted this one")
	}
	if ring.Namespace("bank") != bank {
		t.Error("the handle changed")
	}
}

// TestRemotes: credentials whose keys others publish are listed, the oldest first, as long as they are.
func TestRemotes(t *testing.T) {
	ring := New()
	shop := ring.Namespace("shop")
	remote := func(name string, created int64) *Entry {
		e := credential(t, name, name, created)
		e.Remote = &Remote{}
		return e
	}
	for _, step := range []struct {
		what   string
		change func()
		want   []string
	}{
		{"at first", func() { ring.Set(credential(t, "own", "own", 1)) }, nil},
		{"one comes", func() { ring.Set(remote("b", 5)) }, []string{"b"}},
		{"an older one comes", func() { ring.Set(remote("c", 2)) }, []string{"c", "b"}},
		{"one of the same second comes", func() { ring.Set(remote("a", 5)) }, []string{"c", "a", "b"}},
		{"one changes", func() { ring.Set(remote("c", 9)) }, []string{"a", "b", "c"}},
		{"one gets keys of its own", func() { ring.Set(credential(t, "a", "a", 5, "k")) }, []string{"b", "c"}},
		{"one loses its keys", func() { ring.Set(remote("own", 1)) }, []string{"own", "b", "c"}},
		{"one goes", func() { ring.Delete(key("b")) }, []string{"own", "c"}},
		{"all go", func() { ring.Delete(key("c")); ring.Delete(key("own")) }, nil},
	} {
		before := shop.Remotes()
		seen := names(before)
		step.change()
		if diff := cmp.Diff(step.want, names(shop.Remotes())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
		if diff := cmp.Diff(seen, names(before)); diff != "" {
			t.Errorf("%s: a list that someone holds was changed (-want +got):\n%s", step.what, diff)
		}
	}
}

// TestManyCredentials compares the keyring with a map through growth, change and shrinking.
func TestManyCredentials(t *testing.T) {
	ring := New()
	shop := ring.Namespace("shop")
	model := map[string]*Entry{}
	random := rand.New(rand.NewPCG(1, 2))
	check := func() {
		t.Helper()
		oldest := map[string]*Entry{}
		for _, e := range model {
			if o := oldest[e.KeyID]; o == nil || older(e, o) < 0 {
				oldest[e.KeyID] = e
			}
		}
		for i := range 1000 {
			if keyID := fmt.Sprint(i); shop.ByKeyID(keyID) != oldest[keyID] {
				t.Fatalf("keyID %s is %v, want %v", keyID, shop.ByKeyID(keyID), oldest[keyID])
			}
		}
		if shop.Len() != len(model) || shop.keyIDs.names != uint64(len(oldest)) {
			t.Fatalf("%d credentials under %d names, want %d under %d", shop.Len(), shop.keyIDs.names, len(model), len(oldest))
		}
	}
	for round := range 20_000 {
		name := fmt.Sprint("c", random.IntN(2000))
		if random.IntN(10) < 3 || round > 15_000 {
			ring.Delete(key(name))
			delete(model, name)
		} else {
			e := credential(t, name, fmt.Sprint(random.IntN(1000)), int64(random.IntN(50)))
			ring.Set(e)
			model[name] = e
		}
		if round%2000 == 0 {
			check()
		}
	}
	check()
	if grown := len(shop.keyIDs.table.Load().buckets); grown <= leastBuckets {
		t.Errorf("the table has %d buckets: it did not grow", grown)
	}
	for name := range model {
		ring.Delete(key(name))
	}
	model = map[string]*Entry{}
	check()
	if left := len(shop.keyIDs.table.Load().buckets); left != leastBuckets {
		t.Errorf("the empty table has %d buckets, want %d", left, leastBuckets)
	}
}

// TestReadersNeverMissACredential reads while others write, grow and shrink the table: a credential that is there all the
// time is found at every moment, and one whose key was taken away is not found by it again.
func TestReadersNeverMissACredential(t *testing.T) {
	ring := New()
	shop := ring.Namespace("shop")
	ring.Set(credential(t, "steady", "steady", 10, "steady-1", "steady-0"))
	noise := make([]*Entry, 500)
	for i := range noise {
		noise[i] = credential(t, fmt.Sprint("noise", i), fmt.Sprint("n", i), 10, fmt.Sprint("k", i))
	}
	versions := []*Entry{
		credential(t, "steady", "steady", 10, "steady-1", "even"), credential(t, "steady", "steady", 10, "steady-1", "odd"),
	}
	var done atomic.Bool
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				if shop.ByKeyID("steady") == nil {
					t.Error("the credential is missing by keyID")
					return
				}
				if len(shop.ByKID("steady-1")) != 1 {
					t.Error("the credential is missing by kid")
					return
				}
				runtime.Gosched()
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for range 10 {
				for i := w; i < len(noise); i += 2 {
					ring.Set(noise[i])
				}
				for i := w; i < len(noise); i += 2 {
					ring.Delete(noise[i].Key)
				}
			}
		})
	}
	writers.Go(func() {
		for i := range 2000 {
			ring.Set(versions[i%2])
			if gone := []string{"odd", "even"}[i%2]; len(shop.ByKID(gone)) != 0 {
				t.Errorf("a key that was taken away is still found by kid %q", gone)
				return
			}
		}
	})
	writers.Wait()
	done.Store(true)
	readers.Wait()
	if ring.Len() != 1 {
		t.Errorf("%d credentials are left, want 1", ring.Len())
	}
}

func TestSameTellsBounds(t *testing.T) {
	at := time.Unix(100, 0)
	key := Key{Key: newKey(t, "k"), NotBefore: at, NotAfter: at.Add(time.Hour)}
	for name, tc := range map[string]struct {
		other Key
		want  bool
	}{
		"the same":             {Key{Key: newKey(t, "k"), NotBefore: at.UTC(), NotAfter: at.Add(time.Hour)}, true},
		"another name":         {Key{Key: newKey(t, "l"), NotBefore: at, NotAfter: at.Add(time.Hour)}, false},
		"an earlier beginning": {Key{Key: newKey(t, "k"), NotAfter: at.Add(time.Hour)}, false},
		"a later end":          {Key{Key: newKey(t, "k"), NotBefore: at}, false},
	} {
		if got := key.Same(tc.other); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

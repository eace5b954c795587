package keyring

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ostiary/ostiary/proxy/routing"
)

// Keyring holds the credentials of all namespaces. Writing takes a lock of the namespace; reading takes none.
type Keyring struct {
	mu         sync.Mutex
	namespaces map[string]*Namespace
}

// New returns an empty Keyring.
func New() *Keyring {
	return &Keyring{namespaces: map[string]*Namespace{}}
}

// Namespace returns the credentials of a namespace. The handle stays valid and current for the life of the Keyring, also
// where the namespace has no credentials yet, so that tables can keep it instead of looking it up for each request.
func (k *Keyring) Namespace(name string) *Namespace {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.namespaces[name]
	if n == nil {
		n = newNamespace()
		k.namespaces[name] = n
	}
	return n
}

// Set puts a credential in place of the one with the same Key, if any. The Entry must not be changed afterwards. When Set
// returns, every lookup that starts finds the new Entry, or the old one nowhere.
func (k *Keyring) Set(e *Entry) {
	e.prepare()
	k.Namespace(e.Key.Namespace).set(e)
}

// Delete removes a credential; one that is not there is no error. When Delete returns, no lookup that starts finds it.
func (k *Keyring) Delete(key routing.ObjectKey) {
	k.mu.Lock()
	n := k.namespaces[key.Namespace]
	k.mu.Unlock()
	if n != nil {
		n.delete(key.Name)
	}
}

// Get returns a credential by its Key; nil: it is not there.
func (k *Keyring) Get(key routing.ObjectKey) *Entry {
	k.mu.Lock()
	n := k.namespaces[key.Namespace]
	k.mu.Unlock()
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.entries[key.Name]
}

// Entries are all credentials, by namespace and name.
func (k *Keyring) Entries() []*Entry {
	k.mu.Lock()
	namespaces := slices.Collect(maps.Values(k.namespaces))
	k.mu.Unlock()
	var entries []*Entry
	for _, n := range namespaces {
		n.mu.Lock()
		entries = slices.AppendSeq(entries, maps.Values(n.entries))
		n.mu.Unlock()
	}
	slices.SortFunc(entries, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return entries
}

// Len is how many credentials there are, over all namespaces.
func (k *Keyring) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	count := 0
	for _, n := range k.namespaces {
		count += n.Len()
	}
	return count
}

// Namespace holds the credentials of one namespace. Lookups take no lock and allocate nothing.
type Namespace struct {
	mu      sync.Mutex // held to write, never to look up
	entries map[string]*Entry
	keyIDs  *index
	kids    *index
	// remotes are the credentials with remote keys, oldest first. The slice is replaced as a whole; nil holds none.
	remotes atomic.Pointer[[]*Entry]
	// identities is replaced as a whole; nil holds none.
	identities atomic.Pointer[identities]
}

func newNamespace() *Namespace {
	return &Namespace{entries: map[string]*Entry{}, keyIDs: newIndex(), kids: newIndex()}
}

// ByKeyID returns the credential with that keyID, nil where there is none. Of several the oldest wins, by Created and
// then by name; the next takes its place when it is deleted.
func (n *Namespace) ByKeyID(keyID string) *Entry {
	if holders := n.keyIDs.lookup(keyID); len(holders) > 0 {
		return holders[0]
	}
	return nil
}

// ByKID returns the credentials that have a key of that kid themselves, oldest first. The slice must not be changed.
func (n *Namespace) ByKID(kid string) []*Entry {
	return n.kids.lookup(kid)
}

// Remotes returns the credentials whose keys others publish, oldest first. The slice must not be changed.
func (n *Namespace) Remotes() []*Entry {
	if remotes := n.remotes.Load(); remotes != nil {
		return *remotes
	}
	return nil
}

// Len is how many credentials there are.
func (n *Namespace) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.entries)
}

func (n *Namespace) set(e *Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.entries[e.Key.Name]
	n.entries[e.Key.Name] = e
	n.replaceRemote(old, e)
	if old == nil {
		n.keyIDs.replace(e.KeyID, nil, e)
		for _, kid := range e.kids() {
			n.kids.replace(kid, nil, e)
		}
		return
	}
	// What the old credential held alone goes first: a lookup must not find a key that was taken away.
	kids, oldKIDs := e.kids(), old.kids()
	if old.KeyID != e.KeyID {
		n.keyIDs.replace(old.KeyID, old, nil)
		n.keyIDs.replace(e.KeyID, nil, e)
	} else {
		n.keyIDs.replace(e.KeyID, old, e)
	}
	for _, kid := range oldKIDs {
		if !slices.Contains(kids, kid) {
			n.kids.replace(kid, old, nil)
		}
	}
	for _, kid := range kids {
		if slices.Contains(oldKIDs, kid) {
			n.kids.replace(kid, old, e)
		} else {
			n.kids.replace(kid, nil, e)
		}
	}
}

func (n *Namespace) delete(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.entries[name]
	if old == nil {
		return
	}
	delete(n.entries, name)
	n.replaceRemote(old, nil)
	n.keyIDs.replace(old.KeyID, old, nil)
	for _, kid := range old.kids() {
		n.kids.replace(kid, old, nil)
	}
}

// replaceRemote takes old from among the remotes and puts e there, each where it is one.
func (n *Namespace) replaceRemote(old, e *Entry) {
	was, is := old != nil && old.Remote != nil, e != nil && e.Remote != nil
	if !was && !is {
		return
	}
	remotes := slices.DeleteFunc(slices.Clone(n.Remotes()), func(r *Entry) bool { return r == old })
	if is {
		at, _ := slices.BinarySearchFunc(remotes, e, older)
		remotes = slices.Insert(remotes, at, e)
	}
	if len(remotes) == 0 {
		n.remotes.Store(nil)
		return
	}
	n.remotes.Store(&remotes)
}

// kids are the names of the keys, each once.
func (e *Entry) kids() []string {
	kids := make([]string, 0, len(e.Keys))
	for _, key := range e.Keys {
		if kid := key.KID(); kid != "" && !slices.Contains(kids, kid) {
			kids = append(kids, kid)
		}
	}
	return kids
}

// older orders credentials by age, then by name.
func older(a, b *Entry) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Key.Name, b.Key.Name))
}

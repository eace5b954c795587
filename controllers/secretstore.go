package controllers

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// secretStore holds the data of the Secrets that something refers to, and of no others. Which Secrets exist, and in
// which version, is known from a watch of their metadata; data is read from the API server when the version changes.
type secretStore struct {
	metadata   client.Reader // the cache
	data       client.Reader // the API server
	namespaces []string      // that prime lists; none: all at once

	mu      sync.Mutex
	secrets map[routing.ObjectKey]*storedSecret
	owners  map[secretOwner][]routing.ObjectKey
}

// secretOwner is who refers to Secrets: the compile step as a whole (zero) or one credential.
type secretOwner routing.ObjectKey

type storedSecret struct {
	owners  int
	held    bool // data was read, and the fields below are set
	uid     types.UID
	version string
	// changed is the resourceVersion that brought the present data, older than version when only metadata changed since.
	changed uint64
	secret  compile.Secret
}

// secretsRead is what could be read of some Secrets.
type secretsRead struct {
	secrets map[routing.ObjectKey]compile.Secret
	changed map[routing.ObjectKey]uint64
	// uids are those of the Secrets.
	uids map[routing.ObjectKey]types.UID
	// failed are Secrets that exist but could not be read, and of which no earlier data is held.
	failed map[routing.ObjectKey]error
	// stale are Secrets of which the newest data could not be read; earlier data stands in.
	stale map[routing.ObjectKey]error
}

// err is why the reading must be tried again; nil when it need not.
func (r secretsRead) err() error {
	for _, failures := range []map[routing.ObjectKey]error{r.failed, r.stale} {
		for _, err := range failures {
			return err // one is enough to know the cause
		}
	}
	return nil
}

func newSecretStore(metadata, data client.Reader, namespaces []string) *secretStore {
	return &secretStore{
		metadata: metadata, data: data, namespaces: namespaces,
		secrets: map[routing.ObjectKey]*storedSecret{},
		owners:  map[secretOwner][]routing.ObjectKey{},
	}
}

// read returns the Secrets that exist among keys, which from now on are all that owner refers to. A Secret is missing
// from the result only when the API server says that it does not exist: a failure to read is never taken for a deletion.
func (s *secretStore) read(ctx context.Context, owner secretOwner, keys []routing.ObjectKey) secretsRead {
	s.retain(owner, keys)
	r := secretsRead{
		secrets: make(map[routing.ObjectKey]compile.Secret, len(keys)),
		changed: make(map[routing.ObjectKey]uint64, len(keys)),
		uids:    make(map[routing.ObjectKey]types.UID, len(keys)),
		failed:  map[routing.ObjectKey]error{},
		stale:   map[routing.ObjectKey]error{},
	}
	for _, key := range keys {
		s.readOne(ctx, key, &r)
	}
	return r
}

func (s *secretStore) readOne(ctx context.Context, key routing.ObjectKey, r *secretsRead) {
	known := secretMetadata()
	err := s.metadata.Get(ctx, objectName(key), known)
	if apierrors.IsNotFound(err) {
		s.drop(key)
		return
	}
	held, ok := s.get(key)
	if err == nil && ok && held.uid == known.UID && held.version == known.ResourceVersion {
		r.take(key, held)
		return
	}
	if err == nil {
		var secret corev1.Secret
		err = s.data.Get(ctx, objectName(key), &secret)
		if err == nil {
			r.take(key, s.put(key, &secret))
			return
		}
		if apierrors.IsNotFound(err) {
			s.drop(key)
			return
		}
	}
	err = fmt.Errorf("read Secret %q: %w", path(key), err)
	if !ok || (known.UID != "" && held.uid != known.UID) {
		r.failed[key] = err // what is held, if anything, belongs to another Secret of that name
		return
	}
	r.stale[key] = err
	r.take(key, held)
}

func (r *secretsRead) take(key routing.ObjectKey, held storedSecret) {
	r.secrets[key] = held.secret
	r.changed[key] = held.changed
	r.uids[key] = held.uid
}

// retain replaces what owner refers to and forgets Secrets that nobody refers to any more.
func (s *secretStore) retain(owner secretOwner, keys []routing.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		stored := s.secrets[key]
		if stored == nil {
			stored = &storedSecret{}
			s.secrets[key] = stored
		}
		stored.owners++
	}
	for _, key := range s.owners[owner] {
		if stored := s.secrets[key]; stored != nil {
			if stored.owners--; stored.owners == 0 {
				delete(s.secrets, key)
			}
		}
	}
	if len(keys) == 0 {
		delete(s.owners, owner)
		return
	}
	s.owners[owner] = keys
}

func (s *secretStore) get(key routing.ObjectKey) (storedSecret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.secrets[key]
	if stored == nil || !stored.held {
		return storedSecret{}, false
	}
	return *stored, true
}

func (s *secretStore) drop(key routing.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored := s.secrets[key]; stored != nil {
		*stored = storedSecret{owners: stored.owners}
	}
}

// put stores a Secret as read from the API server, unless a newer one is held already, and returns what is held.
func (s *secretStore) put(key routing.ObjectKey, secret *corev1.Secret) storedSecret {
	fresh := storedSecret{
		held:    true,
		uid:     secret.UID,
		version: secret.ResourceVersion,
		changed: parseVersion(secret.ResourceVersion),
		secret:  compile.Secret{Type: secret.Type, Data: make(map[string]compile.SecretBytes, len(secret.Data))},
	}
	for name, value := range secret.Data {
		fresh.secret.Data[name] = value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.secrets[key]
	if stored == nil {
		return fresh // its last owner went while it was read
	}
	if stored.held && stored.uid == fresh.uid {
		if parseVersion(stored.version) > parseVersion(fresh.version) {
			return *stored
		}
		if sameSecret(stored.secret, fresh.secret) {
			fresh.changed = stored.changed
		}
	}
	fresh.owners = stored.owners
	*stored = fresh
	return fresh
}

func sameSecret(a, b compile.Secret) bool {
	return a.Type == b.Type && maps.EqualFunc(a.Data, b.Data, func(x, y compile.SecretBytes) bool { return bytes.Equal(x, y) })
}

// primeThreshold is the number of Secrets from which on a start reads them by pages instead of one by one.
const primeThreshold = 100

// prime reads the Secrets among owners' keys by pages, for a start with many of them. It is an optimisation: what it
// could not read is read by read.
func (s *secretStore) prime(ctx context.Context, owners map[secretOwner][]routing.ObjectKey) error {
	if len(owners) < primeThreshold {
		return nil
	}
	for owner, keys := range owners {
		s.retain(owner, keys)
	}
	namespaces := s.namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		if err := s.primeNamespace(ctx, namespace); err != nil {
			return err
		}
	}
	return nil
}

func (s *secretStore) primeNamespace(ctx context.Context, namespace string) error {
	next := ""
	for {
		var page corev1.SecretList
		err := s.data.List(ctx, &page, client.InNamespace(namespace), client.Limit(500), client.Continue(next),
			client.MatchingFieldsSelector{Selector: secretSelector()})
		if err != nil {
			return fmt.Errorf("list Secrets: %w", err)
		}
		for i := range page.Items {
			s.put(keyOf(&page.Items[i]), &page.Items[i])
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
}

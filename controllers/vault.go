package controllers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// vaultWindow is how long changes are gathered before they are written.
	vaultWindow = 200 * time.Millisecond
	// vaultRetry is the pause after a write that failed.
	vaultRetry = time.Second
	// vaultTimeout bounds one write.
	vaultTimeout = 10 * time.Second
	// maxShard bounds one Secret of the vault, in bytes. The API allows 1 MiB.
	maxShard = 1_000_000
)

// vault keeps what the Secrets of credentials held before in Secrets of the installation's own namespace. A key is written
// when it is first seen, ahead of its replacement: then nothing is lost when it is replaced while no controller runs. The
// leader writes; all replicas read.
type vault struct {
	options Options
	client  client.Client // nil: nothing is kept
	leader  leadership
	log     *slog.Logger

	moved chan struct{} // holds one token when there may be something to write

	mu     sync.Mutex
	shards map[string]*corev1.Secret // as last seen or written
	stored map[routing.ObjectKey]storedRecords
	wanted map[routing.ObjectKey][]byte // what is to be written; nil: nothing of the credential
}

type storedRecords struct {
	uid     string
	records []rotation.Record
	raw     []byte
}

func newVault(opts Options, c client.Client, leader leadership, log *slog.Logger) *vault {
	return &vault{
		options: opts, client: c, leader: leader, log: log, moved: make(chan struct{}, 1),
		shards: map[string]*corev1.Secret{}, stored: map[routing.ObjectKey]storedRecords{}, wanted: map[routing.ObjectKey][]byte{},
	}
}

func vaultLabels(opts Options) map[string]string {
	return map[string]string{labelName: "ostiary", labelInstance: opts.Instance, labelComponent: "keys"}
}

// vaultCacheOptions are those of a cache that holds the vault's Secrets with their data, and nothing else.
func vaultCacheOptions(base cache.Options, opts Options) cache.Options {
	return cache.Options{
		Scheme: base.Scheme, Mapper: base.Mapper, HTTPClient: base.HTTPClient, DefaultWatchErrorHandler: base.DefaultWatchErrorHandler,
		DefaultTransform: stripAnnotations,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{
				opts.PodNamespace: {LabelSelector: labels.SelectorFromSet(vaultLabels(opts))},
			}},
		},
	}
}

// vaultEntry is one credential in a Secret of the vault.
type vaultEntry struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	UID       string     `json:"uid"`
	Keys      []vaultKey `json:"keys"`
}

type vaultKey struct {
	Name        string          `json:"name"`
	Secret      string          `json:"secret"`
	SecretUID   string          `json:"secretUID"`
	Entry       string          `json:"entry"`
	JWK         json.RawMessage `json:"jwk"`
	FirstSeen   time.Time       `json:"firstSeen"`
	Replaced    *time.Time      `json:"replaced,omitempty"`
	RetainUntil *time.Time      `json:"retainUntil,omitempty"`
}

// encodeRecords writes the single keys among records that verify, or will; nil where there is none.
func encodeRecords(key routing.ObjectKey, uid string, records []rotation.Record) ([]byte, error) {
	e := vaultEntry{Namespace: key.Namespace, Name: key.Name, UID: uid}
	for i := range records {
		r := &records[i]
		if r.Kind != compile.SourceKey || r.Spent() {
			continue
		}
		k := vaultKey{
			Name: r.Place.Name, Secret: r.Place.Secret, SecretUID: r.Place.SecretUID, Entry: r.Place.Entry,
			JWK: json.RawMessage(r.Value), FirstSeen: r.FirstSeen.UTC(),
		}
		if !r.Replaced.IsZero() {
			replaced, until := r.Replaced.UTC(), r.RetainUntil.UTC()
			k.Replaced, k.RetainUntil = &replaced, &until
		}
		e.Keys = append(e.Keys, k)
	}
	if len(e.Keys) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode the keys of JWTCredential %q: %w", path(key), err)
	}
	return data, nil
}

func decodeRecords(data []byte) (routing.ObjectKey, storedRecords, error) {
	var e vaultEntry
	if err := json.Unmarshal(data, &e); err != nil {
		return routing.ObjectKey{}, storedRecords{}, fmt.Errorf("decode retained keys: %w", err)
	}
	stored := storedRecords{uid: e.UID, raw: data}
	for _, k := range e.Keys {
		r := rotation.Record{
			Place: rotation.Place{Name: k.Name, Secret: k.Secret, SecretUID: k.SecretUID, Entry: k.Entry},
			Kind:  compile.SourceKey, Value: compile.SecretBytes(k.JWK), FirstSeen: k.FirstSeen,
		}
		if k.Replaced != nil && k.RetainUntil != nil {
			r.Replaced, r.RetainUntil = *k.Replaced, *k.RetainUntil
		}
		stored.records = append(stored.records, r)
	}
	return routing.ObjectKey{Namespace: e.Namespace, Name: e.Name}, stored, nil
}

// shardOf names the Secret and its entry that hold a credential.
func (v *vault) shardOf(key routing.ObjectKey) (name, entry string) {
	sum := sha256.Sum256([]byte(key.Namespace + "/" + key.Name))
	return fmt.Sprintf("%s-keys-%02x", v.options.Instance, sum[0]), hex.EncodeToString(sum[:20])
}

// records are what is stored of a credential of that UID. They must not be changed.
func (v *vault) records(key routing.ObjectKey, uid string) []rotation.Record {
	v.mu.Lock()
	defer v.mu.Unlock()
	if stored := v.stored[key]; stored.uid == uid {
		return stored.records
	}
	return nil
}

// keep asks for these records to be stored, where this replica is the leader.
func (v *vault) keep(key routing.ObjectKey, uid string, records []rotation.Record) error {
	raw, err := encodeRecords(key, uid, records)
	if err != nil {
		return err
	}
	v.want(key, raw)
	return nil
}

// forget asks for nothing to be stored of a credential.
func (v *vault) forget(key routing.ObjectKey) { v.want(key, nil) }

func (v *vault) want(key routing.ObjectKey, raw []byte) {
	if v.client == nil || !v.leader.leading() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if bytes.Equal(v.stored[key].raw, raw) {
		delete(v.wanted, key)
		return
	}
	v.wanted[key] = raw
	select {
	case v.moved <- struct{}{}:
	default:
	}
}

// observe takes in a Secret of the vault, and returns the credentials of which something else is stored now.
func (v *vault) observe(e change[*corev1.Secret]) []routing.ObjectKey {
	secret := e.object()
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.shards[secret.Name]
	if before != nil && before.UID == secret.UID && parseVersion(before.ResourceVersion) > parseVersion(secret.ResourceVersion) {
		return nil // what was written since is known
	}
	if e.kind == deleted {
		return v.takeLocked(secret.Name, nil)
	}
	return v.takeLocked(secret.Name, secret)
}

// takeLocked replaces what is known of a shard.
func (v *vault) takeLocked(name string, secret *corev1.Secret) []routing.ObjectKey {
	var changed []routing.ObjectKey
	fresh := map[routing.ObjectKey]storedRecords{}
	if secret == nil {
		delete(v.shards, name)
	} else {
		v.shards[name] = secret
		for _, entry := range slices.Sorted(maps.Keys(secret.Data)) {
			key, stored, err := decodeRecords(secret.Data[entry])
			if _, own := v.shardOf(key); err != nil || own != entry {
				v.log.Warn("an entry of retained keys can't be read; it is not used", "secret", name, "entry", entry, "err", err)
				continue
			}
			fresh[key] = stored
		}
	}
	for key := range v.stored {
		if shard, _ := v.shardOf(key); shard == name {
			if _, ok := fresh[key]; !ok {
				delete(v.stored, key)
				changed = append(changed, key)
			}
		}
	}
	for key, stored := range fresh {
		if !bytes.Equal(v.stored[key].raw, stored.raw) {
			v.stored[key] = stored
			changed = append(changed, key)
		}
	}
	return changed
}

// credentials are those of which something is stored, in any order.
func (v *vault) credentials() []routing.ObjectKey {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Keys(v.stored))
}

// NeedLeaderElection implements manager.LeaderElectionRunnable. It runs everywhere, and writes where keep and forget ask.
func (*vault) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (v *vault) Start(ctx context.Context) error {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.moved:
		}
		pause := vaultWindow
		for v.pending() {
			if !sleep(ctx, pause) {
				return nil
			}
			if err := v.flush(ctx); err != nil {
				if !failing && ctx.Err() == nil {
					v.log.Warn("keys can't be stored; one that is replaced meanwhile is retained until a restart only", "err", err)
				}
				failing, pause = true, vaultRetry
				continue
			}
			failing, pause = false, vaultWindow
		}
	}
}

func (v *vault) pending() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.wanted) > 0
}

// flush writes what is wanted, a Secret at a time. What one can't be written doesn't keep the others.
func (v *vault) flush(ctx context.Context) error {
	v.mu.Lock()
	if !v.leader.leading() {
		clear(v.wanted) // the new leader knows by itself
	}
	byShard := map[string]map[routing.ObjectKey][]byte{}
	for key, raw := range v.wanted {
		name, _ := v.shardOf(key)
		if byShard[name] == nil {
			byShard[name] = map[routing.ObjectKey][]byte{}
		}
		byShard[name][key] = raw
	}
	v.mu.Unlock()
	var failed error
	for _, name := range slices.Sorted(maps.Keys(byShard)) {
		if err := v.write(ctx, name, byShard[name]); err != nil {
			failed = err
		}
	}
	return failed
}

func (v *vault) write(ctx context.Context, name string, wanted map[routing.ObjectKey][]byte) error {
	v.mu.Lock()
	before := v.shards[name]
	v.mu.Unlock()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v.options.PodNamespace, Name: name, Labels: vaultLabels(v.options)}}
	if before != nil {
		secret.UID, secret.ResourceVersion = before.UID, before.ResourceVersion
		secret.Data = maps.Clone(before.Data)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	size := 0
	for key, raw := range wanted {
		_, entry := v.shardOf(key)
		if delete(secret.Data, entry); raw != nil {
			secret.Data[entry] = raw
		}
	}
	for entry, raw := range secret.Data {
		size += len(entry) + len(raw)
	}
	if size > maxShard {
		return fmt.Errorf("write Secret %q: %d bytes of keys are more than a Secret holds", name, size)
	}
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	written, err := v.store(ctx, before, secret)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.takeLocked(name, written)
	for key, raw := range wanted {
		if now, ok := v.wanted[key]; ok && bytes.Equal(now, raw) && (now == nil) == (raw == nil) {
			delete(v.wanted, key)
		}
	}
	return nil
}

// store makes the Secret what it should be, and returns what there is then.
func (v *vault) store(ctx context.Context, before, secret *corev1.Secret) (*corev1.Secret, error) {
	var err error
	name := keyOf(secret)
	switch {
	case before == nil && len(secret.Data) == 0:
		return nil, nil
	case before == nil:
		err = v.client.Create(ctx, secret)
	case len(secret.Data) == 0:
		err = client.IgnoreNotFound(v.client.Delete(ctx, secret,
			client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}))
		secret = nil
	default:
		err = v.client.Update(ctx, secret)
	}
	if apierrors.IsNotFound(err) { // it was deleted; what it held is written anew
		v.mu.Lock()
		delete(v.shards, name.Name)
		v.mu.Unlock()
	}
	if err != nil {
		return nil, fmt.Errorf("write Secret %q: %w", path(name), err)
	}
	return secret, nil
}

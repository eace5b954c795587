package compile

import (
	"cmp"
	"slices"
	"time"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	defaultOverlap         = 24 * time.Hour
	maxOverlap             = 365 * 24 * time.Hour
	defaultMaxRetainedKeys = 2
	mostRetainedKeys       = 4
	// maxKeysWithRetained is up to how many keys a credential has retained ones: a token without kid is tried against that
	// many, and what was replaced must not keep what replaced it from being tried.
	maxKeysWithRetained = 16
)

// Overlap is how long a replaced key of the credential verifies.
func Overlap(c *v1alpha1.JWTCredential) time.Duration {
	if c.Spec.Rotation == nil || c.Spec.Rotation.Overlap == nil {
		return defaultOverlap
	}
	return c.Spec.Rotation.Overlap.Duration
}

// MaxRetainedKeys is how many replaced keys of one item of spec.keys are retained.
func MaxRetainedKeys(c *v1alpha1.JWTCredential) int {
	if c.Spec.Rotation == nil || c.Spec.Rotation.MaxRetainedKeys == nil {
		return defaultMaxRetainedKeys
	}
	return int(*c.Spec.Rotation.MaxRetainedKeys)
}

// RetainedKey is what a Secret's entry held before.
type RetainedKey struct {
	// Source is the name of the item of spec.keys.
	Source string
	// Kind is SourceKey or SourceSet.
	Kind SourceKind
	// Value is what KeySource.Value was then.
	Value SecretBytes
	// Until is the first moment at which its tokens are refused.
	Until time.Time
}

// SourceKind says what a Secret's entry holds.
type SourceKind uint8

const (
	// SourceAbsent is a Secret, or an entry of one, that does not exist.
	SourceAbsent SourceKind = iota
	// SourceUnusable is a value that is empty, or no key that the credential can use.
	SourceUnusable
	// SourceKey is a single key.
	SourceKey
	// SourceSet is a JSON Web Key Set, whether or not one of its keys is good.
	SourceSet
)

// KeySource is what one item of spec.keys leads to.
type KeySource struct {
	// Name is the item's; Secret and Entry are where it points to.
	Name, Secret, Entry string
	Kind                SourceKind
	// Value of SourceKey is the key as a JWK (see jose.Key.Export), with its name; of SourceSet it is as in the Secret.
	Value SecretBytes
}

// KeySources says what spec.keys lead to, in their order. Secrets are as in CredentialInput.
func KeySources(c *v1alpha1.JWTCredential, secrets map[routing.ObjectKey]Secret) []KeySource {
	algorithms := knownAlgorithms(c)
	sources := make([]KeySource, len(c.Spec.Keys))
	for i := range c.Spec.Keys {
		item := &c.Spec.Keys[i]
		s := KeySource{Name: item.Name, Secret: item.SecretKeyRef.Name, Entry: item.SecretKeyRef.Key}
		data, ok := secrets[routing.ObjectKey{Namespace: c.Namespace, Name: s.Secret}].Data[s.Entry]
		if ok {
			s.Kind, s.Value = readSource(item, data, algorithms)
		}
		sources[i] = s
	}
	return sources
}

func readSource(item *v1alpha1.CredentialKey, data SecretBytes, algorithms []jose.Algorithm) (SourceKind, SecretBytes) {
	var unknown problems
	keyFormat := chooseFormat(&unknown, "", item)
	if len(unknown) > 0 {
		return SourceUnusable, nil
	}
	if jose.IsSet(data, keyFormat) {
		return SourceSet, data
	}
	keys, _, _ := jose.Parse(data, jose.Options{Format: keyFormat, KID: item.KID, Algorithms: algorithms})
	if len(keys) != 1 {
		return SourceUnusable, nil
	}
	value, err := keys[0].Export()
	if err != nil { // a key that was read can be written
		return SourceUnusable, nil
	}
	return SourceKey, value
}

func knownAlgorithms(c *v1alpha1.JWTCredential) []jose.Algorithm {
	var algorithms []jose.Algorithm
	for _, name := range c.Spec.Algorithms {
		if algorithm, ok := jose.ParseAlgorithm(string(name)); ok {
			algorithms = append(algorithms, algorithm)
		}
	}
	return algorithms
}

func (d *credentialDraft) checkRotation() {
	if overlap := Overlap(d.object); overlap < 0 || overlap > maxOverlap {
		d.invalid.invalid("spec.rotation.overlap: %s is out of bounds; write 0s to %s", overlap, maxOverlap)
	}
	if most := MaxRetainedKeys(d.object); most < 1 || most > mostRetainedKeys {
		d.invalid.invalid("spec.rotation.maxRetainedKeys: %d is out of bounds; write 1 to %d", most, mostRetainedKeys)
	}
}

// retain adds the keys that were replaced, the latest first, where their entries still exist: a deleted one takes the keys
// that it held before with it.
func (d *credentialDraft) retain(found []foundKey, secrets map[routing.ObjectKey]Secret, retained []RetainedKey) []foundKey {
	retained = slices.Clone(retained)
	slices.SortStableFunc(retained, func(a, b RetainedKey) int { return cmp.Compare(b.Until.UnixNano(), a.Until.UnixNano()) })
	for _, r := range retained {
		i := slices.IndexFunc(d.object.Spec.Keys, func(item v1alpha1.CredentialKey) bool { return item.Name == r.Source })
		if i < 0 || len(d.algorithms) == 0 {
			continue
		}
		item := &d.object.Spec.Keys[i]
		holder := secrets[routing.ObjectKey{Namespace: d.object.Namespace, Name: item.SecretKeyRef.Name}]
		if _, ok := holder.Data[item.SecretKeyRef.Key]; !ok {
			continue
		}
		found = d.retainOne(found, i, r)
	}
	return found
}

func (d *credentialDraft) retainOne(found []foundKey, source int, r RetainedKey) []foundKey {
	item := &d.object.Spec.Keys[source]
	keyFormat := jose.FormatJWK
	if r.Kind == SourceSet {
		keyFormat = jose.FormatJWKS
	}
	until := r.Until.UTC()
	if end := moment(item.NotAfter); !end.IsZero() && end.Before(until) {
		until = end
	}
	keys, _, _ := jose.Parse(r.Value, jose.Options{Format: keyFormat, Algorithms: d.algorithms})
	for _, key := range keys {
		twice := slices.ContainsFunc(found, func(known foundKey) bool { return known.source == source && known.Equal(*key) })
		if twice || len(found) >= maxKeysWithRetained {
			continue
		}
		found = append(found, foundKey{
			Key: keyring.Key{Key: key, NotAfter: until}, source: source, retained: true,
			revoked: item.State == v1alpha1.KeyStateRevoked,
		})
		d.keyNotes = append(d.keyNotes, format("spec.keys[%d]: a key that was replaced verifies until %s", source, until.Format(time.RFC3339)))
	}
	return found
}

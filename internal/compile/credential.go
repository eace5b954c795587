package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// CredentialInput is what one JWTCredential depends on. Nothing of it is changed, so objects may be shared with a cache.
type CredentialInput struct {
	Credential *v1alpha1.JWTCredential
	// Consumer that spec.consumerRef names; nil when there is none.
	Consumer *v1alpha1.Consumer
	// Owner that the Consumer's spec.ownerRef names (see ConsumerOwner); nil when there is none.
	Owner *v1alpha1.Consumer
	// Remote says how the keys of spec.remoteJWKS are doing; nil where nobody fetches them, or not yet.
	Remote *RemoteState
	// Secrets that spec.keys refer to, those that exist (see CredentialSecrets).
	Secrets map[routing.ObjectKey]Secret
	// Salt goes into the fingerprints of shared secrets: a random value of the installation, or of the process. Without
	// one, shared secrets have no fingerprint to be reported or revoked by.
	Salt []byte
	// Retained are keys that spec.keys held before, each with its end.
	Retained []RetainedKey
	// SameKeyID are the JWTCredentials of the namespace with the same KeyID, with or without this one, in any order: the
	// oldest of all wins, and winner and loser both say so.
	SameKeyID []*v1alpha1.JWTCredential
	// SameUsername are the Consumers of the namespace with the Consumer's Username, with or without this one, in any
	// order. A Consumer that is not the oldest of them is Conflicted, and no token speaks in its name.
	SameUsername []*v1alpha1.Consumer
}

// Credential turns one JWTCredential into its entry of the keyring and a Verdict.
//
// The entry is nil when the credential is not accepted. Otherwise it is there even when the Consumer or every key is
// missing, so that its tokens are refused with the precise reason.
func Credential(in CredentialInput) (*keyring.Entry, Verdict) {
	c := in.Credential
	if c == nil {
		return nil, Verdict{}
	}
	d := &credentialDraft{object: c, salt: in.Salt}
	d.check()
	d.checkKeyID(in.SameKeyID)
	consumer := d.resolveConsumer(&in)
	found := d.resolveKeys(in.Secrets, in.Retained)
	revocation := newRevocation(&c.Spec, found)
	keys := usableKeys(found)
	remote := d.resolveRemote(in.Secrets)

	reports, ready := d.keyReports(found), d.keysReady(keys)
	if remote != nil {
		fetched := d.remoteReports(remote, in.Remote)
		reports, ready = append(reports, fetched...), remoteReady(remote, in.Remote, fetched)
	}
	v := Verdict{UID: c.UID, Generation: c.Generation, Serving: ServingAll, Conditions: []Condition{
		acceptedCondition(d.invalid, "the JWTCredential is valid", d.notes),
		ready,
		resolvedCondition(d.unresolved, d.resolvedNotes),
	}, Keys: reports, NotAfter: moment(c.Spec.ExpirationTime)}
	if len(d.invalid) > 0 {
		v.Serving = ServingNothing
		return nil, v
	}
	return &keyring.Entry{
		Key:       keyOf(c),
		Created:   c.CreationTimestamp.Time,
		KeyID:     KeyID(c),
		Issuer:    c.Spec.Issuer,
		Audiences: stated(c.Spec.Audiences),
		Scopes:    stated(c.Spec.Scopes),
		Labels:    maps.Clone(c.Labels),
		State:     newState(c.Spec.Suspend),
		Consumer:  consumer,
		Keys:      keys,
		Remote:    remote,

		NotAfter:   moment(c.Spec.ExpirationTime),
		Revocation: revocation,
	}, v
}

// credentialDraft is a JWTCredential on its way to an entry of the keyring.
type credentialDraft struct {
	object     *v1alpha1.JWTCredential
	salt       []byte
	algorithms []jose.Algorithm

	// invalid is why the credential is not accepted.
	invalid problems
	// unresolved are its references that lead nowhere.
	unresolved problems
	// unusable are keys that are there and can't verify.
	unusable             problems
	notes, resolvedNotes []string
	keyNotes             []string
	// refused are values that are no keys.
	refused []KeyReport
}

// check finds what the API server would have refused.
func (d *credentialDraft) check() {
	spec := &d.object.Spec
	if !isVisible(KeyID(d.object)) {
		d.invalid.invalid("spec.keyID: %s can't be looked up; write visible ASCII characters", quote(KeyID(d.object)))
	}
	if len(spec.Algorithms) == 0 {
		d.invalid.invalid("spec.algorithms: is missing; write the algorithms that tokens are signed with, such as ES256")
	}
	secrets := 0
	for i, name := range spec.Algorithms {
		algorithm, ok := jose.ParseAlgorithm(string(name))
		if !ok {
			d.invalid.add(v1alpha1.ReasonUnsupportedValue, "spec.algorithms[%d]: %s is not supported; write one such as ES256", i, quote(name))
			continue
		}
		d.algorithms = append(d.algorithms, algorithm)
		if strings.HasPrefix(string(name), "HS") {
			secrets++
		}
	}
	if secrets > 0 && secrets < len(spec.Algorithms) {
		d.invalid.invalid("spec.algorithms: HMAC algorithms can't be mixed with others; " +
			"write one JWTCredential for shared secrets and another for public keys")
	}
	if len(spec.Keys) == 0 && spec.RemoteJWKS == nil {
		d.invalid.invalid("spec.keys: state at least one, or set spec.remoteJWKS")
	}
	d.checkRotation()
	if end := spec.ExpirationTime; end != nil {
		d.notes = append(d.notes, "spec.expirationTime: its tokens are refused credential_suspended from "+describeTime(end)+" on")
	}
	if isSuspended(spec.Suspend) {
		d.notes = append(d.notes, "spec.suspend is true: its tokens are refused credential_suspended")
	}
}

// checkKeyID compares the credential with those of the same keyID. The oldest has it even while something is wrong with
// it: a mistake must not hand tokens over to another Consumer.
func (d *credentialDraft) checkKeyID(sameKeyID []*v1alpha1.JWTCredential) {
	all := byAge(append(slices.Clone(sameKeyID), d.object))
	all = slices.DeleteFunc(all, func(o *v1alpha1.JWTCredential) bool {
		return o.Namespace != d.object.Namespace || KeyID(o) != KeyID(d.object)
	})
	if oldest := all[0]; oldest.Name != d.object.Name {
		d.invalid.add(v1alpha1.ReasonConflicted, "spec.keyID: %s is taken by JWTCredential %s, which is older; choose another",
			quote(KeyID(d.object)), quote(oldest.Name))
		return
	}
	for _, other := range all[1:] {
		d.notes = append(d.notes, format("keyID %s is kept from JWTCredential %s, which is younger",
			quote(KeyID(d.object)), quote(other.Name)))
	}
}

// resolveConsumer returns the Consumer that tokens of the credential stand for, or nil.
func (d *credentialDraft) resolveConsumer(in *CredentialInput) *keyring.Consumer {
	const consequence = "until then its tokens are refused consumer_unknown"
	name := d.object.Spec.ConsumerRef.Name
	c := in.Consumer
	if c == nil || keyOf(c) != CredentialConsumer(d.object) {
		d.unresolved.add(v1alpha1.ReasonConsumerNotFound,
			"spec.consumerRef.name: Consumer %s not found in namespace %s; create it or correct the name, %s",
			quote(name), quote(d.object.Namespace), consequence)
		return nil
	}
	namesakes := byAge(append(slices.Clone(in.SameUsername), c))
	namesakes = slices.DeleteFunc(namesakes, func(o *v1alpha1.Consumer) bool {
		return o.Namespace != c.Namespace || Username(o) != Username(c)
	})
	o := newOwner(c, in.Owner)
	if consumerVerdict(c, o, namesakes, nil).Serving == ServingNothing {
		d.unresolved.add(v1alpha1.ReasonConsumerNotFound,
			"spec.consumerRef.name: Consumer %s is not accepted, its own conditions say why; %s", quote(name), consequence)
		return nil
	}
	switch {
	case isSuspended(c.Spec.Suspend):
		d.resolvedNotes = append(d.resolvedNotes, format("Consumer %s is suspended: its tokens are refused consumer_suspended", quote(name)))
	case o.suspends():
		d.resolvedNotes = append(d.resolvedNotes, format("Consumer %s is suspended with its owner: its tokens are refused consumer_suspended", quote(name)))
	}
	return newConsumer(c, o)
}

// foundKey is a key that could be read.
type foundKey struct {
	keyring.Key

	// source is the index in spec.keys.
	source   int
	revoked  bool
	retained bool
}

// resolveKeys reads the keys, each by itself, in the order of spec.keys. The same key under the same name and with the
// same bounds counts once.
func (d *credentialDraft) resolveKeys(secrets map[routing.ObjectKey]Secret, retained []RetainedKey) []foundKey {
	var found []foundKey
	for i := range d.object.Spec.Keys {
		source := &d.object.Spec.Keys[i]
		state := d.resolveSource(i)
		for _, key := range d.resolveKey(i, state, secrets) {
			fresh := foundKey{
				Key:     keyring.Key{Key: key, NotBefore: moment(source.NotBefore), NotAfter: moment(source.NotAfter)},
				source:  i,
				revoked: state == v1alpha1.KeyStateRevoked,
			}
			if !slices.ContainsFunc(found, func(known foundKey) bool { return known.Same(fresh.Key) && known.revoked == fresh.revoked }) {
				found = append(found, fresh)
			}
		}
	}
	found = d.retain(found, secrets, retained)
	d.revoke(found)
	return found
}

// resolveSource checks what is said of a key, and notes what bounds it.
func (d *credentialDraft) resolveSource(i int) v1alpha1.KeyState {
	source := &d.object.Spec.Keys[i]
	field := fmt.Sprintf("spec.keys[%d]", i)
	if source.NotBefore != nil && source.NotAfter != nil && !source.NotBefore.Before(source.NotAfter) {
		d.invalid.invalid("%s.notAfter: is not later than notBefore; write a later time", field)
	}
	state := choose(&d.invalid, field+".state", source.State,
		choice[v1alpha1.KeyState, v1alpha1.KeyState]{v1alpha1.KeyStateActive, v1alpha1.KeyStateActive},
		choice[v1alpha1.KeyState, v1alpha1.KeyState]{v1alpha1.KeyStateRetiring, v1alpha1.KeyStateRetiring},
		choice[v1alpha1.KeyState, v1alpha1.KeyState]{v1alpha1.KeyStateRevoked, v1alpha1.KeyStateRevoked},
	)
	if state == v1alpha1.KeyStateRetiring {
		d.keyNotes = append(d.keyNotes, field+" is retiring: it verifies still")
	}
	if bounds := describeBounds(source); bounds != "" && state != v1alpha1.KeyStateRevoked {
		d.keyNotes = append(d.keyNotes, field+" verifies "+bounds)
	}
	return state
}

func (d *credentialDraft) resolveKey(i int, state v1alpha1.KeyState, secrets map[routing.ObjectKey]Secret) []*jose.Key {
	source := &d.object.Spec.Keys[i]
	field := fmt.Sprintf("spec.keys[%d]", i)
	known := len(d.invalid)
	keyFormat := chooseFormat(&d.invalid, field, source)
	ref := &source.SecretKeyRef
	data, problem := d.secretEntry(field, ref, secrets)
	if problem != nil {
		if state != v1alpha1.KeyStateRevoked { // a key that was revoked may be gone altogether
			d.unresolved = append(d.unresolved, *problem)
		}
		return nil
	}
	if len(d.invalid) > known || len(d.algorithms) == 0 {
		return nil
	}
	keys, refused, notes := jose.Parse(data, jose.Options{
		Format: keyFormat, KID: source.KID, Algorithms: d.algorithms, Private: jose.PrivateHalved,
	})
	if state == v1alpha1.KeyStateRevoked {
		return keys
	}
	at := format("%s (%s of Secret %s)", field, quote(ref.Key), quote(ref.Name))
	d.refuse(i, data, refused)
	for _, p := range refused {
		d.unusable.add(keyReason(p.Kind), "%s: %s", at, p.Message)
	}
	for _, note := range notes {
		d.keyNotes = append(d.keyNotes, format("%s: %s", at, note))
	}
	return keys
}

func chooseFormat(p *problems, field string, source *v1alpha1.CredentialKey) jose.Format {
	return choose(p, field+".format", source.Format,
		choice[v1alpha1.KeyFormat, jose.Format]{v1alpha1.KeyFormatAuto, jose.FormatAuto},
		choice[v1alpha1.KeyFormat, jose.Format]{v1alpha1.KeyFormatJWKS, jose.FormatJWKS},
		choice[v1alpha1.KeyFormat, jose.Format]{v1alpha1.KeyFormatJWK, jose.FormatJWK},
		choice[v1alpha1.KeyFormat, jose.Format]{v1alpha1.KeyFormatPEM, jose.FormatPEM},
		choice[v1alpha1.KeyFormat, jose.Format]{v1alpha1.KeyFormatOctets, jose.FormatOctets},
	)
}

// secretEntry finds what a reference leads to.
func (d *credentialDraft) secretEntry(field string, ref *v1alpha1.SecretKeyReference, secrets map[routing.ObjectKey]Secret) (SecretBytes, *problem) {
	var p problems
	secret, ok := secrets[routing.ObjectKey{Namespace: d.object.Namespace, Name: ref.Name}]
	if !ok {
		p.add(v1alpha1.ReasonSecretNotFound,
			"%s.secretKeyRef.name: Secret %s not found in namespace %s; create it or correct the name",
			field, quote(ref.Name), quote(d.object.Namespace))
		return nil, &p[0]
	}
	data := secret.Data[ref.Key]
	if len(data) == 0 {
		p.add(v1alpha1.ReasonKeyNotFound, "%s.secretKeyRef.key: Secret %s has no entry %s; add it or correct the key",
			field, quote(ref.Name), quote(ref.Key))
		return nil, &p[0]
	}
	return data, nil
}

func keyReason(kind jose.Kind) v1alpha1.Reason {
	switch kind {
	case jose.Weak:
		return v1alpha1.ReasonWeakKey
	case jose.AlgorithmMismatch:
		return v1alpha1.ReasonAlgorithmMismatch
	case jose.Unparsable, jose.Unsupported:
		return v1alpha1.ReasonInvalidKey
	default:
		return v1alpha1.ReasonInvalidKey
	}
}

// keysReady is True as soon as one key verifies; the message then names those that don't.
func (d *credentialDraft) keysReady(keys []keyring.Key) Condition {
	tell := slices.Concat(d.unusable.texts(), d.keyNotes)
	if len(keys) > 0 {
		return Condition{
			Type:    v1alpha1.ConditionKeysReady,
			Status:  metav1.ConditionTrue,
			Reason:  v1alpha1.ReasonKeysReady,
			Message: message(append([]string{plural(len(keys), "key verifies", "keys verify") + " tokens"}, tell...)...),
		}
	}
	reason := v1alpha1.ReasonNoUsableKey
	if len(d.unusable) > 0 {
		reason = d.unusable.reason(v1alpha1.ReasonInvalidKey, v1alpha1.ReasonWeakKey, v1alpha1.ReasonAlgorithmMismatch)
	}
	return Condition{
		Type:    v1alpha1.ConditionKeysReady,
		Status:  metav1.ConditionFalse,
		Reason:  reason,
		Message: message(append([]string{"no key verifies tokens: they are refused key_unknown"}, tell...)...),
	}
}

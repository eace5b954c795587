package compile

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// RemoteState says how a remote key set is doing, in the eyes of who fetches it.
type RemoteState struct {
	// Source is the set that this is about.
	Source routing.RemoteKeys
	// Keys is how many of its keys verify tokens; 0 before the first fetch and when the set is too old.
	Keys int
	// Fetched says that it was fetched once.
	Fetched Fetched
	// Problem says why it can't be fetched now; empty while it can.
	Problem string
}

// Fetched says whether a set was fetched once.
type Fetched uint8

const (
	// FetchedNever is before the first fetch.
	FetchedNever Fetched = iota
	// FetchedOnce is after it.
	FetchedOnce
)

// resolveRemote returns where the credential's keys are fetched from, nil where they are in Secrets. While its CA can't be
// read nothing is fetched, and its tokens are refused.
func (d *credentialDraft) resolveRemote(secrets map[routing.ObjectKey]Secret) *keyring.Remote {
	spec := &d.object.Spec
	if spec.RemoteJWKS == nil {
		return nil
	}
	const field = "spec.remoteJWKS"
	if len(spec.Keys) > 0 {
		d.invalid.invalid("%s: contradicts spec.keys; leave one of them out", field)
	}
	if slices.ContainsFunc(d.algorithms, func(a jose.Algorithm) bool { return strings.HasPrefix(string(a), "HS") }) {
		d.invalid.invalid("%s: can't be used with HMAC algorithms; write those of public keys, such as ES256", field)
	}
	source := newRemoteJWKS(field, spec.RemoteJWKS, &d.invalid)
	if ref := spec.RemoteJWKS.CACertificateRef; ref != nil {
		const consequence = "until then its tokens are refused key_unknown"
		roots := resolveCA(field+".caCertificateRef", d.object.Namespace, ref, secrets, consequence, &d.unresolved)
		if roots == "" {
			return nil
		}
		source.RootCAs = roots
	}
	return &keyring.Remote{Source: source, Algorithms: slices.Clone(d.algorithms)}
}

// ready is KeysReady.
func (d *credentialDraft) ready(keys []keyring.Key, remote *keyring.Remote, state *RemoteState) Condition {
	if remote == nil {
		return d.keysReady(keys)
	}
	c := Condition{Type: v1alpha1.ConditionKeysReady, Status: metav1.ConditionFalse}
	const unavailable = "its tokens are answered 503 keys_unavailable"
	switch {
	case state == nil || state.Source != remote.Source || state.Fetched == FetchedNever && state.Problem == "":
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonPending
		c.Message = "the key set is not fetched yet: until then " + unavailable
	case state.Fetched == FetchedNever:
		c.Reason = v1alpha1.ReasonFetchFailed
		c.Message = message("the key set can't be fetched: "+state.Problem, "Until it can, "+unavailable)
	case state.Keys == 0:
		c.Reason = v1alpha1.ReasonStaleKeys
		c.Message = message("the key set can't be fetched for 24 hours: "+state.Problem, "Until it can, "+unavailable)
	case state.Problem != "":
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonStaleKeys
		c.Message = message(plural(state.Keys, "key verifies", "keys verify")+" tokens still", "The key set can't be fetched: "+state.Problem)
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonKeysReady
		c.Message = plural(state.Keys, "key", "keys") + " of the remote key set can verify tokens"
	}
	return c
}

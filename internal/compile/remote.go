package compile

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// remoteName is what keys of a remote set are reported under: the field that they come from.
const remoteName = "remoteJWKS"

// RemoteState says how a remote key set is doing, in the eyes of who fetches it.
type RemoteState struct {
	// Source is the set that this is about.
	Source routing.RemoteKeys
	// Keys are those of its keys that may be used; none before the first fetch and when the set is too old.
	Keys []RemoteKey
	// Fetched says that it was fetched once.
	Fetched Fetched
	// Problem says why it can't be fetched now; empty while it can.
	Problem string
}

// RemoteKey is one key of a remote set. It holds nothing secret.
type RemoteKey struct {
	KID        string
	Thumbprint string // RFC 7638
	Algorithms []jose.Algorithm
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

// remoteReports are the keys of the remote set that are for the credential's algorithms, sorted by kid.
func (d *credentialDraft) remoteReports(remote *keyring.Remote, state *RemoteState) []KeyReport {
	if state == nil || state.Source != remote.Source {
		return nil
	}
	var revoked keyring.Names
	if r := d.object.Spec.Revocation; r != nil {
		revoked = keyring.NewNames(r.KeyIDs...)
	}
	var reports []KeyReport
	for _, key := range state.Keys {
		report := KeyReport{
			Name: remoteName, Source: remoteName, Thumbprint: key.Thumbprint, KID: key.KID, State: v1alpha1.KeyStateActive,
		}
		for _, algorithm := range key.Algorithms {
			if slices.Contains(remote.Algorithms, algorithm) {
				report.Algorithms = append(report.Algorithms, v1alpha1.Algorithm(algorithm))
			}
		}
		if revoked.Has(key.KID) || revoked.Has(key.Thumbprint) {
			report.State = v1alpha1.KeyStateRevoked
		}
		if len(report.Algorithms) > 0 {
			reports = append(reports, report)
		}
	}
	slices.SortFunc(reports, func(a, b KeyReport) int {
		return cmp.Or(cmp.Compare(a.KID, b.KID), cmp.Compare(a.Thumbprint, b.Thumbprint))
	})
	return reports
}

// remoteReady is KeysReady of a credential whose keys are a remote set's.
func remoteReady(remote *keyring.Remote, state *RemoteState, keys []KeyReport) Condition {
	c := Condition{Type: v1alpha1.ConditionKeysReady, Status: metav1.ConditionFalse}
	usable := 0
	for i := range keys {
		if keys[i].State != v1alpha1.KeyStateRevoked {
			usable++
		}
	}
	const unavailable = "its tokens are answered 503 keys_unavailable"
	switch {
	case state == nil || state.Source != remote.Source || state.Fetched == FetchedNever && state.Problem == "":
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonPending
		c.Message = "the key set is not fetched yet: until then " + unavailable
	case state.Fetched == FetchedNever:
		c.Reason = v1alpha1.ReasonFetchFailed
		c.Message = message("the key set can't be fetched: "+state.Problem, "Until it can, "+unavailable)
	case len(state.Keys) == 0:
		c.Reason = v1alpha1.ReasonStaleKeys
		c.Message = message("the key set can't be fetched for 24 hours: "+state.Problem, "Until it can, "+unavailable)
	case len(keys) == 0:
		c.Reason = v1alpha1.ReasonAlgorithmMismatch
		c.Message = "no key of the remote key set is for the algorithms of spec.algorithms: tokens are refused"
	case usable == 0:
		c.Reason = v1alpha1.ReasonNoUsableKey
		c.Message = "spec.revocation.keyIDs revokes every key of the remote key set: tokens are refused"
	case state.Problem != "":
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonStaleKeys
		c.Message = message(plural(usable, "key verifies", "keys verify")+" tokens still", "The key set can't be fetched: "+state.Problem)
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonKeysReady
		c.Message = plural(usable, "key", "keys") + " of the remote key set can verify tokens"
	}
	return c
}

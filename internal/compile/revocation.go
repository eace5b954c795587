package compile

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/keyring"
)

// revoke marks the keys that spec.revocation.keyIDs names, and those that are the same as one that is revoked.
func (d *credentialDraft) revoke(found []foundKey) {
	if r := d.object.Spec.Revocation; r != nil {
		named := keyring.NewNames(r.KeyIDs...)
		for i := range found {
			found[i].revoked = found[i].revoked || named.Has(found[i].KID()) || named.Has(found[i].Fingerprint(d.salt))
		}
	}
	revoked := slices.DeleteFunc(slices.Clone(found), func(key foundKey) bool { return !key.revoked })
	sources := map[int]bool{}
	for i := range found {
		found[i].revoked = slices.ContainsFunc(revoked, func(key foundKey) bool { return key.SameMaterial(*found[i].Key.Key) })
		if source := found[i].source; found[i].revoked && !sources[source] {
			sources[source] = true
			d.keyNotes = append(d.keyNotes, fmt.Sprintf("spec.keys[%d] is revoked: its tokens are refused", source))
		}
	}
}

// usableKeys are those that are not revoked.
func usableKeys(found []foundKey) []keyring.Key {
	var keys []keyring.Key
	for _, key := range found {
		if !key.revoked {
			keys = append(keys, key.Key)
		}
	}
	return keys
}

// newRevocation says which tokens are revoked. Its KeyIDs are those that were stated and the names of revoked keys that
// are not the name of a good one too.
func newRevocation(spec *v1alpha1.JWTCredentialSpec, found []foundKey) keyring.Revocation {
	var r keyring.Revocation
	var keyIDs []string
	if stated := spec.Revocation; stated != nil {
		r.IssuedBefore = moment(stated.IssuedBefore)
		r.TokenIDs = keyring.NewNames(stated.TokenIDs...)
		keyIDs = slices.Clone(stated.KeyIDs)
	}
	good := keyring.Names{}
	for _, key := range usableKeys(found) {
		good[key.KID()] = struct{}{}
	}
	for _, key := range found {
		for _, name := range []string{key.KID(), key.Thumbprint()} {
			if key.revoked && name != "" && !good.Has(name) {
				keyIDs = append(keyIDs, name)
			}
		}
	}
	r.KeyIDs = keyring.NewNames(keyIDs...)
	return r
}

// moment is a time of a spec; zero where it is absent.
func moment(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func describeTime(t *metav1.Time) string { return t.UTC().Format(time.RFC3339) }

// describeBounds says when a key verifies; it is empty where that is always.
func describeBounds(source *v1alpha1.CredentialKey) string {
	switch {
	case source.NotBefore != nil && source.NotAfter != nil:
		return "from " + describeTime(source.NotBefore) + " until " + describeTime(source.NotAfter)
	case source.NotBefore != nil:
		return "from " + describeTime(source.NotBefore) + " on"
	case source.NotAfter != nil:
		return "until " + describeTime(source.NotAfter)
	default:
		return ""
	}
}

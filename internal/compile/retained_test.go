package compile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	thumbprintA = "t20Rv1mM60d_PNEu6Bs5RlziodxXIp1EESGyLsPrQyo"
	thumbprintB = "D-n45MblDwb1z4i8Ekyr07NleAvcfczGYBTI7paaBMI"
)

// rotating is a credential whose one item of keys points to es256.pem of the fixture's Secret, and that Secret.
func rotating(t *testing.T) (*v1alpha1.JWTCredential, map[routing.ObjectKey]compile.Secret) {
	t.Helper()
	f := loadFixture(t, "testdata/credential-every-field")
	c := f.Credentials[0].DeepCopy()
	c.Spec.Keys = []v1alpha1.CredentialKey{{Name: "current", SecretKeyRef: v1alpha1.SecretKeyReference{Name: "k", Key: "es256.pem"}}}
	return c, f.Secrets
}

// before is what the entry would be remembered as if it had held that other entry.
func before(t *testing.T, c *v1alpha1.JWTCredential, secrets map[routing.ObjectKey]compile.Secret, entry string, until time.Time) compile.RetainedKey {
	t.Helper()
	was := c.DeepCopy()
	was.Spec.Keys[0].SecretKeyRef.Key = entry
	source := compile.KeySources(was, secrets)[0]
	if source.Kind != compile.SourceKey && source.Kind != compile.SourceSet {
		t.Fatalf("%s holds no key", entry)
	}
	return compile.RetainedKey{Source: "current", Kind: source.Kind, Value: source.Value, Until: until}
}

func TestRetainedKeys(t *testing.T) {
	t.Parallel()
	until := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	keysIn := func(secrets map[routing.ObjectKey]compile.Secret) map[string]compile.SecretBytes {
		return secrets[routing.ObjectKey{Namespace: "shop", Name: "k"}].Data
	}
	current, old := thumbprintA, thumbprintB+" until 2027-01-31T00:00:00Z"
	tests := map[string]struct {
		change func(*v1alpha1.JWTCredential, map[routing.ObjectKey]compile.Secret)
		want   []string
		// revoked are the entry's revoked names.
		revoked []string
	}{
		"beside the one that replaced it": {want: []string{current, old}},
		"under a name that the new one has": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) { c.Spec.Keys[0].KID = "2027" },
			want:   []string{"2027", old},
		},
		"Q10 no longer than the item's end": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) {
				c.Spec.Keys[0].NotAfter = ptr.To(metav1.NewTime(until.Add(-time.Hour)))
			},
			want: []string{current + " until 2027-01-30T23:00:00Z", thumbprintB + " until 2027-01-30T23:00:00Z"},
		},
		"while the one that replaced it is to come": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) {
				c.Spec.Keys[0].NotBefore = ptr.To(metav1.NewTime(until))
			},
			want: []string{current + " from 2027-01-31T00:00:00Z", old},
		},
		"Q04 in place of rubbish": {
			change: func(_ *v1alpha1.JWTCredential, s map[routing.ObjectKey]compile.Secret) {
				keysIn(s)["es256.pem"] = compile.SecretBytes("rubbish")
			},
			want: []string{old},
		},
		"Q04 in place of nothing": {
			change: func(_ *v1alpha1.JWTCredential, s map[routing.ObjectKey]compile.Secret) {
				keysIn(s)["es256.pem"] = compile.SecretBytes{}
			},
			want: []string{old},
		},
		"Q05 not without the entry": {
			change: func(_ *v1alpha1.JWTCredential, s map[routing.ObjectKey]compile.Secret) {
				delete(keysIn(s), "es256.pem")
			},
		},
		"Q05 not without the Secret": {
			change: func(_ *v1alpha1.JWTCredential, s map[routing.ObjectKey]compile.Secret) { clear(s) },
		},
		"not of an item that is gone": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) { c.Spec.Keys[0].Name = "other" },
			want:   []string{current},
		},
		"Q02 not where the item is revoked": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) {
				c.Spec.Keys[0].State = v1alpha1.KeyStateRevoked
			},
			revoked: []string{thumbprintB, thumbprintA},
		},
		"Q02 not where it is revoked by name": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) {
				c.Spec.Revocation = &v1alpha1.Revocation{KeyIDs: []string{thumbprintB}}
			},
			want:    []string{current},
			revoked: []string{thumbprintB},
		},
		"not for algorithms that it can't do": {
			change: func(c *v1alpha1.JWTCredential, _ map[routing.ObjectKey]compile.Secret) {
				c.Spec.Algorithms = []v1alpha1.Algorithm{v1alpha1.AlgorithmES384}
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, secrets := rotating(t)
			retained := before(t, c, secrets, "es256b.pem", until)
			if tc.change != nil {
				tc.change(c, secrets)
			}
			entry, _ := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets, Retained: []compile.RetainedKey{retained}})
			var got []string
			for _, key := range entry.Keys {
				line := key.KID()
				if !key.NotBefore.IsZero() {
					line += " from " + key.NotBefore.Format(time.RFC3339)
				}
				if !key.NotAfter.IsZero() {
					line += " until " + key.NotAfter.Format(time.RFC3339)
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			for _, name := range tc.revoked {
				if !entry.Revocation.KeyIDs.Has(name) {
					t.Errorf("%s is not revoked", name)
				}
			}
			if len(entry.Revocation.KeyIDs) != len(tc.revoked) {
				t.Errorf("revoked are %v, want %v", entry.Revocation.KeyIDs, tc.revoked)
			}
		})
	}
}

// Retained keys must not keep the present ones from being tried: a token without kid is tried against a few keys only.
func TestRetainedKeysAreFew(t *testing.T) {
	t.Parallel()
	c, secrets := rotating(t)
	c.Spec.Algorithms = []v1alpha1.Algorithm{v1alpha1.AlgorithmHS256}
	data := map[string]compile.SecretBytes{}
	var retained []compile.RetainedKey
	c.Spec.Keys = nil
	for i := range 8 {
		for j := range 5 {
			data[fmt.Sprintf("%d-%d", i, j)] = compile.SecretBytes(fmt.Sprintf("%d %d 0yGw9GpfVEnFbQ6UNSl016nJDMi0X7h6OKRevbXc", i, j))
		}
		c.Spec.Keys = append(c.Spec.Keys, v1alpha1.CredentialKey{
			Name: fmt.Sprint("key-", i), SecretKeyRef: v1alpha1.SecretKeyReference{Name: "k", Key: fmt.Sprintf("%d-0", i)}, Format: v1alpha1.KeyFormatOctets,
		})
	}
	secrets[routing.ObjectKey{Namespace: "shop", Name: "k"}] = compile.Secret{Data: data}
	latest := time.Unix(1_800_000_000, 0)
	for i := range 8 {
		for j := 1; j < 5; j++ {
			was := c.DeepCopy()
			was.Spec.Keys[i].SecretKeyRef.Key = fmt.Sprintf("%d-%d", i, j)
			source := compile.KeySources(was, secrets)[i]
			retained = append(retained, compile.RetainedKey{
				Source: source.Name, Kind: source.Kind, Value: source.Value, Until: latest.Add(-time.Duration(j) * time.Hour),
			})
		}
	}
	entry, verdict := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets, Salt: []byte("salt"), Retained: retained})
	ends := map[time.Duration]int{}
	for _, key := range entry.Keys {
		if key.NotAfter.IsZero() {
			ends[0]++
		} else {
			ends[latest.Sub(key.NotAfter)]++
		}
	}
	if diff := cmp.Diff(map[time.Duration]int{0: 8, time.Hour: 8}, ends); diff != "" {
		t.Errorf("keys by their ends (-want +got):\n%s", diff)
	}
	if got := slices.IndexFunc(verdict.Keys, func(k compile.KeyReport) bool { return k.Retained }); got < 0 {
		t.Error("no key is reported as retained")
	}
}

func TestKeySources(t *testing.T) {
	t.Parallel()
	c, secrets := rotating(t)
	data := secrets[routing.ObjectKey{Namespace: "shop", Name: "k"}].Data
	data["set"], data["empty-set"], data["half-set"], data["empty"] = compile.SecretBytes(`{"keys":[{}]}`), compile.SecretBytes(`{"keys":[]}`), compile.SecretBytes(`{"keys":[`), nil
	for entry, want := range map[string]compile.SourceKind{
		"es256.pem": compile.SourceKey, "rs2048.pem": compile.SourceUnusable, "rs1024.pem": compile.SourceUnusable, "junk": compile.SourceUnusable,
		"empty": compile.SourceUnusable, "set": compile.SourceSet, "empty-set": compile.SourceSet, "half-set": compile.SourceUnusable,
		"absent": compile.SourceAbsent,
	} {
		c.Spec.Keys[0].SecretKeyRef.Key = entry
		got := compile.KeySources(c, secrets)[0]
		if got.Kind != want || (got.Value != nil) != (want == compile.SourceKey || want == compile.SourceSet) {
			t.Errorf("%s: kind %d with %d bytes, want kind %d", entry, got.Kind, len(got.Value), want)
		}
		if want == compile.SourceKey && (!strings.Contains(string(got.Value), thumbprintA) || strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, got), "kty")) {
			t.Errorf("%s: the key has no name, or prints itself", entry)
		}
	}
	c.Spec.Keys[0].Format, c.Spec.Keys[0].SecretKeyRef.Key = "Riddle", "absent"
	if got := compile.KeySources(c, secrets)[0]; got.Kind != compile.SourceAbsent {
		t.Errorf("an entry that is absent has kind %d", got.Kind)
	}
	c.Spec.Keys[0].SecretKeyRef.Key = "es256.pem"
	if got := compile.KeySources(c, secrets)[0]; got.Kind != compile.SourceUnusable {
		t.Errorf("an unknown format has kind %d", got.Kind)
	}
	c.Spec.Keys[0].Format = ""
	c.Spec.Algorithms = append(c.Spec.Algorithms, "ES257")
	if got := compile.KeySources(c, secrets)[0]; got.Kind != compile.SourceKey {
		t.Errorf("a key beside an unknown algorithm has kind %d", got.Kind)
	}
}

func TestRotationOutOfBounds(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	overlap := func(d time.Duration) v1alpha1.Rotation {
		return v1alpha1.Rotation{Overlap: &metav1.Duration{Duration: d}}
	}
	retained := func(n int32) v1alpha1.Rotation { return v1alpha1.Rotation{MaxRetainedKeys: ptr.To(n)} }
	for name, tc := range map[string]struct {
		rotation v1alpha1.Rotation
		want     string // what the refusal begins with; empty: there is none
	}{
		"no overlap":         {overlap(0), ""},
		"the longest":        {overlap(365 * day), ""},
		"a negative overlap": {overlap(-time.Second), "spec.rotation.overlap"},
		"too long":           {overlap(365*day + 1), "spec.rotation.overlap"},
		"one key":            {retained(1), ""},
		"the most keys":      {retained(4), ""},
		"no key":             {retained(0), "spec.rotation.maxRetainedKeys"},
		"too many keys":      {retained(5), "spec.rotation.maxRetainedKeys"},
	} {
		c, secrets := rotating(t)
		c.Spec.Rotation = &tc.rotation
		entry, verdict := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets})
		if (entry == nil) != (tc.want != "") || !strings.HasPrefix(verdict.Conditions[0].Message, tc.want) {
			t.Errorf("%s: served %t, %q", name, entry != nil, verdict.Conditions[0].Message)
		}
	}
}

package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/routing"
)

// remembered are the records of one key that was replaced and one that replaced it.
func remembered(value string) []rotation.Record {
	at := time.Unix(1_800_000_000, 123).UTC()
	place := rotation.Place{Name: "current", Secret: "acme-jwt", Entry: "key", SecretUID: "uid"}
	jwk := func(k string) compile.SecretBytes { return compile.SecretBytes(fmt.Sprintf(`{"kty":"oct","k":%q}`, k)) }
	return []rotation.Record{
		{Place: place, Kind: compile.SourceKey, Value: jwk(value + "-old"), FirstSeen: at, Replaced: at.Add(1), RetainUntil: at.Add(2)},
		{Place: place, Kind: compile.SourceKey, Value: jwk(value), FirstSeen: at.Add(1)},
	}
}

func TestRecordsSurviveStorage(t *testing.T) {
	t.Parallel()
	key := routing.ObjectKey{Namespace: "shop", Name: "acme"}
	records := remembered("a")
	set := rotation.Record{Place: records[0].Place, Kind: compile.SourceSet, Value: compile.SecretBytes(`{"keys":[]}`)}
	raw, err := encodeRecords(key, "uid-1", append(slices.Clone(records), set))
	if err != nil {
		t.Fatal(err)
	}
	gotKey, stored, err := decodeRecords(raw)
	if err != nil || gotKey != key || stored.uid != "uid-1" || !rotation.Equal(stored.records, records) {
		t.Errorf("decoded %v of %v, %v, uid %q", stored.records, gotKey, err, stored.uid)
	}
	if raw, err := encodeRecords(key, "uid-1", []rotation.Record{set}); err != nil || raw != nil {
		t.Errorf("a set was encoded: %v", err)
	}
	if _, _, err := decodeRecords([]byte("{")); err == nil {
		t.Error("rubbish was decoded")
	}
}

// follower is a leadership that can be lost.
type follower struct{ leads bool }

func (f *follower) leading() bool { return f.leads }

func newTestVault(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) (*vault, client.WithWatch, *bytes.Buffer) {
	t.Helper()
	c := fakeClient(t, funcs, objects...)
	logged := &bytes.Buffer{}
	return newVault(validOptions(), c, alwaysLeading{}, slog.New(slog.NewTextHandler(logged, nil))), c, logged
}

// kept lists the credentials in the vault's Secrets.
func kept(t *testing.T, c client.Client) []string {
	t.Helper()
	var list corev1.SecretList
	if err := c.List(t.Context(), &list, client.MatchingLabels(vaultLabels(validOptions()))); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for i := range list.Items {
		for _, data := range list.Items[i].Data {
			key, stored, err := decodeRecords(data)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, fmt.Sprintf("%s %s %d", path(key), stored.uid, len(stored.records)))
		}
	}
	slices.Sort(names)
	return names
}

func wantKept(t *testing.T, c client.Client, want ...string) {
	t.Helper()
	if got := kept(t, c); !slices.Equal(got, want) {
		t.Errorf("kept are %q, want %q", got, want)
	}
}

func keepOne(t *testing.T, v *vault, name, uid, value string) routing.ObjectKey {
	t.Helper()
	key := routing.ObjectKey{Namespace: "shop", Name: name}
	if err := v.keep(key, uid, remembered(value)); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVaultWritesWhatIsKept(t *testing.T) {
	t.Parallel()
	v, c, _ := newTestVault(t, interceptor.Funcs{})
	var keys []routing.ObjectKey
	for i := range 300 { // more than there are Secrets
		keys = append(keys, keepOne(t, v, fmt.Sprint("acme-", i), "uid", "a"))
	}
	if err := v.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(kept(t, c)); got != len(keys) || v.pending() {
		t.Fatalf("%d of %d are kept, pending %t", got, len(keys), v.pending())
	}
	if got := v.records(keys[0], "uid"); !rotation.Equal(got, remembered("a")) {
		t.Errorf("records %v", got)
	}
	if got := v.records(keys[0], "another"); got != nil {
		t.Errorf("another credential of that name has %d records", len(got))
	}
	keepOne(t, v, "acme-0", "uid", "a")
	if v.pending() {
		t.Error("what is stored is to be written again")
	}
	for _, key := range keys[1:] {
		v.forget(key)
	}
	keepOne(t, v, "acme-0", "uid-2", "b")
	if err := v.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantKept(t, c, "shop/acme-0 uid-2 2")
	v.forget(keys[0])
	if err := v.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var list corev1.SecretList
	if err := c.List(t.Context(), &list); err != nil || len(list.Items) > 0 || len(v.credentials()) > 0 {
		t.Errorf("%d Secrets are left, %v", len(list.Items), err)
	}
}

func TestVaultReadsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	leader, c, _ := newTestVault(t, interceptor.Funcs{})
	key := keepOne(t, leader, "acme", "uid", "a")
	if err := leader.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	name, entry := leader.shardOf(key)
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ostiary-system", Name: name}, &secret); err != nil {
		t.Fatal(err)
	}
	v, _, logged := newTestVault(t, interceptor.Funcs{})
	observe := func(kind changeKind, s corev1.Secret) []routing.ObjectKey {
		e := change[*corev1.Secret]{new: &s, kind: kind}
		if kind == deleted {
			e = change[*corev1.Secret]{old: &s, kind: kind}
		}
		return v.observe(e)
	}
	one := []routing.ObjectKey{key}
	if got := observe(created, secret); !slices.Equal(got, one) || !rotation.Equal(v.records(key, "uid"), remembered("a")) {
		t.Errorf("created: changed %v", got)
	}
	if got := observe(updated, secret); got != nil {
		t.Errorf("the same again: changed %v", got)
	}
	older := *secret.DeepCopy()
	older.ResourceVersion, older.Data = "0", nil
	if got := observe(updated, older); got != nil || v.records(key, "uid") == nil {
		t.Errorf("an older state: changed %v", got)
	}
	broken := *secret.DeepCopy()
	broken.Data["elsewhere"] = secret.Data[entry]
	broken.Data[entry] = []byte("{")
	if got := observe(updated, broken); !slices.Equal(got, one) || v.records(key, "uid") != nil || strings.Count(logged.String(), "can't be read") != 2 {
		t.Errorf("a broken entry and a misplaced one: changed %v, logged %s", got, logged)
	}
	if strings.Contains(logged.String(), "oct") {
		t.Errorf("a key was logged: %s", logged)
	}
	observe(updated, secret)
	if got := observe(deleted, secret); !slices.Equal(got, one) || v.records(key, "uid") != nil {
		t.Errorf("deleted: changed %v", got)
	}
}

func TestVaultWritesForTheLeaderOnly(t *testing.T) {
	t.Parallel()
	v, c, _ := newTestVault(t, interceptor.Funcs{})
	leads := &follower{}
	v.leader = leads
	keepOne(t, v, "acme", "uid", "a")
	if v.pending() {
		t.Error("a follower wants to write")
	}
	leads.leads = true
	keepOne(t, v, "acme", "uid", "a")
	leads.leads = false
	if err := v.flush(t.Context()); err != nil || v.pending() {
		t.Errorf("flush() = %v, pending %t", err, v.pending())
	}
	wantKept(t, c)

	outside := newVault(validOptions(), nil, alwaysLeading{}, slog.New(slog.DiscardHandler))
	keepOne(t, outside, "acme", "uid", "a")
	if outside.pending() {
		t.Error("outside of a cluster something is to be written")
	}
}

func TestVaultTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failures := 3
		v, c, logged := newTestVault(t, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
				if failures--; failures >= 0 {
					return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, object.GetName(), errors.New("no"))
				}
				return c.Create(ctx, object, opts...)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- v.Start(ctx) }()
		began := time.Now()
		keepOne(t, v, "acme", "uid", "a")
		for v.pending() {
			<-time.After(vaultWindow)
		}
		synctest.Wait()
		if took := time.Since(began); took < 3*vaultRetry || took > 4*vaultRetry {
			t.Errorf("written after %s", took)
		}
		wantKept(t, c, "shop/acme uid 2")
		if got := strings.Count(logged.String(), "level=WARN"); got != 1 {
			t.Errorf("%d warnings, want 1:\n%s", got, logged)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestVaultSecretThatSomeoneDeletedIsMadeAnew(t *testing.T) {
	t.Parallel()
	v, c, _ := newTestVault(t, interceptor.Funcs{})
	key := keepOne(t, v, "acme", "uid", "a")
	if err := v.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	name, _ := v.shardOf(key)
	secret := corev1.Secret{}
	secret.Namespace, secret.Name = "ostiary-system", name
	if err := c.Delete(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	keepOne(t, v, "acme", "uid", "b")
	if err := v.flush(t.Context()); !apierrors.IsNotFound(err) {
		t.Fatalf("flush() = %v, want not found", err)
	}
	if err := v.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantKept(t, c, "shop/acme uid 2")
}

func TestVaultSecretIsBounded(t *testing.T) {
	t.Parallel()
	v, c, _ := newTestVault(t, interceptor.Funcs{})
	keepOne(t, v, "large", "uid", strings.Repeat("x", maxShard))
	keepOne(t, v, "small", "uid", "a")
	if err := v.flush(t.Context()); err == nil || strings.Contains(err.Error(), "xxx") {
		t.Errorf("flush() = %.200v", err)
	}
	wantKept(t, c, "shop/small uid 2")
}

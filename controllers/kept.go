package controllers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Kept is what an installation keeps in Secrets of its own namespace: its salt, and keys that were replaced. It is for
// those who say what the controllers would do, without being one.
type Kept struct {
	salt  []byte
	vault *vault
}

// ReadKept reads what the installation keeps whose name and namespace are opts.Instance and opts.PodNamespace. It changes
// nothing. One that keeps nothing is no error: it may not have started yet (see Empty).
func ReadKept(ctx context.Context, reader client.Reader, opts Options) (*Kept, error) {
	k := &Kept{vault: newVault(opts, nil, alwaysLeading{}, slog.New(slog.DiscardHandler))}
	salt := &saltSource{options: opts, reader: reader}
	var err error
	if k.salt, err = salt.read(ctx); err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	var secrets corev1.SecretList
	if err := reader.List(ctx, &secrets, client.InNamespace(opts.PodNamespace), client.MatchingLabels(vaultLabels(opts))); err != nil {
		return nil, fmt.Errorf("read the retained keys in namespace %q: %w", opts.PodNamespace, err)
	}
	for i := range secrets.Items {
		k.vault.observe(change[*corev1.Secret]{kind: created, new: &secrets.Items[i]})
	}
	return k, nil
}

// Empty reports that there is no salt: no controller of that installation has ever run.
func (k *Kept) Empty() bool { return len(k.salt) == 0 }

// Complete adds to the input of one credential what the controllers add: the salt, and the keys that were replaced and
// verify at that time. secretUID returns the UID of a Secret of the credential's namespace, empty where there is none.
func (k *Kept) Complete(input *compile.CredentialInput, secretUID func(secret string) types.UID, now time.Time) {
	c := input.Credential
	key := routing.ObjectKey{Namespace: c.Namespace, Name: c.Name}
	input.Salt = k.salt
	input.Retained = rotation.Retained(rotation.NewHistory().Observe(rotation.Observation{
		Credential: key, UID: string(c.UID),
		Sources: rotation.Sources(compile.KeySources(c, input.Secrets), func(secret string) string { return string(secretUID(secret)) }),
		Limits:  rotation.Limits{Overlap: compile.Overlap(c), Retained: compile.MaxRetainedKeys(c)},
		Others:  k.vault.records(key, string(c.UID)),
	}, now))
}

// Format writes what it is, whatever the verb: all of it is secret.
func (k *Kept) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "Kept(redacted)") }

// LogValue is as Format.
func (k *Kept) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }

package controllers

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// saltEntry is the entry of the salt's Secret, saltSize its least length in bytes.
	saltEntry = "salt"
	saltSize  = 32
	// saltRetry is the pause before the salt is asked for again.
	saltRetry = time.Second
)

func saltName(opts Options) string { return opts.Instance + "-salt" }

// saltSource has the installation's salt, which makes the fingerprints of shared secrets in status. All replicas need the
// same, and the same after a restart, since people revoke keys by what status shows.
type saltSource struct {
	options Options
	reader  client.Reader // the API server
	writer  client.Writer
}

// get reads the salt, and makes one where there is none yet. Outside of a cluster it is this process' own.
func (s *saltSource) get(ctx context.Context) ([]byte, error) {
	if s.options.PodNamespace == "" {
		return newSalt(), nil
	}
	salt, err := s.read(ctx)
	if !apierrors.IsNotFound(err) {
		return salt, err
	}
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.options.PodNamespace, Name: saltName(s.options),
			Labels: map[string]string{labelName: "ostiary", labelInstance: s.options.Instance, labelComponent: "salt"},
		},
		Immutable: &immutable,
		Data:      map[string][]byte{saltEntry: newSalt()},
	}
	switch err := s.writer.Create(ctx, secret); {
	case err == nil:
		return secret.Data[saltEntry], nil
	case apierrors.IsAlreadyExists(err): // another replica was faster
		return s.read(ctx)
	default:
		return nil, fmt.Errorf("create Secret %q: %w", s.options.PodNamespace+"/"+secret.Name, err)
	}
}

func (s *saltSource) read(ctx context.Context) ([]byte, error) {
	var secret corev1.Secret
	name := types.NamespacedName{Namespace: s.options.PodNamespace, Name: saltName(s.options)}
	if err := s.reader.Get(ctx, name, &secret); err != nil {
		return nil, fmt.Errorf("read Secret %q: %w", name, err)
	}
	if salt := secret.Data[saltEntry]; len(salt) >= saltSize {
		return salt, nil
	}
	return nil, fmt.Errorf("read Secret %q: entry %q has less than %d bytes; delete the Secret to have it made anew", name, saltEntry, saltSize)
}

func newSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // crypto/rand never fails
	return salt
}

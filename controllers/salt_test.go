package controllers

import (
	"bytes"
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestSaltIsTheInstallations(t *testing.T) {
	t.Parallel()
	opts := validOptions()
	shared := fakeClient(t, interceptor.Funcs{})
	source := func(opts Options) *saltSource { return &saltSource{options: opts, reader: shared, writer: shared} }
	first, err := source(opts).get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := source(opts).get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != saltSize || !bytes.Equal(first, second) {
		t.Errorf("salts of %d and %d bytes, want one of %d", len(first), len(second), saltSize)
	}
	opts.Instance = "other"
	if other, err := source(opts).get(t.Context()); err != nil || bytes.Equal(first, other) {
		t.Errorf("another installation has the same salt, or none: %v", err)
	}
	opts.PodNamespace = ""
	if own, err := source(opts).get(t.Context()); err != nil || len(own) != saltSize || bytes.Equal(own, first) {
		t.Errorf("outside of a cluster: %d bytes, %v", len(own), err)
	}
}

func TestSaltOfAFasterReplicaIsTaken(t *testing.T) {
	t.Parallel()
	opts := validOptions()
	faster := bytes.Repeat([]byte{7}, saltSize)
	c := fakeClient(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, _ ...client.CreateOption) error {
			theirs := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName()},
				Data:       map[string][]byte{saltEntry: faster},
			}
			if err := c.Create(ctx, theirs); err != nil {
				return err
			}
			return c.Create(ctx, object)
		},
	})
	salt, err := (&saltSource{options: opts, reader: c, writer: c}).get(t.Context())
	if err != nil || !bytes.Equal(salt, faster) {
		t.Errorf("another salt than the faster replica's, or none: %v", err)
	}
}

func TestSaltThatCannotBeHad(t *testing.T) {
	t.Parallel()
	opts := validOptions()
	refused := errors.New("no")
	for name, c := range map[string]client.WithWatch{
		"read": fakeClient(t, interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return refused
			},
		}),
		"created": fakeClient(t, interceptor.Funcs{
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return refused },
		}),
	} {
		if salt, err := (&saltSource{options: opts, reader: c, writer: c}).get(t.Context()); !errors.Is(err, refused) || salt != nil {
			t.Errorf("can't be %s: %d bytes, error %v", name, len(salt), err)
		}
	}
	short := fakeClient(t, interceptor.Funcs{}, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: opts.PodNamespace, Name: saltName(opts)}, Data: map[string][]byte{saltEntry: {1}},
	})
	if salt, err := (&saltSource{options: opts, reader: short, writer: short}).get(t.Context()); err == nil {
		t.Errorf("a salt of one byte was taken: %d bytes", len(salt))
	}
}

package controllers

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// scope says which namespaces are served.
type scope struct {
	namespaces []string        // that the cache holds; none: all
	selector   labels.Selector // nil: every namespace of the cache
	reader     client.Reader
}

func newScope(opts Options, reader client.Reader) (*scope, error) {
	if opts.NamespaceSelector == "" {
		return &scope{namespaces: opts.WatchNamespaces}, nil
	}
	selector, err := labels.Parse(opts.NamespaceSelector)
	if err != nil {
		return nil, fmt.Errorf("parse the namespace selector: %w", err)
	}
	return &scope{selector: selector, reader: reader}, nil
}

// Serves reports whether the objects of a namespace are served. reader is asked for the Namespace where its labels decide.
func (o Options) Serves(ctx context.Context, reader client.Reader, namespace string) (bool, error) {
	s, err := newScope(o, reader)
	if err != nil {
		return false, err
	}
	return s.includes(ctx, namespace)
}

// restricted reports whether namespaces are selected by their labels.
func (s *scope) restricted() bool { return s.selector != nil }

// cached reports whether the cache holds the objects of a namespace; asking it for others is an error.
func (s *scope) cached(namespace string) bool {
	return len(s.namespaces) == 0 || slices.Contains(s.namespaces, namespace)
}

// includes reports whether a namespace is served.
func (s *scope) includes(ctx context.Context, namespace string) (bool, error) {
	if s.selector == nil {
		return s.cached(namespace), nil
	}
	metadata := namespaceMetadata()
	if err := s.reader.Get(ctx, types.NamespacedName{Name: namespace}, metadata); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("read Namespace %q: %w", namespace, err)
	}
	return s.selector.Matches(labels.Set(metadata.Labels)), nil
}

// filter keeps the objects of served namespaces. It changes the list that it is given.
func filter[T client.Object](ctx context.Context, s *scope, objects []T) ([]T, error) {
	if s.selector == nil {
		return objects, nil
	}
	kept := objects[:0]
	known := map[string]bool{}
	for _, object := range objects {
		included, ok := known[object.GetNamespace()]
		if !ok {
			var err error
			if included, err = s.includes(ctx, object.GetNamespace()); err != nil {
				return nil, err
			}
			known[object.GetNamespace()] = included
		}
		if included {
			kept = append(kept, object)
		}
	}
	return kept, nil
}

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// snapshotter reads the world from the cache.
type snapshotter struct {
	options compile.Options
	reader  client.Reader
	scope   *scope
	secrets *secretStore
	grants  grantLister
}

// grantLister lists the ReferenceGrants that are known.
type grantLister interface {
	list(ctx context.Context) ([]compile.Grant, error)
}

// worldView is a Snapshot and what had to be read for it.
type worldView struct {
	compile.Snapshot
	secretsRead secretsRead
}

// take reads the cache. Objects are shared with it and must not be changed, which compile.Compile never does.
func (s *snapshotter) take(ctx context.Context) (worldView, error) {
	view := worldView{Snapshot: compile.Snapshot{Options: s.options}}

	var pipelines v1alpha1.PipelineList
	var endpoints v1alpha1.ServiceEndpointList
	var consumers v1alpha1.ConsumerList
	var classes networkingv1.IngressClassList
	for _, list := range []client.ObjectList{&pipelines, &endpoints, &consumers, &classes} {
		if err := s.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return worldView{}, fmt.Errorf("list %T: %w", list, err)
		}
	}
	var err error
	if view.Pipelines, err = filter(ctx, s.scope, pointers(pipelines.Items)); err != nil {
		return worldView{}, err
	}
	if view.ServiceEndpoints, err = filter(ctx, s.scope, pointers(endpoints.Items)); err != nil {
		return worldView{}, err
	}
	if view.Consumers, err = filter(ctx, s.scope, pointers(consumers.Items)); err != nil {
		return worldView{}, err
	}
	if view.Credentials, err = s.credentials(ctx, view.Pipelines); err != nil {
		return worldView{}, err
	}
	view.IngressClasses = pointers(classes.Items)
	if view.Grants, err = s.grants.list(ctx); err != nil {
		return worldView{}, err
	}
	if view.Services, err = s.services(ctx, view.ServiceEndpoints); err != nil {
		return worldView{}, err
	}
	view.secretsRead = s.secrets.read(ctx, secretOwner{}, view.secretKeys())
	view.Secrets = view.secretsRead.secrets
	return view, nil
}

// credentials returns those whose tokens, by their issuer or keyID, are judged by the issuers of a Pipeline.
func (s *snapshotter) credentials(ctx context.Context, pipelines []*v1alpha1.Pipeline) ([]*v1alpha1.JWTCredential, error) {
	var issuers []string
	for _, pipeline := range pipelines {
		issuers = append(issuers, compile.PipelineIssuers(pipeline)...)
	}
	slices.Sort(issuers)
	var found []*v1alpha1.JWTCredential
	for _, issuer := range slices.Compact(issuers) {
		for _, index := range []string{indexIssuer, indexKeyID} {
			var list v1alpha1.JWTCredentialList
			if err := s.reader.List(ctx, &list, client.MatchingFields{index: issuer}, client.UnsafeDisableDeepCopy); err != nil {
				return nil, fmt.Errorf("list JWTCredentials: %w", err)
			}
			found = append(found, slices.DeleteFunc(pointers(list.Items), isBeingDeleted)...)
		}
	}
	return filter(ctx, s.scope, found)
}

// services returns the Services that endpoints refer to and that exist. One in a namespace that is not watched does not,
// as far as this installation is concerned.
func (s *snapshotter) services(ctx context.Context, endpoints []*v1alpha1.ServiceEndpoint) ([]*corev1.Service, error) {
	var keys []routing.ObjectKey
	for _, endpoint := range endpoints {
		keys = append(keys, compile.ServiceEndpointServices(endpoint)...)
	}
	var services []*corev1.Service
	for _, key := range uniqueKeys(keys) {
		if !s.scope.cached(key.Namespace) {
			continue
		}
		var service corev1.Service
		switch err := s.reader.Get(ctx, objectName(key), &service); {
		case err == nil:
			services = append(services, &service)
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("read Service %q: %w", path(key), err)
		}
	}
	return services, nil
}

func (v *worldView) secretKeys() []routing.ObjectKey {
	var keys []routing.ObjectKey
	for _, pipeline := range v.Pipelines {
		keys = append(keys, compile.PipelineSecrets(pipeline)...)
	}
	for _, endpoint := range v.ServiceEndpoints {
		keys = append(keys, compile.ServiceEndpointSecrets(endpoint)...)
	}
	return uniqueKeys(keys)
}

// undecided reports whether one of keys could not be read, so that a verdict based on its absence would be false.
func (r secretsRead) undecided(keys []routing.ObjectKey) bool {
	return slices.ContainsFunc(keys, func(key routing.ObjectKey) bool { return r.failed[key] != nil })
}

// version tells the data of keys from any other data that they had or will have. It is never shown.
func (r secretsRead) version(keys []routing.ObjectKey) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString(key.Name)
		b.WriteByte('=')
		b.WriteString(strconv.FormatUint(r.changed[key], 10))
		b.WriteByte(';')
	}
	return b.String()
}

// newest is the highest resourceVersion among the data of keys.
func (r secretsRead) newest(keys []routing.ObjectKey) uint64 {
	var newest uint64
	for _, key := range keys {
		newest = max(newest, r.changed[key])
	}
	return newest
}

func pointers[T any](items []T) []*T {
	list := make([]*T, len(items))
	for i := range items {
		list[i] = &items[i]
	}
	return list
}

func uniqueKeys(keys []routing.ObjectKey) []routing.ObjectKey {
	slices.SortFunc(keys, compareKeys)
	return slices.Compact(keys)
}

func compareKeys(a, b routing.ObjectKey) int {
	if order := strings.Compare(a.Namespace, b.Namespace); order != 0 {
		return order
	}
	return strings.Compare(a.Name, b.Name)
}

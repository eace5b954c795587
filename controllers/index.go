package controllers

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Names of the field indexes. Values that may cross namespaces are namespace/name, which no other pair can spell, since
// neither part may hold a slash.
const (
	indexSecret   = "ostiary.secret"   // Pipeline, ServiceEndpoint, JWTCredential: names of the Secrets they use
	indexService  = "ostiary.service"  // ServiceEndpoint: Services (namespace/name); EndpointSlice: name of its Service
	indexConsumer = "ostiary.consumer" // JWTCredential: name of its Consumer
	indexKeyID    = "ostiary.keyid"    // JWTCredential: its keyID
	indexUsername = "ostiary.username" // Consumer: its username
	indexOwner    = "ostiary.owner"    // Consumer: name of its owner
	indexIssuer   = "ostiary.issuer"   // JWTCredential: its issuer; Pipeline: the issuers that judge tokens in credentials' stead
)

type fieldIndex struct {
	object client.Object
	field  string
	values client.IndexerFunc
}

func fieldIndexes() []fieldIndex {
	return []fieldIndex{
		{&v1alpha1.Pipeline{}, indexSecret, indexBy(func(p *v1alpha1.Pipeline) []string { return names(compile.PipelineSecrets(p)) })},
		{&v1alpha1.ServiceEndpoint{}, indexSecret, indexBy(func(e *v1alpha1.ServiceEndpoint) []string { return names(compile.ServiceEndpointSecrets(e)) })},
		{&v1alpha1.ServiceEndpoint{}, indexService, indexBy(func(e *v1alpha1.ServiceEndpoint) []string { return paths(compile.ServiceEndpointServices(e)) })},
		{&v1alpha1.Consumer{}, indexUsername, indexBy(func(c *v1alpha1.Consumer) []string { return []string{compile.Username(c)} })},
		{&v1alpha1.Consumer{}, indexOwner, indexBy(func(c *v1alpha1.Consumer) []string {
			owner, ok := compile.ConsumerOwner(c)
			if !ok {
				return nil
			}
			return []string{owner.Name}
		})},
		{&v1alpha1.JWTCredential{}, indexSecret, indexBy(func(c *v1alpha1.JWTCredential) []string { return names(compile.CredentialSecrets(c)) })},
		{&v1alpha1.JWTCredential{}, indexConsumer, indexBy(func(c *v1alpha1.JWTCredential) []string { return []string{compile.CredentialConsumer(c).Name} })},
		{&v1alpha1.JWTCredential{}, indexKeyID, indexBy(func(c *v1alpha1.JWTCredential) []string { return []string{compile.KeyID(c)} })},
		{&v1alpha1.JWTCredential{}, indexIssuer, indexBy(func(c *v1alpha1.JWTCredential) []string {
			if c.Spec.Issuer == "" {
				return nil
			}
			return []string{c.Spec.Issuer}
		})},
		{&v1alpha1.Pipeline{}, indexIssuer, indexBy(compile.PipelineIssuers)},
		{&discoveryv1.EndpointSlice{}, indexService, indexBy(func(s *discoveryv1.EndpointSlice) []string { return []string{s.Labels[discoveryv1.LabelServiceName]} })},
	}
}

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range fieldIndexes() {
		if err := indexer.IndexField(ctx, index.object, index.field, index.values); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.object, index.field, err)
		}
	}
	return nil
}

// indexBy adapts a typed function; an object of another type has no values.
func indexBy[T client.Object](values func(T) []string) client.IndexerFunc {
	return func(object client.Object) []string {
		typed, ok := object.(T)
		if !ok {
			return nil
		}
		return values(typed)
	}
}

func names(keys []routing.ObjectKey) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = key.Name
	}
	return list
}

func paths(keys []routing.ObjectKey) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = path(key)
	}
	return list
}

func path(key routing.ObjectKey) string { return key.Namespace + "/" + key.Name }

func keyOf(object client.Object) routing.ObjectKey {
	return routing.ObjectKey{Namespace: object.GetNamespace(), Name: object.GetName()}
}

package compile

import (
	"cmp"
	"slices"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// The functions here say which other objects an object refers to, for the indexes that find what a change concerns.
// Their results are sorted and without duplicates.

// PipelineSecrets are the Secrets of a Pipeline: those with its certificates, and with the keys and CA certificates of its
// issuers.
func PipelineSecrets(p *v1alpha1.Pipeline) []routing.ObjectKey {
	var keys []routing.ObjectKey
	for i := range p.Spec.TLS {
		keys = append(keys, routing.ObjectKey{Namespace: p.Namespace, Name: p.Spec.TLS[i].SecretName})
	}
	for i := range p.Spec.Policies {
		if jwt := p.Spec.Policies[i].JWT; jwt != nil {
			keys = append(keys, issuerSecrets(p.Namespace, jwt)...)
		}
	}
	return uniqueKeys(keys)
}

// PipelineServiceEndpoints are the ServiceEndpoints that a Pipeline forwards to.
func PipelineServiceEndpoints(p *v1alpha1.Pipeline) []routing.ObjectKey {
	var keys []routing.ObjectKey
	for i := range p.Spec.Policies {
		if proxy := p.Spec.Policies[i].Proxy; proxy != nil {
			keys = append(keys, routing.ObjectKey{Namespace: p.Namespace, Name: proxy.ServiceEndpointRef.Name})
		}
	}
	return uniqueKeys(keys)
}

// ServiceEndpointServices are the Services behind a ServiceEndpoint, in its own and in other namespaces, whether or not
// a ReferenceGrant permits the reference.
func ServiceEndpointServices(e *v1alpha1.ServiceEndpoint) []routing.ObjectKey {
	var keys []routing.ObjectKey
	for i := range e.Spec.BackendRefs {
		keys = append(keys, backendService(e, &e.Spec.BackendRefs[i]))
	}
	return uniqueKeys(keys)
}

// ServiceEndpointSecrets are the Secrets with the CA certificates of a ServiceEndpoint.
func ServiceEndpointSecrets(e *v1alpha1.ServiceEndpoint) []routing.ObjectKey {
	if e.Spec.TLS == nil || e.Spec.TLS.CACertificateRef == nil {
		return nil
	}
	return []routing.ObjectKey{{Namespace: e.Namespace, Name: e.Spec.TLS.CACertificateRef.Name}}
}

// CredentialSecrets are the Secrets with the keys of a JWTCredential, or with the CA certificates of where they are.
func CredentialSecrets(c *v1alpha1.JWTCredential) []routing.ObjectKey {
	var keys []routing.ObjectKey
	for i := range c.Spec.Keys {
		keys = append(keys, routing.ObjectKey{Namespace: c.Namespace, Name: c.Spec.Keys[i].SecretKeyRef.Name})
	}
	if remote := c.Spec.RemoteJWKS; remote != nil && remote.CACertificateRef != nil {
		keys = append(keys, routing.ObjectKey{Namespace: c.Namespace, Name: remote.CACertificateRef.Name})
	}
	return uniqueKeys(keys)
}

// CredentialConsumer is the Consumer that a JWTCredential belongs to.
func CredentialConsumer(c *v1alpha1.JWTCredential) routing.ObjectKey {
	return routing.ObjectKey{Namespace: c.Namespace, Name: c.Spec.ConsumerRef.Name}
}

// ConsumerOwner is the Consumer that a Consumer says it belongs to, if it says so.
func ConsumerOwner(c *v1alpha1.Consumer) (routing.ObjectKey, bool) {
	if c.Spec.OwnerRef == nil {
		return routing.ObjectKey{}, false
	}
	return routing.ObjectKey{Namespace: c.Namespace, Name: c.Spec.OwnerRef.Name}, true
}

// KeyID is what a token must carry to be judged by a JWTCredential: spec.keyID, else the object's name.
func KeyID(c *v1alpha1.JWTCredential) string {
	return cmp.Or(c.Spec.KeyID, c.Name)
}

// Username is a Consumer's name in its namespace: spec.username, else the object's name.
func Username(c *v1alpha1.Consumer) string {
	return cmp.Or(c.Spec.Username, c.Name)
}

func backendService(e *v1alpha1.ServiceEndpoint, ref *v1alpha1.BackendRef) routing.ObjectKey {
	key := routing.ObjectKey{Namespace: e.Namespace, Name: ref.Name}
	if ref.Namespace != nil && *ref.Namespace != "" {
		key.Namespace = *ref.Namespace
	}
	return key
}

func uniqueKeys(keys []routing.ObjectKey) []routing.ObjectKey {
	slices.SortFunc(keys, compareKeys)
	return slices.Compact(keys)
}

func compareKeys(a, b routing.ObjectKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

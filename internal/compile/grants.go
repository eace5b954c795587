package compile

import (
	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Kinds of objects in ReferenceGrants.
const (
	kindPipeline        = "Pipeline"
	kindServiceEndpoint = "ServiceEndpoint"
	kindService         = "Service"
	kindJWTCredential   = "JWTCredential"
)

// reference is where a reference comes from.
type reference struct {
	group, kind, namespace string
}

// target is where a reference leads to.
type target struct {
	group, kind string
	key         routing.ObjectKey
}

// grants are the references across namespaces that are permitted.
type grants map[Grant]struct{}

func newGrants(all []Grant) grants {
	g := make(grants, len(all))
	for _, grant := range all {
		g[grant] = struct{}{}
	}
	return g
}

// permit reports whether a grant names the target, or all objects of its kind in its namespace.
func (g grants) permit(from reference, to target) bool {
	grant := Grant{
		Namespace: to.key.Namespace,
		FromGroup: from.group, FromKind: from.kind, FromNamespace: from.namespace,
		ToGroup: to.group, ToKind: to.kind,
	}
	if _, ok := g[grant]; ok {
		return true
	}
	grant.ToName = to.key.Name
	_, ok := g[grant]
	return ok
}

// permitCredentials reports whether Pipelines of a namespace may use the JWTCredentials of another, all of them.
func (g grants) permitCredentials(fromNamespace, namespace string) bool {
	return fromNamespace == namespace || g.permit(
		reference{v1alpha1.GroupName, kindPipeline, fromNamespace},
		target{v1alpha1.GroupName, kindJWTCredential, routing.ObjectKey{Namespace: namespace}},
	)
}

// permitService reports whether ServiceEndpoints of a namespace may refer to a Service.
func (g grants) permitService(fromNamespace string, service routing.ObjectKey) bool {
	return fromNamespace == service.Namespace || g.permit(
		reference{v1alpha1.GroupName, kindServiceEndpoint, fromNamespace},
		target{"", kindService, service},
	)
}

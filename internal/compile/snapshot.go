package compile

import (
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Snapshot is the state of the world at one moment, as plain values. Compile reads it and never changes it, so objects
// may be shared with a cache.
type Snapshot struct {
	Options Options

	Pipelines        []*v1alpha1.Pipeline
	ServiceEndpoints []*v1alpha1.ServiceEndpoint
	Consumers        []*v1alpha1.Consumer
	// Credentials whose issuer or KeyID is among the Pipelines' PipelineIssuers; others make no difference. Their keys are
	// Credential's business.
	Credentials []*v1alpha1.JWTCredential
	// Services that ServiceEndpoints refer to.
	Services []*corev1.Service
	// Secrets that Pipelines and ServiceEndpoints refer to (certificates and CAs), keyed by namespace and name.
	Secrets map[routing.ObjectKey]Secret
	// FetchProblems says of remote key sets that can't be fetched now why they can't, in stable words.
	FetchProblems  map[routing.RemoteKeys]string
	IngressClasses []*networkingv1.IngressClass
	Grants         []Grant
}

// Options of an installation.
type Options struct {
	// Classes says whose Pipelines are ours.
	Classes ClassPolicy
	// ControllerName is the spec.controller of our IngressClasses, for ClassesOfController.
	ControllerName string
	// HostOwnership says whether a host belongs to the namespace that named it first.
	HostOwnership HostOwnership
	// Loopback says whether ServiceEndpoint urls may name loopback addresses.
	Loopback LoopbackPolicy
}

// ClassPolicy says which Pipelines are ours.
type ClassPolicy uint8

const (
	// ClassesOfController takes the Pipelines whose IngressClass has our controller name.
	ClassesOfController ClassPolicy = iota
	// ClassesAll takes every Pipeline: file mode without IngressClass objects.
	ClassesAll
)

// HostOwnership says whether hosts belong to namespaces.
type HostOwnership uint8

const (
	// HostOwnershipNamespace gives a host to the namespace of the oldest Pipeline that names it.
	HostOwnershipNamespace HostOwnership = iota
	// HostOwnershipShared gives hosts to nobody; Pipelines of all namespaces may name them.
	HostOwnershipShared
)

// LoopbackPolicy says whether urls may lead to this machine.
type LoopbackPolicy uint8

const (
	// LoopbackRefused is for clusters, where this machine is nobody's backend.
	LoopbackRefused LoopbackPolicy = iota
	// LoopbackAllowed is for file mode.
	LoopbackAllowed
)

// Secret is the data of a Secret, redacted wherever it would be printed.
type Secret struct {
	Type corev1.SecretType
	Data map[string]SecretBytes
}

// Grant is a ReferenceGrant of the Gateway API reduced to one pair: objects of a kind in the From namespace may refer to
// an object of a kind (all, when ToName is empty) in Namespace.
type Grant struct {
	Namespace     string
	FromGroup     string
	FromKind      string
	FromNamespace string
	ToGroup       string
	ToKind        string
	ToName        string
}

// SecretBytes is one entry of a Secret; it redacts itself wherever it would be printed.
type SecretBytes []byte

const redacted = "[redacted]"

// String returns a placeholder.
func (SecretBytes) String() string { return redacted }

// GoString returns a placeholder.
func (SecretBytes) GoString() string { return redacted }

// Format writes a placeholder, whatever the verb.
func (SecretBytes) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalText returns a placeholder.
func (SecretBytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a placeholder.
func (SecretBytes) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Consumer is who calls: a person or an application. Its JWTCredentials say which tokens are its own; upstreams see it in
// the X-Consumer-* headers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=consumers,scope=Namespaced,shortName=ocon,categories=ostiary
// +kubebuilder:printcolumn:name="Username",type=string,JSONPath=`.spec.username`,description="What upstreams see as X-Consumer-Username; the object's name when empty"
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Groups",type=string,JSONPath=`.spec.groups`,priority=1
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Suspended",type=string,JSONPath=`.status.conditions[?(@.type=="Suspended")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="(has(self.spec) && has(self.spec.username) ? self.spec.username : self.metadata.name) == (has(oldSelf.spec) && has(oldSelf.spec.username) ? oldSelf.spec.username : oldSelf.metadata.name)",message="username is immutable (it defaults to metadata.name): create another Consumer instead",fieldPath=".spec.username"
// +kubebuilder:validation:XValidation:rule="(has(self.spec) && has(self.spec.type) ? self.spec.type : 'Application') == (has(oldSelf.spec) && has(oldSelf.spec.type) ? oldSelf.spec.type : 'Application')",message="type is immutable (it defaults to Application): create another Consumer instead",fieldPath=".spec.type"
type Consumer struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata. The uid is what upstreams see as X-Consumer-ID.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec describes the caller. Every field has a default, so that it may be left out.
	// +optional
	// +kubebuilder:default={}
	Spec ConsumerSpec `json:"spec,omitzero"`

	// status is what the controller observed.
	// +optional
	Status ConsumerStatus `json:"status,omitzero"`
}

// ConsumerList is a list of Consumers.
//
// +kubebuilder:object:root=true
type ConsumerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Consumer `json:"items"`
}

// ConsumerType is the kind of caller.
//
// +kubebuilder:validation:Enum=User;Application
type ConsumerType string

const (
	// ConsumerUser is a person.
	ConsumerUser ConsumerType = "User"

	// ConsumerApplication is a program.
	ConsumerApplication ConsumerType = "Application"
)

// ConsumerSpec describes the caller.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ownerRef) || !has(self.type) || self.type == 'Application'",message="ownerRef can only be set when type is Application: a User has no owner",fieldPath=".ownerRef"
type ConsumerSpec struct {
	// type is the kind of caller: User or Application. Defaults to Application. Immutable.
	// +optional
	// +kubebuilder:default=Application
	Type ConsumerType `json:"type,omitempty"`

	// username is what upstreams see as X-Consumer-Username. Unique in the namespace: of several Consumers with one
	// username the oldest is accepted. Defaults to metadata.name. 1 to 253 visible ASCII characters. Immutable.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!-~]+$')",message="must be visible ASCII characters without spaces: it is sent as the header X-Consumer-Username"
	Username string `json:"username,omitempty"`

	// ownerRef names the Consumer of type User whose application this is; only a Consumer of type Application has an
	// owner. While the owner is suspended, or doesn't exist, the tokens of all credentials of this Consumer are refused
	// too. Absent: no owner.
	// +optional
	OwnerRef *LocalObjectReference `json:"ownerRef,omitempty"`

	// customID is the caller's number in another system. It is sent to upstreams as X-Consumer-Custom-ID and has no
	// other effect. 1 to 253 printable ASCII characters, no space at either end.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!-~]([ -~]*[!-~])?$')",message="must be printable ASCII characters without a space at either end: it is sent as the header X-Consumer-Custom-ID"
	CustomID string `json:"customID,omitempty"`

	// identities say which tokens of external issuers are this Consumer's: those with that `iss` and that claim. Each is
	// unique in the namespace: of several Consumers with one the oldest has it, and the others are Conflicted. A token
	// that several Consumers have identities of is the oldest's. At most 32 items, no two alike.
	// +optional
	// +listType=map
	// +listMapKey=issuer
	// +listMapKey=claim
	// +listMapKey=value
	// +kubebuilder:validation:MaxItems=32
	Identities []ConsumerIdentity `json:"identities,omitempty"`

	// groups are the groups that the caller is in. They are sent to upstreams as X-Consumer-Groups, joined by commas.
	// At most 64 groups of 1 to 128 visible ASCII characters, without commas.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!-+\\--~]+$')",message="a group must be visible ASCII characters without spaces and commas: groups are sent as the header X-Consumer-Groups, joined by commas"
	Groups []string `json:"groups,omitempty"`

	// scopes are what the caller may do, whatever its tokens say: a token's own scopes are limited to these, and a
	// token that names none has these and its credential's. Absent: the consumer doesn't limit scopes.
	// At most 64 scopes of 1 to 128 characters (RFC 6749 section 3.3).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!#-\\[\\]-~]+$')",message="a scope must be visible ASCII characters without spaces, quotes and backslashes (RFC 6749): write several scopes as several list items"
	Scopes []string `json:"scopes,omitempty"`

	// suspend refuses the tokens of all credentials and identities of the consumer, and of the consumers that it owns, at once. Defaults
	// to false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`
}

// ConsumerStatus is what the controller observed.
type ConsumerStatus struct {
	// conditions are the latest observations: Accepted, ResolvedRefs (where ownerRef is set), Suspended and Programmed. At
	// most 8.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

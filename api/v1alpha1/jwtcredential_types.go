package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JWTCredential ties keys to a Consumer.
//
// +kubebuilder:object:root=true
type JWTCredential struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   JWTCredentialSpec   `json:"spec"`
	Status JWTCredentialStatus `json:"status,omitempty"`
}

// JWTCredentialList is a list of JWTCredentials.
//
// +kubebuilder:object:root=true
type JWTCredentialList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []JWTCredential `json:"items"`
}

// Algorithm is a JWS signature algorithm (RFC 7518 section 3.1, RFC 8037).
type Algorithm string

// JWTCredentialSpec describes keys and what their tokens may do.
type JWTCredentialSpec struct {
	ConsumerRef LocalObjectReference `json:"consumerRef"`     // immutable
	KeyID       string               `json:"keyID,omitempty"` // unique in the namespace (oldest wins); immutable; default metadata.name
	Issuer      string               `json:"issuer,omitempty"`
	Algorithms  []Algorithm          `json:"algorithms"`
	Audiences   []string             `json:"audiences,omitempty"`
	Scopes      []string             `json:"scopes,omitempty"`
	Keys        []CredentialKey      `json:"keys"` // map by name, 1..8
	Suspend     *bool                `json:"suspend,omitempty"`
}

// KeyFormat is the way a key is written.
type KeyFormat string

const (
	KeyFormatAuto   KeyFormat = "Auto"
	KeyFormatJWKS   KeyFormat = "JWKS"
	KeyFormatJWK    KeyFormat = "JWK"
	KeyFormatPEM    KeyFormat = "PEM"
	KeyFormatOctets KeyFormat = "Octets"
)

// CredentialKey is one source of keys.
type CredentialKey struct {
	Name         string             `json:"name"`
	KID          string             `json:"kid,omitempty"`
	SecretKeyRef SecretKeyReference `json:"secretKeyRef"`
	Format       KeyFormat          `json:"format,omitempty"` // default Auto
}

// JWTCredentialStatus is what the controller observed.
type JWTCredentialStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

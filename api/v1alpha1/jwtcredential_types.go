package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JWTCredential ties verification keys to a Consumer: a token that a Pipeline's lookup leads to this credential, and that
// one of its keys verifies, is the Consumer's. The keys are in Secrets; replacing a Secret's value switches the key, and the
// replaced one verifies for spec.rotation.overlap still.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=jwtcredentials,scope=Namespaced,shortName=jwtc,categories=ostiary
// +kubebuilder:printcolumn:name="Consumer",type=string,JSONPath=`.spec.consumerRef.name`
// +kubebuilder:printcolumn:name="Key ID",type=string,JSONPath=`.spec.keyID`,description="What tokens carry to be looked up; the object's name when empty"
// +kubebuilder:printcolumn:name="Algorithms",type=string,JSONPath=`.spec.algorithms`,priority=1
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Keys Ready",type=string,JSONPath=`.status.conditions[?(@.type=="KeysReady")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="(has(self.spec.keyID) ? self.spec.keyID : self.metadata.name) == (has(oldSelf.spec.keyID) ? oldSelf.spec.keyID : oldSelf.metadata.name)",message="keyID is immutable (it defaults to metadata.name): create another JWTCredential instead",fieldPath=".spec.keyID"
type JWTCredential struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata. The labels are what a Pipeline's credentials.selector selects by.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec describes the keys and what their tokens may do.
	// +required
	Spec JWTCredentialSpec `json:"spec"`

	// status is what the controller observed.
	// +optional
	Status JWTCredentialStatus `json:"status,omitzero"`
}

// JWTCredentialList is a list of JWTCredentials.
//
// +kubebuilder:object:root=true
type JWTCredentialList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []JWTCredential `json:"items"`
}

// Algorithm is a JWS signature algorithm (RFC 7518 section 3.1, RFC 8037). There is no "none".
//
// +kubebuilder:validation:Enum=HS256;HS384;HS512;RS256;RS384;RS512;PS256;PS384;PS512;ES256;ES384;ES512;EdDSA;Ed25519
type Algorithm string

const (
	// AlgorithmHS256 is HMAC with SHA-256; the secret has at least 32 bytes.
	AlgorithmHS256 Algorithm = "HS256"
	// AlgorithmHS384 is HMAC with SHA-384; the secret has at least 48 bytes.
	AlgorithmHS384 Algorithm = "HS384"
	// AlgorithmHS512 is HMAC with SHA-512; the secret has at least 64 bytes.
	AlgorithmHS512 Algorithm = "HS512"
	// AlgorithmRS256 is RSASSA-PKCS1-v1_5 with SHA-256; the key has at least 2048 bits.
	AlgorithmRS256 Algorithm = "RS256"
	// AlgorithmRS384 is RSASSA-PKCS1-v1_5 with SHA-384; the key has at least 2048 bits.
	AlgorithmRS384 Algorithm = "RS384"
	// AlgorithmRS512 is RSASSA-PKCS1-v1_5 with SHA-512; the key has at least 2048 bits.
	AlgorithmRS512 Algorithm = "RS512"
	// AlgorithmPS256 is RSASSA-PSS with SHA-256; the key has at least 2048 bits.
	AlgorithmPS256 Algorithm = "PS256"
	// AlgorithmPS384 is RSASSA-PSS with SHA-384; the key has at least 2048 bits.
	AlgorithmPS384 Algorithm = "PS384"
	// AlgorithmPS512 is RSASSA-PSS with SHA-512; the key has at least 2048 bits.
	AlgorithmPS512 Algorithm = "PS512"
	// AlgorithmES256 is ECDSA on the curve P-256 with SHA-256.
	AlgorithmES256 Algorithm = "ES256"
	// AlgorithmES384 is ECDSA on the curve P-384 with SHA-384.
	AlgorithmES384 Algorithm = "ES384"
	// AlgorithmES512 is ECDSA on the curve P-521 with SHA-512.
	AlgorithmES512 Algorithm = "ES512"
	// AlgorithmEdDSA is EdDSA on the curve Ed25519, in tokens that say EdDSA (RFC 8037).
	AlgorithmEdDSA Algorithm = "EdDSA"
	// AlgorithmEd25519 is the same in tokens that say Ed25519 (RFC 9864). A credential whose tokens say either lists both.
	AlgorithmEd25519 Algorithm = "Ed25519"
)

// JWTCredentialSpec describes keys and what their tokens may do.
//
// +kubebuilder:validation:XValidation:rule="has(self.keys) != has(self.remoteJWKS)",message="keys or remoteJWKS must be set, and only one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.remoteJWKS) || !self.algorithms.exists(a, a.startsWith('HS'))",message="remoteJWKS can't be used with HMAC algorithms (HS256, HS384, HS512): write those of public keys, such as ES256",fieldPath=".remoteJWKS"
// +kubebuilder:validation:XValidation:rule="self.algorithms.exists(a, a.startsWith('HS')) || !has(self.keys) || !self.keys.exists(k, has(k.format) && k.format == 'Octets')",message="format Octets is a shared secret: use it with the algorithms HS256, HS384 or HS512, or choose the format of a public key (PEM, JWK, JWKS)",fieldPath=".keys"
// +kubebuilder:validation:XValidation:rule="!self.algorithms.exists(a, a.startsWith('HS')) || !has(self.keys) || !self.keys.exists(k, has(k.format) && k.format == 'PEM')",message="format PEM is a public key: use it with RS, PS, ES, EdDSA or Ed25519 algorithms, or choose the format of a shared secret (Octets, JWK, JWKS)",fieldPath=".keys"
type JWTCredentialSpec struct {
	// consumerRef names the Consumer that the tokens stand for. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="consumerRef is immutable: create another JWTCredential instead"
	ConsumerRef LocalObjectReference `json:"consumerRef"`

	// keyID is what a token must carry to be looked up here, in the claim that the Pipeline's credentials.lookup names
	// (`sub` by default); where the lookup is by the header `kid`, the keys' own kids are used instead. Unique in the
	// namespace: of several credentials with one keyID the oldest is accepted. Defaults to metadata.name.
	// 1 to 253 visible ASCII characters; URLs are fine. Immutable.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!-~]+$')",message="must be visible ASCII characters without spaces, as in the token's claim"
	KeyID string `json:"keyID,omitempty"`

	// issuer is what the token's `iss` must be, compared exactly (RFC 7519 section 4.1.1). Absent: `iss` isn't looked
	// at. 1 to 512 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Issuer string `json:"issuer,omitempty"`

	// algorithms are the signature algorithms that tokens may use. They are a property of the credential, never of the
	// token: a token with another `alg` is refused before any key is tried. HMAC algorithms (HS256, HS384, HS512) can't
	// be mixed with others, so that a public key can never be taken for a shared secret. 1 to 11 items.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=11
	// +kubebuilder:validation:XValidation:rule="self.all(a, a.startsWith('HS')) || !self.exists(a, a.startsWith('HS'))",message="HMAC algorithms (HS256, HS384, HS512) can't be mixed with others: use one JWTCredential for shared secrets and another for public keys"
	Algorithms []Algorithm `json:"algorithms"`

	// audiences of which the token's `aud` must name at least one, in addition to what the Pipeline's policy asks for.
	// Absent: the credential asks for none. At most 16 items of 1 to 512 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Audiences []string `json:"audiences,omitempty"`

	// scopes limit what tokens of this credential may do, whatever they say: a token's own scopes are limited to these,
	// and a token that names none has these and its consumer's. Absent: the credential doesn't limit scopes.
	// At most 64 scopes of 1 to 128 characters (RFC 6749 section 3.3).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!#-\\[\\]-~]+$')",message="a scope must be visible ASCII characters without spaces, quotes and backslashes (RFC 6749): write several scopes as several list items"
	Scopes []string `json:"scopes,omitempty"`

	// keys are where the verification keys are. A token's `kid` selects among them; a token without one is tried
	// against all. Several keys serve a rotation: add the next one before tokens are signed with it. 1 to 8 items with
	// unique names. Either keys or remoteJWKS is required.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Keys []CredentialKey `json:"keys,omitempty"`

	// remoteJWKS is where the consumer publishes its verification keys, instead of keys. While they can't be fetched, the
	// last ones serve for 24 hours; then, and before the first time, the credential's tokens are answered 503. Where
	// the lookup is by the header `kid`, credentials that have the key of that kid in keys come first.
	// +optional
	RemoteJWKS *RemoteJWKS `json:"remoteJWKS,omitempty"`

	// rotation says what becomes of a key whose Secret gets another value. Absent: it verifies for another 24 hours.
	// +optional
	Rotation *Rotation `json:"rotation,omitempty"`

	// revocation refuses tokens that were issued already: by their age, their IDs or their keys. It takes effect at once
	// on every replica; the tokens are refused token_revoked. Absent: none are.
	// +optional
	Revocation *Revocation `json:"revocation,omitempty"`

	// expirationTime ends the credential: from then on its tokens are refused credential_suspended, whatever their own
	// exp says. Absent: the credential has no end.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|(\+|-)([01][0-9]|2[0-3]):[0-5][0-9])$`
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`

	// suspend refuses the tokens of this credential, at once. Defaults to false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`
}

// Rotation says what becomes of the keys that Secrets held before. It is for single keys: PEM, X.509, JWK and octets. A JSON
// Web Key Set is taken at its word: a key that is taken out of it stops verifying, since its owner can keep both in it.
type Rotation struct {
	// overlap is how long a key goes on verifying after its Secret got another value, on every replica and across restarts.
	// Lowering it acts on keys that are retained already; raising it doesn't. With 0s a replaced key stops at once. It also
	// bounds how long the last good keys serve while the value is empty or can't be read as a key. A deleted Secret, or a
	// deleted entry of one, is a revocation whatever the overlap. From 0s to 8760h, written as in Go, such as 36h or 90m.
	// Defaults to 24h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) <= duration('8760h')",message="overlap must be a duration from 0s to 8760h (one year), such as 24h"
	Overlap *metav1.Duration `json:"overlap,omitempty"`

	// maxRetainedKeys is how many replaced keys of one item of keys are retained at most: the latest. From 1 to 4.
	// Defaults to 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4
	MaxRetainedKeys *int32 `json:"maxRetainedKeys,omitempty"`
}

// Revocation names tokens that are no longer good although their signatures verify. At least one field is set.
//
// +kubebuilder:validation:MinProperties=1
type Revocation struct {
	// issuedBefore refuses every token that was issued before that time, by its iat (RFC 7519 section 4.1.6), and every
	// token without an iat.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|(\+|-)([01][0-9]|2[0-3]):[0-5][0-9])$`
	IssuedBefore *metav1.Time `json:"issuedBefore,omitempty"`

	// tokenIDs refuse the tokens that carry one of them as jti (RFC 7519 section 4.1.7). An ID can be taken out once its
	// token has expired. At most 1024 items of 1 to 256 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	TokenIDs []string `json:"tokenIDs,omitempty"`

	// keyIDs refuse the tokens of these keys, wherever the keys come from. Each is a kid or a thumbprint as in status.keys.
	// At most 64 items of 1 to 253 visible ASCII characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!-~]+$')",message="must be visible ASCII characters without spaces: a kid as in the token's header, or a thumbprint"
	KeyIDs []string `json:"keyIDs,omitempty"`
}

// KeyFormat is the way a key is written.
//
// +kubebuilder:validation:Enum=Auto;JWKS;JWK;PEM;Octets
type KeyFormat string

const (
	// KeyFormatAuto looks at the value: PEM armour, then a JSON Web Key or set, else octets where the algorithms are
	// HMAC.
	KeyFormatAuto KeyFormat = "Auto"

	// KeyFormatJWKS is a JSON Web Key Set (RFC 7517 section 5). Members of an unknown type are skipped.
	KeyFormatJWKS KeyFormat = "JWKS"

	// KeyFormatJWK is one JSON Web Key (RFC 7517 section 4).
	KeyFormatJWK KeyFormat = "JWK"

	// KeyFormatPEM is a public key (SPKI or PKCS#1) or an X.509 certificate in PEM.
	KeyFormatPEM KeyFormat = "PEM"

	// KeyFormatOctets is a shared secret for HMAC, taken byte for byte: a trailing newline is part of it.
	KeyFormatOctets KeyFormat = "Octets"
)

// KeyState says what a key is for.
//
// +kubebuilder:validation:Enum=Active;Retiring;Revoked
type KeyState string

const (
	// KeyStateActive is a key that tokens are signed with, or will be.
	KeyStateActive KeyState = "Active"

	// KeyStateRetiring is a key that nothing should be signed with any more. It verifies as before: set Revoked, notAfter
	// or take the key away to end it.
	KeyStateRetiring KeyState = "Retiring"

	// KeyStateRevoked is a key whose tokens are refused, at once.
	KeyStateRevoked KeyState = "Revoked"
)

// CredentialKey is one source of keys.
//
// +kubebuilder:validation:XValidation:rule="!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter",message="notAfter must be later than notBefore",fieldPath=".notAfter"
// +kubebuilder:validation:XValidation:rule="!has(self.kid) || !has(self.format) || self.format != 'JWKS'",message="kid can't be set with format JWKS, whose members carry their own: remove kid, or choose the format JWK",fieldPath=".kid"
type CredentialKey struct {
	// name tells the keys of the credential apart, in messages and in updates. 1 to 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be lower-case letters, digits and \"-\", such as current or 2027-01"
	Name string `json:"name"`

	// kid is what the header `kid` of a token must be to select this key. Defaults to the JSON Web Key's own `kid`, else
	// to the key's thumbprint (RFC 7638). Not with format JWKS. 1 to 253 visible ASCII characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!-~]+$')",message="must be visible ASCII characters without spaces, as in the token's header"
	KID string `json:"kid,omitempty"`

	// secretKeyRef names the Secret and its entry that hold the key. The Secret may be of any type; of a
	// kubernetes.io/tls Secret use tls.crt, its private key is not needed. A new value switches the key, see
	// spec.rotation; a deleted Secret or entry takes the key away, at once.
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef"`

	// format is the way the key is written: Auto, JWKS, JWK, PEM or Octets. Defaults to Auto.
	// +optional
	Format KeyFormat `json:"format,omitempty"`

	// notBefore is when the key begins to verify tokens, by the replicas' own clocks. Before that it is as if it weren't
	// there, so that it can be put in place long before. Absent: at once.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|(\+|-)([01][0-9]|2[0-3]):[0-5][0-9])$`
	NotBefore *metav1.Time `json:"notBefore,omitempty"`

	// notAfter is when the key stops verifying tokens, by the replicas' own clocks; at that very moment it no longer does.
	// Absent: never.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|(\+|-)([01][0-9]|2[0-3]):[0-5][0-9])$`
	NotAfter *metav1.Time `json:"notAfter,omitempty"`

	// state is what the key is for: Active, Retiring or Revoked. The tokens of a Revoked key are refused, at once, also
	// where another item of keys holds the same key. Defaults to Active.
	// +optional
	State KeyState `json:"state,omitempty"`
}

// KeyPhase says where in its life a key is.
//
// +kubebuilder:validation:Enum=Pending;Active;Retiring;Retained;Expired;Revoked;Invalid
type KeyPhase string

const (
	// KeyPhasePending is a key whose notBefore is still to come: it verifies nothing yet.
	KeyPhasePending KeyPhase = "Pending"

	// KeyPhaseActive is a key that verifies tokens.
	KeyPhaseActive KeyPhase = "Active"

	// KeyPhaseRetiring is a key with state Retiring: it verifies tokens, none should be signed with it.
	KeyPhaseRetiring KeyPhase = "Retiring"

	// KeyPhaseRetained is a key whose Secret has another value now: it verifies tokens until retainUntil.
	KeyPhaseRetained KeyPhase = "Retained"

	// KeyPhaseExpired is a key past its notAfter, or any key past the credential's expirationTime: it verifies nothing.
	KeyPhaseExpired KeyPhase = "Expired"

	// KeyPhaseRevoked is a key that was revoked, by its state or by revocation.keyIDs: its tokens are refused.
	KeyPhaseRevoked KeyPhase = "Revoked"

	// KeyPhaseInvalid is a value that can't be used as a key; the message says why.
	KeyPhaseInvalid KeyPhase = "Invalid"
)

// KeyStatus is what became of one key.
type KeyStatus struct {
	// thumbprint identifies the key: its RFC 7638 thumbprint. A shared secret, and a value that is no key, have a hash
	// instead that is salted with a random value of this installation, so that nothing can be learnt from it. At most 64
	// characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Thumbprint string `json:"thumbprint,omitempty"`

	// kid is what the header `kid` of a token must be to select the key; empty for a shared secret without a name. At
	// most 512 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	KID string `json:"kid,omitempty"`

	// name is that of the item of spec.keys that the key comes from, or remoteJWKS. At most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// algorithms are those that the key verifies, of the credential's. At most 10.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	Algorithms []Algorithm `json:"algorithms,omitempty"`

	// source is where the key was read: secret/NAME/ENTRY, or remoteJWKS. At most 520 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=520
	Source string `json:"source,omitempty"`

	// phase says where in its life the key is: Pending, Active, Retiring, Retained, Expired, Revoked or Invalid.
	// +required
	Phase KeyPhase `json:"phase,omitempty"`

	// message says why the phase is Invalid. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// retainUntil is when a Retained key stops verifying.
	// +optional
	RetainUntil *metav1.Time `json:"retainUntil,omitempty"`

	// lastUsedTime is when the key last verified a token that was let through, on any replica, to the minute. It is kept for
	// Retiring and Retained keys alone and renewed hourly: while a key is in use, the latest use may be an hour later than
	// this. Absent: no use was seen.
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`

	// firstSeenTime is when the controller first reported the key.
	// +required
	FirstSeenTime metav1.Time `json:"firstSeenTime,omitempty,omitzero"`
}

// JWTCredentialStatus is what the controller observed.
type JWTCredentialStatus struct {
	// conditions are the latest observations: Accepted, ResolvedRefs, KeysReady, Programmed, RotationInProgress and
	// Degraded. At most 8.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// keys are the credential's keys, those that verify tokens first. At most 64 are listed.
	// +optional
	// +listType=map
	// +listMapKey=thumbprint
	// +kubebuilder:validation:MaxItems=64
	Keys []KeyStatus `json:"keys,omitempty"`

	// lastRotationTime is when a key last became Active in a credential that had another Active key before.
	// +optional
	LastRotationTime *metav1.Time `json:"lastRotationTime,omitempty"`
}

package v1alpha1

// JWTIssuer is an external identity provider whose tokens a policy takes. The provider's keys alone judge them.
//
// +kubebuilder:validation:XValidation:rule="self.keys.type != 'Discovery' || self.issuer.matches(r'^https://[^/?#@\\s]+(/[^?#\\s]*)?$')",message="issuer must be an https URL without query and fragment when keys.type is Discovery: its metadata is fetched from there; for another issuer use type RemoteJWKS or Secret",fieldPath=".issuer"
type JWTIssuer struct {
	// issuer is what the token's `iss` must be, compared exactly, with or without a slash at the end (RFC 7519 section
	// 4.1.1). 1 to 512 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Issuer string `json:"issuer"`

	// audiences of which the token's `aud` must name at least one, in addition to what the policy itself asks for.
	// Absent: the issuer asks for none. At most 16 items of 1 to 512 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Audiences []string `json:"audiences,omitempty"`

	// algorithms are the signature algorithms that tokens may use; a token with another `alg` is refused before any key
	// is looked for. HMAC algorithms are not for identity providers: who can verify with a shared secret can sign with
	// it. 1 to 11 items.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=11
	// +kubebuilder:validation:XValidation:rule="!self.exists(a, a.startsWith('HS'))",message="HMAC algorithms (HS256, HS384, HS512) can't be used with issuers: write those of the issuer's public keys, such as RS256 or ES256"
	Algorithms []Algorithm `json:"algorithms"`

	// keys says where the issuer's keys are.
	// +required
	Keys IssuerKeys `json:"keys"`

	// consumer says whether a token must stand for a Consumer of the Pipeline's namespace, by spec.identities there:
	// Required or Optional. Where it is Optional, a token that stands for none is taken, and upstreams see no consumer.
	// Defaults to Required.
	// +optional
	Consumer ConsumerMapping `json:"consumer,omitempty"`
}

// IssuerKeysType says how the keys of an issuer are found.
//
// +kubebuilder:validation:Enum=Discovery;RemoteJWKS;Secret
type IssuerKeysType string

const (
	// IssuerKeysDiscovery asks the issuer's metadata where its keys are (OpenID Connect Discovery 1.0 section 4, RFC 8414
	// section 3). The metadata must be for exactly this issuer.
	IssuerKeysDiscovery IssuerKeysType = "Discovery"

	// IssuerKeysRemoteJWKS fetches them from a given address.
	IssuerKeysRemoteJWKS IssuerKeysType = "RemoteJWKS"

	// IssuerKeysSecret reads them from a Secret.
	IssuerKeysSecret IssuerKeysType = "Secret"
)

// IssuerKeys says where the keys of an issuer are. While they can't be fetched, the last ones serve for 24 hours; then,
// and before the first time, its tokens are answered 503.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Discovery' || !has(self.discovery)",message="discovery can only be set when type is Discovery",fieldPath=".discovery"
// +kubebuilder:validation:XValidation:rule="(self.type == 'RemoteJWKS') == has(self.remoteJWKS)",message="remoteJWKS must be set when type is RemoteJWKS, and only then",fieldPath=".remoteJWKS"
// +kubebuilder:validation:XValidation:rule="(self.type == 'Secret') == has(self.secret)",message="secret must be set when type is Secret, and only then",fieldPath=".secret"
type IssuerKeys struct {
	// type says how the keys are found: Discovery, RemoteJWKS or Secret.
	// +required
	Type IssuerKeysType `json:"type"`

	// discovery says how the issuer's metadata and keys are fetched, for type Discovery. Absent: the field's own
	// defaults.
	// +optional
	Discovery *IssuerDiscovery `json:"discovery,omitempty"`

	// remoteJWKS is where the keys are fetched from, for type RemoteJWKS.
	// +optional
	RemoteJWKS *RemoteJWKS `json:"remoteJWKS,omitempty"`

	// secret names the Secret and its entry that hold the keys, for type Secret: a JSON Web Key Set, a JSON Web Key, or a
	// public key or certificate in PEM. While it can't be read, the Pipeline answers 503.
	// +optional
	Secret *SecretKeyReference `json:"secret,omitempty"`
}

// IssuerDiscovery says how an issuer's metadata and keys are fetched.
type IssuerDiscovery struct {
	// caCertificateRef names the Secret and its entry with the PEM certificates of the authorities that may sign the
	// issuer's certificate. Defaults to the system's roots. While it can't be read, the Pipeline answers 503.
	// +optional
	CACertificateRef *SecretKeyReference `json:"caCertificateRef,omitempty"`
}

// RemoteJWKS is a JSON Web Key Set (RFC 7517 section 5) that is fetched: again after what its Cache-Control says, within
// 5 minutes and 1 hour, and when a token names a key that it lacks, twice a minute at most.
type RemoteJWKS struct {
	// uri is the https URL of the set. Redirects are not followed. 1 to 2048 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^https://[^/?#@\\s]+([/?][^#\\s]*)?$')",message="must be an https URL without user and fragment, such as https://login.example.com/keys"
	URI string `json:"uri"`

	// caCertificateRef names the Secret and its entry with the PEM certificates of the authorities that may sign the
	// server's certificate. Defaults to the system's roots.
	// +optional
	CACertificateRef *SecretKeyReference `json:"caCertificateRef,omitempty"`
}

// ConsumerMapping says whether a token must stand for a Consumer.
//
// +kubebuilder:validation:Enum=Required;Optional
type ConsumerMapping string

const (
	// ConsumerRequired refuses tokens that stand for no Consumer.
	ConsumerRequired ConsumerMapping = "Required"

	// ConsumerOptional takes them: the token is verified, and upstreams see no consumer.
	ConsumerOptional ConsumerMapping = "Optional"
)

// ConsumerIdentity says which tokens of an external issuer stand for a Consumer.
type ConsumerIdentity struct {
	// issuer is the issuer of a Pipeline's JWT policy, compared exactly. 1 to 512 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Issuer string `json:"issuer"`

	// claim is the name of a claim at the top level of the token, such as sub, azp or client_id. 1 to 128 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Claim string `json:"claim"`

	// value is what the claim must be, a string, compared exactly. 1 to 512 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Value string `json:"value"`
}

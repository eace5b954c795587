package v1alpha1

// LocalObjectReference names an object of the same namespace.
type LocalObjectReference struct {
	// name is the metadata.name of the object. 1 to 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the metadata.name of an object: lower-case letters, digits, \"-\" and \".\""
	Name string `json:"name"`
}

// SecretKeyReference names one entry of a Secret of the same namespace. The Secret may be of any type.
type SecretKeyReference struct {
	// name is the metadata.name of the Secret. 1 to 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the metadata.name of a Secret: lower-case letters, digits, \"-\" and \".\""
	Name string `json:"name"`

	// key is the entry of the Secret's data, such as "tls.crt" or "jwks.json". 1 to 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[-._a-zA-Z0-9]+$')",message="must be a key of the Secret's data: letters, digits, \"-\", \"_\" and \".\""
	Key string `json:"key"`
}

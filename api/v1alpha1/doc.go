// Package v1alpha1 holds the Kubernetes API of Ostiary: Pipeline, ServiceEndpoint, Consumer and JWTCredential of the
// group ostiary.dev, with their validation rules, condition types and reasons.
//
// +kubebuilder:object:generate=true
// +groupName=ostiary.dev
package v1alpha1

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Consumer is who calls: a person or an application.
//
// +kubebuilder:object:root=true
type Consumer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ConsumerSpec   `json:"spec,omitempty"`
	Status ConsumerStatus `json:"status,omitempty"`
}

// ConsumerList is a list of Consumers.
//
// +kubebuilder:object:root=true
type ConsumerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Consumer `json:"items"`
}

// ConsumerType is the kind of caller.
type ConsumerType string

const (
	ConsumerUser        ConsumerType = "User"
	ConsumerApplication ConsumerType = "Application"
)

// ConsumerSpec describes the caller.
type ConsumerSpec struct {
	Type     ConsumerType `json:"type,omitempty"`     // default Application; immutable
	Username string       `json:"username,omitempty"` // unique in the namespace (oldest wins); immutable; default metadata.name
	CustomID string       `json:"customID,omitempty"`
	Groups   []string     `json:"groups,omitempty"`
	Scopes   []string     `json:"scopes,omitempty"`
	Suspend  *bool        `json:"suspend,omitempty"`
}

// ConsumerStatus is what the controller observed.
type ConsumerStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

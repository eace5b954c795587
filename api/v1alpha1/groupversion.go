package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of all kinds of this package.
const GroupName = "ostiary.dev"

// GroupVersion is the group and version of all kinds of this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}
}

// AddToScheme registers the kinds of this package with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(),
		&Pipeline{}, &PipelineList{},
		&ServiceEndpoint{}, &ServiceEndpointList{},
		&Consumer{}, &ConsumerList{},
		&JWTCredential{}, &JWTCredentialList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}

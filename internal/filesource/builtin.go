package filesource

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// readSecret says which entry is not base64, which decoding alone would not tell.
func readSecret(u *unstructured.Unstructured) (metav1.Object, field.ErrorList) {
	data, _, err := unstructured.NestedStringMap(u.Object, "data")
	if err != nil {
		return nil, field.ErrorList{field.Invalid(field.NewPath("data"), field.OmitValueType{}, "must be a map of base64 strings")}
	}
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if _, err := base64.StdEncoding.DecodeString(data[key]); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(key), field.OmitValueType{},
				"must be base64: write plain text under stringData"))
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return builtin(validateSecret)(u)
}

// validateSecret judges a Secret as the API server does, and moves stringData into data.
func validateSecret(s *corev1.Secret) field.ErrorList {
	errs := validateMeta(&s.ObjectMeta, namespaced, apivalidation.NameIsDNSSubdomain)
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
	path, size := field.NewPath("data"), 0
	for key, value := range s.Data {
		for _, message := range validation.IsConfigMapKey(key) {
			errs = append(errs, field.Invalid(path.Key(key), field.OmitValueType{}, message))
		}
		size += len(value)
	}
	if size > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(path, field.OmitValueType{}, corev1.MaxSecretSize))
	}
	if s.Type == corev1.SecretTypeTLS {
		for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
			if _, ok := s.Data[key]; !ok {
				errs = append(errs, field.Required(path.Key(key), "a Secret of type kubernetes.io/tls must have it"))
			}
		}
	}
	return errs
}

// validateService judges what of a Service leads to addresses.
func validateService(s *corev1.Service) field.ErrorList {
	errs := validateMeta(&s.ObjectMeta, namespaced, apivalidation.NameIsDNS1035Label)
	names := map[string]bool{}
	numbers := map[string]bool{}
	for i := range s.Spec.Ports {
		port, path := &s.Spec.Ports[i], field.NewPath("spec", "ports").Index(i)
		for _, message := range validation.IsValidPortNum(int(port.Port)) {
			errs = append(errs, field.Invalid(path.Child("port"), port.Port, message))
		}
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
		switch {
		case port.Name == "" && len(s.Spec.Ports) > 1:
			errs = append(errs, field.Required(path.Child("name"), "a Service with several ports must name each"))
		case names[port.Name]:
			errs = append(errs, field.Duplicate(path.Child("name"), port.Name))
		case port.Name != "":
			for _, message := range validation.IsDNS1123Label(port.Name) {
				errs = append(errs, field.Invalid(path.Child("name"), port.Name, message))
			}
		}
		names[port.Name] = true
		number := fmt.Sprintf("%s/%d", port.Protocol, port.Port)
		if numbers[number] {
			errs = append(errs, field.Duplicate(path.Child("port"), port.Port))
		}
		numbers[number] = true
	}
	return errs
}

// validateEndpointSlice judges the addresses and ports. Loopback addresses are allowed, as they are in an API server.
func validateEndpointSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateMeta(&s.ObjectMeta, namespaced, apivalidation.NameIsDNSSubdomain)
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN:
	case "":
		errs = append(errs, field.Required(field.NewPath("addressType"), "write IPv4 or IPv6"))
	default:
		errs = append(errs, field.NotSupported(field.NewPath("addressType"), s.AddressType,
			[]discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}))
	}
	for i := range s.Endpoints {
		path := field.NewPath("endpoints").Index(i).Child("addresses")
		if len(s.Endpoints[i].Addresses) == 0 {
			errs = append(errs, field.Required(path, "write at least one address"))
		}
		for j, address := range s.Endpoints[i].Addresses {
			if message := wrongAddress(s.AddressType, address); message != "" {
				errs = append(errs, field.Invalid(path.Index(j), address, message))
			}
		}
	}
	for i := range s.Ports {
		port := &s.Ports[i]
		if port.Port == nil {
			continue
		}
		for _, message := range validation.IsValidPortNum(int(*port.Port)) {
			errs = append(errs, field.Invalid(field.NewPath("ports").Index(i).Child("port"), *port.Port, message))
		}
	}
	return errs
}

func wrongAddress(t discoveryv1.AddressType, address string) string {
	addr, err := netip.ParseAddr(address)
	switch {
	case t == discoveryv1.AddressTypeIPv4 && (err != nil || !addr.Is4()):
		return "must be an IPv4 address, such as 10.0.0.1"
	case t == discoveryv1.AddressTypeIPv6 && (err != nil || !addr.Is6() || addr.Zone() != ""):
		return "must be an IPv6 address, such as 2001:db8::1"
	default:
		return ""
	}
}

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	return validateMeta(&c.ObjectMeta, clusterScoped, apivalidation.NameIsDNSSubdomain)
}

// validateReferenceGrant asks for what the CRD of the Gateway API asks for: an empty list would grant nothing.
func validateReferenceGrant(g *gatewayv1.ReferenceGrant) field.ErrorList {
	errs := validateMeta(&g.ObjectMeta, namespaced, apivalidation.NameIsDNSSubdomain)
	spec := field.NewPath("spec")
	if len(g.Spec.From) == 0 {
		errs = append(errs, field.Required(spec.Child("from"), "write who may refer: group, kind and namespace"))
	}
	if len(g.Spec.To) == 0 {
		errs = append(errs, field.Required(spec.Child("to"), "write what may be referred to: group and kind"))
	}
	for i, from := range g.Spec.From {
		path := spec.Child("from").Index(i)
		if from.Kind == "" {
			errs = append(errs, field.Required(path.Child("kind"), "write a kind, such as ServiceEndpoint"))
		}
		if from.Namespace == "" {
			errs = append(errs, field.Required(path.Child("namespace"), "write the namespace that may refer"))
		}
	}
	for i, to := range g.Spec.To {
		if to.Kind == "" {
			errs = append(errs, field.Required(spec.Child("to").Index(i).Child("kind"), "write a kind, such as Service"))
		}
	}
	return errs
}

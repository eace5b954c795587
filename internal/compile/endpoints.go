package compile

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Endpoints maps each TCP port of a Service to the addresses behind it, sorted and without duplicates; a port without
// addresses is absent. Slices that belong to another Service are ignored.
//
// As in kube-proxy, an endpoint is used while it is ready; where no endpoint of a port is, those that still serve while
// they terminate are used. A port is found by name: an unnamed Service port goes with an unnamed EndpointSlice port. A
// Service of type ExternalName has no endpoints.
func Endpoints(svc *corev1.Service, all []*discoveryv1.EndpointSlice) map[int32][]netip.AddrPort {
	if svc == nil || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	endpoints := make(map[int32][]netip.AddrPort, len(svc.Spec.Ports))
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		if !isTCP(port.Protocol) {
			continue
		}
		if addresses := portAddresses(svc, port.Name, all); len(addresses) > 0 {
			endpoints[port.Port] = addresses
		}
	}
	return endpoints
}

// isTCP reports whether a protocol is TCP, which is also the default.
func isTCP(protocol corev1.Protocol) bool {
	return protocol == "" || protocol == corev1.ProtocolTCP
}

func portAddresses(svc *corev1.Service, portName string, all []*discoveryv1.EndpointSlice) []netip.AddrPort {
	var ready, draining []netip.AddrPort
	for _, slice := range all {
		if !belongsTo(slice, svc) {
			continue
		}
		for i := range slice.Ports {
			number, ok := slicePort(&slice.Ports[i], portName)
			if !ok {
				continue
			}
			for j := range slice.Endpoints {
				endpoint := &slice.Endpoints[j]
				address, ok := endpointAddress(endpoint)
				if !ok {
					continue
				}
				switch target := netip.AddrPortFrom(address, number); {
				case isReady(endpoint):
					ready = append(ready, target)
				case isServingWhileTerminating(endpoint):
					draining = append(draining, target)
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = draining
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

func belongsTo(slice *discoveryv1.EndpointSlice, svc *corev1.Service) bool {
	return slice != nil && slice.Namespace == svc.Namespace && slice.Labels[discoveryv1.LabelServiceName] == svc.Name &&
		(slice.AddressType == discoveryv1.AddressTypeIPv4 || slice.AddressType == discoveryv1.AddressTypeIPv6)
}

// slicePort is the number of an EndpointSlice's port if it has that name and speaks TCP. A port without a number stands
// for "all ports" and leads nowhere in particular.
func slicePort(port *discoveryv1.EndpointPort, name string) (uint16, bool) {
	if port.Port == nil || *port.Port < 1 || *port.Port > 65535 {
		return 0, false
	}
	if port.Protocol != nil && !isTCP(*port.Protocol) {
		return 0, false
	}
	if got := port.Name; (got == nil && name != "") || (got != nil && *got != name) {
		return 0, false
	}
	return uint16(*port.Port), true
}

// endpointAddress is the first address: all addresses of an endpoint are one and the same, and consumers use the first.
func endpointAddress(endpoint *discoveryv1.Endpoint) (netip.Addr, bool) {
	if len(endpoint.Addresses) == 0 {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(endpoint.Addresses[0])
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, false
	}
	return address.Unmap(), true
}

// isReady follows EndpointConditions: an unknown state is to be taken as ready.
func isReady(endpoint *discoveryv1.Endpoint) bool {
	return endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
}

// isServingWhileTerminating follows EndpointConditions: serving is ready without regard to termination, and when it is
// unknown the ready condition decides, which is false here.
func isServingWhileTerminating(endpoint *discoveryv1.Endpoint) bool {
	c := endpoint.Conditions
	return c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating
}

//go:build linux

package bed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// serviceProxy stands in for kube-proxy and a cloud's load balancer: it listens on
// the addresses of Services and forwards TCP connections to ready endpoints, one
// chosen at random for each connection.
type serviceProxy struct {
	client    kubernetes.Interface
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	log       *slog.Logger
	changed   chan struct{} // a Service has changed, at most one
	pool      *addressPool
	addresses map[types.UID]netip.Addr
	listeners map[netip.AddrPort]*forwarder
	conns     sync.WaitGroup
}

// target is the Service port that an address leads to.
type target struct {
	namespace, service, port string
}

func newServiceProxy(client kubernetes.Interface, factory informers.SharedInformerFactory, log *slog.Logger) (*serviceProxy, error) {
	p := &serviceProxy{
		client:    client,
		services:  factory.Core().V1().Services().Lister(),
		slices:    factory.Discovery().V1().EndpointSlices().Lister(),
		log:       log,
		changed:   make(chan struct{}, 1),
		pool:      newAddressPool(loadBalancerNetwork, firstLoadBalancerAddress),
		addresses: map[types.UID]netip.Addr{},
		listeners: map[netip.AddrPort]*forwarder{},
	}
	notify := func() {
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
	_, err := factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	})
	if err != nil {
		return nil, fmt.Errorf("watch services: %w", err)
	}
	return p, nil
}

// run follows the Services until ctx ends, then closes all connections.
func (p *serviceProxy) run(ctx context.Context) {
	defer p.conns.Wait()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, f := range p.listeners {
				f.close()
			}
			return
		case <-p.changed:
		case <-again.C:
		}
		if err := p.reconcile(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("can't bring all services up to date", "err", err)
			again.Reset(500 * time.Millisecond)
		}
	}
}

// reconcile opens and closes listeners until they are what the Services ask for.
func (p *serviceProxy) reconcile(ctx context.Context) error {
	services, err := p.services.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	var errs []error
	wanted := map[netip.AddrPort]target{}
	live := map[types.UID]bool{}
	for _, service := range services {
		live[service.UID] = true
		addresses := p.clusterAddresses(service)
		balancer, err := p.balancerAddress(ctx, service)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s/%s: %w", service.Namespace, service.Name, err))
		}
		if balancer.IsValid() {
			addresses = append(addresses, balancer)
		}
		for _, port := range service.Spec.Ports {
			if port.Protocol != corev1.ProtocolTCP {
				continue
			}
			to := target{service.Namespace, service.Name, port.Name}
			for _, address := range addresses {
				wanted[netip.AddrPortFrom(address, uint16(port.Port))] = to
			}
			if port.NodePort != 0 {
				wanted[netip.AddrPortFrom(netip.MustParseAddr(nodeAddress), uint16(port.NodePort))] = to
			}
		}
	}
	for at, f := range p.listeners {
		if wanted[at] != f.target {
			f.close()
			delete(p.listeners, at)
		}
	}
	for at, to := range wanted {
		if p.listeners[at] != nil {
			continue
		}
		f, err := p.listen(at, to)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s/%s: %w", to.namespace, to.service, err))
			continue
		}
		p.listeners[at] = f
	}
	for uid, address := range p.addresses {
		if !live[uid] {
			delete(p.addresses, uid)
			p.pool.release(address)
		}
	}
	return errors.Join(errs...)
}

func (p *serviceProxy) clusterAddresses(service *corev1.Service) []netip.Addr {
	if service.Spec.Type == corev1.ServiceTypeExternalName || service.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil { // not given one yet
		return nil
	}
	return []netip.Addr{address}
}

// balancerAddress gives a Service of type LoadBalancer its address, and takes it
// away when it no longer is one.
func (p *serviceProxy) balancerAddress(ctx context.Context, service *corev1.Service) (netip.Addr, error) {
	address, have := p.addresses[service.UID]
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.Spec.LoadBalancerClass != nil {
		if have {
			delete(p.addresses, service.UID)
			p.pool.release(address)
			return netip.Addr{}, p.writeIngress(ctx, service, nil)
		}
		return netip.Addr{}, nil
	}
	if !have {
		wish, err := netip.ParseAddr(service.Spec.LoadBalancerIP)
		switch {
		case err == nil && p.pool.reserve(wish):
			address = wish
		case err == nil:
			return netip.Addr{}, fmt.Errorf("address %s is taken or not in %s", wish, loadBalancerNetwork)
		default:
			if address, err = p.pool.take(); err != nil {
				return netip.Addr{}, err
			}
		}
		p.addresses[service.UID] = address
	}
	ingress := service.Status.LoadBalancer.Ingress
	if len(ingress) == 1 && ingress[0].IP == address.String() {
		return address, nil
	}
	return address, p.writeIngress(ctx, service, []corev1.LoadBalancerIngress{{IP: address.String(), IPMode: new(corev1.LoadBalancerIPModeProxy)}})
}

func (p *serviceProxy) writeIngress(ctx context.Context, service *corev1.Service, ingress []corev1.LoadBalancerIngress) error {
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = ingress
	_, err := p.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	// Something newer is on its way here.
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// forwarder is one listener of a Service.
type forwarder struct {
	target   target
	listener net.Listener
	ctx      context.Context //nolint:containedctx // the life of the listener and its connections
	cancel   context.CancelFunc
}

// close stops listening and ends the connections.
func (f *forwarder) close() {
	f.cancel()
	// It was open, and nobody else closes it.
	_ = f.listener.Close()
}

func (p *serviceProxy) listen(at netip.AddrPort, to target) (*forwarder, error) {
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	f := &forwarder{target: to, listener: listener}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	p.conns.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				if f.ctx.Err() == nil {
					p.log.Error("a service's listener has ended", "address", at, "err", err)
				}
				return
			}
			p.conns.Go(func() { p.forward(f, client.(*net.TCPConn)) })
		}
	})
	return f, nil
}

// forward joins a client with an endpoint. A client that no endpoint can be found
// for is reset, which is as near as it gets to a refused connection.
func (p *serviceProxy) forward(f *forwarder, client *net.TCPConn) {
	defer client.Close()
	backend := p.dial(f)
	if backend == nil {
		// Only makes Close abrupt.
		_ = client.SetLinger(0)
		return
	}
	defer backend.Close()
	stop := context.AfterFunc(f.ctx, func() {
		client.Close()
		backend.Close()
	})
	defer stop()
	var half sync.WaitGroup
	half.Go(func() { relay(backend, client) })
	relay(client, backend)
	half.Wait()
}

// relay copies one direction and passes its end on.
func relay(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		// A reset of one side is a reset of the other.
		_ = to.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	// An error means that the other side is gone already.
	_ = to.CloseWrite()
}

// dial tries the endpoints in random order and returns nil if none answers.
func (p *serviceProxy) dial(f *forwarder) *net.TCPConn {
	endpoints, err := p.endpoints(f.target)
	if err != nil {
		p.log.Error("can't list the endpoints of a service", "err", err)
		return nil
	}
	rand.Shuffle(len(endpoints), func(i, j int) { endpoints[i], endpoints[j] = endpoints[j], endpoints[i] })
	dialer := net.Dialer{Timeout: 2 * time.Second}
	for _, endpoint := range endpoints {
		conn, err := dialer.DialContext(f.ctx, "tcp", endpoint)
		if err == nil {
			return conn.(*net.TCPConn)
		}
	}
	return nil
}

// endpoints lists where new connections may go: ready endpoints, or, while there is
// none, those that still serve though they terminate, as kube-proxy does.
func (p *serviceProxy) endpoints(to target) ([]string, error) {
	slices, err := p.slices.EndpointSlices(to.namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: to.service}))
	if err != nil {
		return nil, err
	}
	var ready, draining []string
	for _, slice := range slices {
		for _, port := range slice.Ports {
			if port.Name == nil || *port.Name != to.port || port.Port == nil {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				for _, address := range endpoint.Addresses {
					at := net.JoinHostPort(address, strconv.Itoa(int(*port.Port)))
					switch c := endpoint.Conditions; {
					case c.Ready == nil || *c.Ready:
						ready = append(ready, at)
					case c.Terminating != nil && *c.Terminating && c.Serving != nil && *c.Serving:
						draining = append(draining, at)
					}
				}
			}
		}
	}
	if len(ready) > 0 {
		return ready, nil
	}
	return draining, nil
}

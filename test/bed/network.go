//go:build linux

package bed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
)

const (
	bridgeName = "cni0"
	// nodeAddress is the bridge's address: gateway of the pods, address of the
	// Node, of the API server and of the kubelet stand-in.
	nodeAddress   = "10.244.0.1"
	apiServerPort = "6443"
	podNetwork    = "10.244.0.0/16"
	// firstPodAddress leaves the first addresses to the machine itself.
	firstPodAddress = "10.244.0.10"
	clusterNetwork  = "10.96.0.0/16"
	// loadBalancerNetwork holds the addresses of Services of type LoadBalancer.
	loadBalancerNetwork      = "10.245.0.0/24"
	firstLoadBalancerAddress = "10.245.0.10"
)

// ipBatch runs commands of the ip program in this network namespace.
func ipBatch(ctx context.Context, commands ...string) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// setUpNetwork makes the bridge that pods hang on, and makes every address of the
// Services' ranges local, so that listening on one of them is all it takes.
func setUpNetwork(ctx context.Context) error {
	return ipBatch(ctx,
		"link set lo up",
		"link add "+bridgeName+" type bridge",
		"addr add "+nodeAddress+"/16 dev "+bridgeName,
		"link set "+bridgeName+" up",
		"route add local "+clusterNetwork+" dev lo",
		"route add local "+loadBalancerNetwork+" dev lo",
	)
}

func tearDownNetwork(ctx context.Context) error {
	return ipBatch(ctx,
		"link del "+bridgeName,
		"route del local "+clusterNetwork+" dev lo",
		"route del local "+loadBalancerNetwork+" dev lo",
	)
}

// connectPod gives the network namespace of process pid an interface eth0 on the
// bridge. Both ends disappear with that namespace.
func connectPod(ctx context.Context, pid int) error {
	host := fmt.Sprintf("v%d", pid)
	return ipBatch(ctx,
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", host, pid),
		fmt.Sprintf("link set %s master %s up", host, bridgeName),
	)
}

// configurePodNetwork runs inside the pod's network namespace.
func configurePodNetwork(ctx context.Context, address string) error {
	return ipBatch(ctx,
		"link set lo up",
		"addr add "+address+"/16 dev eth0",
		"link set eth0 up",
		"route add default via "+nodeAddress,
	)
}

// addressPool hands out addresses of one network. An address that came back is
// handed out again only after all others, so that a stale client can't reach a
// newcomer by mistake.
type addressPool struct {
	network netip.Prefix
	first   netip.Addr

	mu   sync.Mutex
	next netip.Addr
	used map[netip.Addr]bool
}

func newAddressPool(network, first string) *addressPool {
	start := netip.MustParseAddr(first)
	return &addressPool{network: netip.MustParsePrefix(network), first: start, next: start, used: map[netip.Addr]bool{}}
}

// take returns a free address.
func (p *addressPool) take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for start, wrapped := p.next, false; ; {
		address := p.next
		// The last address of a network is its broadcast address.
		if after := address.Next(); p.network.Contains(after) && p.network.Contains(after.Next()) {
			p.next = after
		} else {
			p.next, wrapped = p.first, true
		}
		if !p.used[address] {
			p.used[address] = true
			return address, nil
		}
		if wrapped && !p.next.Less(start) {
			return netip.Addr{}, errors.New("no free address in " + p.network.String())
		}
	}
}

// reserve takes a given address; it reports whether it was free and in the network.
func (p *addressPool) reserve(address netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.network.Contains(address) || p.used[address] {
		return false
	}
	p.used[address] = true
	return true
}

func (p *addressPool) release(address netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, address)
}

package controllers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ostiary/ostiary/internal/compile"
)

// DefaultControllerName is the spec.controller of the IngressClasses that are ours by default.
const DefaultControllerName = "ostiary.dev/ingress-controller"

// DefaultInstance names an installation by default.
const DefaultInstance = "ostiary"

// LeaderElection says whether replicas agree on the one that writes status.
type LeaderElection string

const (
	// LeaderElectionEnabled lets replicas elect the one that writes status.
	LeaderElectionEnabled LeaderElection = "Enabled"
	// LeaderElectionDisabled makes this replica write status in any case: for a single replica only.
	LeaderElectionDisabled LeaderElection = "Disabled"
)

// HostOwnership is the flag's word for compile.HostOwnership.
type HostOwnership string

const (
	// HostOwnershipNamespace gives a host to the namespace whose Pipeline names it first.
	HostOwnershipNamespace HostOwnership = "Namespace"
	// HostOwnershipShared lets every namespace use every host.
	HostOwnershipShared HostOwnership = "Shared"
)

// Options of the controllers. Their zero value is not usable: start from DefaultOptions.
type Options struct {
	// ControllerName is the spec.controller of the IngressClasses whose Pipelines are ours.
	ControllerName string
	// Instance tells this installation from others of the same namespace; it names the Leases.
	Instance string
	// WatchNamespaces are the namespaces whose objects are watched; empty: all. Nothing cluster-scoped but
	// IngressClasses is then needed.
	WatchNamespaces []string
	// NamespaceSelector restricts the namespaces by their labels; empty: all. Not together with WatchNamespaces.
	NamespaceSelector string
	// HostOwnership says whether hosts belong to namespaces.
	HostOwnership HostOwnership
	// LeaderElection says whether replicas elect the one that writes status.
	LeaderElection LeaderElection
	// PodName identifies this replica among others.
	PodName string
	// PodNamespace is where the Leases are. Empty, outside of a cluster: this replica counts itself only, and leader
	// election must be disabled.
	PodNamespace string
	// PodUID makes the replica's Lease disappear together with its Pod; empty: the leader sweeps it once it is stale.
	PodUID types.UID
}

// DefaultOptions are the defaults, with what the environment says about this Pod (POD_NAME, POD_NAMESPACE, POD_UID and
// the host name).
func DefaultOptions() Options {
	name := os.Getenv("POD_NAME")
	if name == "" {
		name, _ = os.Hostname() // left empty, Validate asks for --pod-name
	}
	return Options{
		ControllerName: DefaultControllerName,
		Instance:       DefaultInstance,
		HostOwnership:  HostOwnershipNamespace,
		LeaderElection: LeaderElectionEnabled,
		PodName:        name,
		PodNamespace:   os.Getenv("POD_NAMESPACE"),
		PodUID:         types.UID(os.Getenv("POD_UID")),
	}
}

// BindFlags adds the flags of the controllers; their defaults are o's present values.
func (o *Options) BindFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.ControllerName, "controller-name", o.ControllerName, "spec.controller of the IngressClasses whose Pipelines are served")
	flags.StringVar(&o.Instance, "instance", o.Instance, "name of this installation, unique in its namespace")
	flags.StringSliceVar(&o.WatchNamespaces, "watch-namespaces", o.WatchNamespaces, "namespaces whose objects are served, separated by commas; empty: all")
	flags.StringVar(&o.NamespaceSelector, "namespace-selector", o.NamespaceSelector, "label selector of the namespaces whose objects are served; empty: all")
	flags.Var(enum((*string)(&o.HostOwnership), hostOwnerships()), "host-ownership", "whether a host belongs to the namespace that names it first (Namespace) or to all (Shared)")
	flags.Var(enum((*string)(&o.LeaderElection), leaderElections()), "leader-election", "whether replicas elect the one that writes status (Enabled) or this one always does (Disabled)")
	flags.StringVar(&o.PodName, "pod-name", o.PodName, "name of this replica (default: POD_NAME, else the host name)")
	flags.StringVar(&o.PodNamespace, "pod-namespace", o.PodNamespace, "namespace of this installation, where its Leases are (default: POD_NAMESPACE)")
}

// Validate says everything that is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if o.ControllerName == "" {
		errs = append(errs, errors.New("--controller-name is empty: write the spec.controller of your IngressClass, such as "+DefaultControllerName))
	}
	if problems := validation.IsDNS1123Label(o.Instance); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--instance %q: %s", o.Instance, strings.Join(problems, "; ")))
	}
	for _, namespace := range o.WatchNamespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("--watch-namespaces %q: %s", namespace, strings.Join(problems, "; ")))
		}
	}
	if _, err := labels.Parse(o.NamespaceSelector); err != nil {
		errs = append(errs, fmt.Errorf("--namespace-selector %q: %w", o.NamespaceSelector, err))
	}
	if len(o.WatchNamespaces) > 0 && o.NamespaceSelector != "" {
		errs = append(errs, errors.New("--watch-namespaces and --namespace-selector exclude each other: write one of them"))
	}
	if !slices.Contains(hostOwnerships(), string(o.HostOwnership)) {
		errs = append(errs, fmt.Errorf("--host-ownership %q: write %s", o.HostOwnership, strings.Join(hostOwnerships(), " or ")))
	}
	if !slices.Contains(leaderElections(), string(o.LeaderElection)) {
		errs = append(errs, fmt.Errorf("--leader-election %q: write %s", o.LeaderElection, strings.Join(leaderElections(), " or ")))
	}
	if problems := validation.IsDNS1123Subdomain(o.PodName); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--pod-name %q: %s", o.PodName, strings.Join(problems, "; ")))
	}
	switch {
	case o.PodNamespace != "":
		if problems := validation.IsDNS1123Label(o.PodNamespace); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("--pod-namespace %q: %s", o.PodNamespace, strings.Join(problems, "; ")))
		}
	case o.LeaderElection == LeaderElectionEnabled:
		errs = append(errs, errors.New("--pod-namespace is empty: set it or POD_NAMESPACE, where the Leases of leader election are kept, or write --leader-election=Disabled for a single replica"))
	}
	return errors.Join(errs...)
}

// CompileOptions are what the options say of compiling.
func (o Options) CompileOptions() compile.Options {
	c := compile.Options{
		Classes:        compile.ClassesOfController,
		ControllerName: o.ControllerName,
		HostOwnership:  compile.HostOwnershipNamespace,
		Loopback:       compile.LoopbackRefused,
	}
	if o.HostOwnership == HostOwnershipShared {
		c.HostOwnership = compile.HostOwnershipShared
	}
	return c
}

func hostOwnerships() []string {
	return []string{string(HostOwnershipNamespace), string(HostOwnershipShared)}
}

func leaderElections() []string {
	return []string{string(LeaderElectionEnabled), string(LeaderElectionDisabled)}
}

// enumValue is a flag that takes one of a few words.
type enumValue struct {
	value *string
	words []string
}

func enum(value *string, words []string) *enumValue { return &enumValue{value: value, words: words} }

// String implements pflag.Value.
func (e *enumValue) String() string { return *e.value }

// Type implements pflag.Value.
func (e *enumValue) Type() string { return strings.Join(e.words, "|") }

// Set implements pflag.Value.
func (e *enumValue) Set(word string) error {
	if !slices.Contains(e.words, word) {
		return fmt.Errorf("write %s", strings.Join(e.words, " or "))
	}
	*e.value = word
	return nil
}

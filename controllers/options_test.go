package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/ostiary/ostiary/internal/compile"
)

func validOptions() Options {
	return Options{
		ControllerName: DefaultControllerName, Instance: DefaultInstance, HostOwnership: HostOwnershipNamespace,
		LeaderElection: LeaderElectionEnabled, PodName: "ostiary-0", PodNamespace: "ostiary-system",
	}
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Options)
		want   string // part of the error; empty: valid
	}{
		"the defaults in a Pod":                 {change: func(*Options) {}},
		"outside of a cluster, without a rival": {change: func(o *Options) { o.PodNamespace, o.LeaderElection = "", LeaderElectionDisabled }},
		"outside of a cluster, with rivals":     {change: func(o *Options) { o.PodNamespace = "" }, want: "--leader-election=Disabled"},
		"no controller name":                    {change: func(o *Options) { o.ControllerName = "" }, want: "--controller-name is empty"},
		"no pod name":                           {change: func(o *Options) { o.PodName = "" }, want: "--pod-name"},
		"an instance that is no label":          {change: func(o *Options) { o.Instance = "A B" }, want: `--instance "A B"`},
		"a namespace that is none":              {change: func(o *Options) { o.WatchNamespaces = []string{"shop", "Shop"} }, want: `--watch-namespaces "Shop"`},
		"a pod namespace that is none":          {change: func(o *Options) { o.PodNamespace = "a.b" }, want: `--pod-namespace "a.b"`},
		"a selector":                            {change: func(o *Options) { o.NamespaceSelector = "team in (a, b)" }},
		"a selector that is none":               {change: func(o *Options) { o.NamespaceSelector = "team in" }, want: "--namespace-selector"},
		"namespaces and a selector": {
			change: func(o *Options) { o.WatchNamespaces, o.NamespaceSelector = []string{"shop"}, "team=a" }, want: "exclude each other",
		},
		"an unknown ownership": {change: func(o *Options) { o.HostOwnership = "Nobody" }, want: "write Namespace or Shared"},
		"an unknown election":  {change: func(o *Options) { o.LeaderElection = "true" }, want: "write Enabled or Disabled"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := validOptions()
			test.change(&o)
			err := o.Validate()
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Validate() = %v, want %q", err, test.want)
			}
		})
	}
}

func TestFlagsSetOptions(t *testing.T) {
	t.Parallel()
	o := validOptions()
	flags := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	o.BindFlags(flags)
	if err := flags.Parse([]string{"--watch-namespaces=a,b", "--host-ownership=Shared", "--leader-election=Disabled", "--pod-name=x"}); err != nil {
		t.Fatal(err)
	}
	want := validOptions()
	want.WatchNamespaces, want.HostOwnership, want.LeaderElection, want.PodName = []string{"a", "b"}, HostOwnershipShared, LeaderElectionDisabled, "x"
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if got := o.CompileOptions(); got.HostOwnership != compile.HostOwnershipShared || got.Classes != compile.ClassesOfController || got.Loopback != compile.LoopbackRefused {
		t.Errorf("CompileOptions() = %+v", got)
	}
	if err := flags.Parse([]string{"--host-ownership=shared"}); err == nil || !strings.Contains(err.Error(), "write Namespace or Shared") {
		t.Errorf("an unknown word gives %v", err)
	}
}

func TestDefaultOptionsAreOfThisPod(t *testing.T) {
	t.Setenv("POD_NAME", "ostiary-7")
	t.Setenv("POD_NAMESPACE", "doors")
	t.Setenv("POD_UID", "u-7")
	o := DefaultOptions()
	if o.PodName != "ostiary-7" || o.PodNamespace != "doors" || o.PodUID != "u-7" {
		t.Errorf("DefaultOptions() = %+v", o)
	}
	if err := o.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

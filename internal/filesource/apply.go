package filesource

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Outcome is what became of a World: what is served of it, and what each object's verdict is.
type Outcome struct {
	// Config is what the proxy serves.
	Config routing.Config
	// Entries are the credentials that can be looked up, sorted by key.
	Entries []*keyring.Entry
	// Identities are the Consumers that tokens of external issuers stand for, oldest Consumer first.
	Identities []keyring.Identity
	// Endpoints are the addresses of every Service, by Service port.
	Endpoints map[routing.ObjectKey]map[int32][]netip.AddrPort
	// Report has the verdicts of Pipelines, ServiceEndpoints and Consumers.
	Report compile.Report
	// Credentials has those of the JWTCredentials.
	Credentials map[routing.ObjectKey]compile.Verdict
	// Findings say where a verdict is not what one would wish for, sorted by place: errors about objects that are not
	// accepted and Pipelines that answer 503, warnings about references that lead nowhere and keys that don't work.
	Findings []Finding
}

// Check compiles everything. It changes nothing and is deterministic.
func Check(w *World) Outcome { return compileAll(w, w.Credentials()) }

// CheckWith is Check with what complete adds to the input of each credential.
func CheckWith(w *World, complete func(*compile.CredentialInput)) Outcome {
	inputs := w.Credentials()
	for i := range inputs {
		complete(&inputs[i])
	}
	return compileAll(w, inputs)
}

// Follow is Check for whoever follows the files: a key that is not where it was at the Follow before with the same history
// is retained as its credential says. now is the wall clock's time.
func Follow(w *World, history *rotation.History, now time.Time) Outcome {
	inputs := w.Credentials()
	known := make(map[routing.ObjectKey]bool, len(inputs))
	for i := range inputs {
		c := inputs[i].Credential
		known[keyOf(c)] = true
		inputs[i].Retained = rotation.Retained(history.Observe(rotation.Observation{
			Credential: keyOf(c), UID: string(c.UID),
			Sources: rotation.Sources(compile.KeySources(c, inputs[i].Secrets), func(string) string { return "" }),
			Limits:  rotation.Limits{Overlap: compile.Overlap(c), Retained: compile.MaxRetainedKeys(c)},
		}, now))
	}
	for _, key := range history.Credentials() {
		if !known[key] {
			history.Forget(key)
		}
	}
	return compileAll(w, inputs)
}

func compileAll(w *World, credentials []compile.CredentialInput) Outcome {
	o := Outcome{Endpoints: w.Endpoints(), Credentials: map[routing.ObjectKey]compile.Verdict{}}
	snapshot := w.Snapshot()
	o.Config, o.Report = compile.Compile(snapshot)
	o.Identities = compile.Identities(snapshot)
	for _, input := range credentials {
		entry, verdict := compile.Credential(input)
		if entry != nil {
			o.Entries = append(o.Entries, entry)
		}
		o.Credentials[keyOf(input.Credential)] = verdict
	}
	for kind, verdicts := range map[string]map[routing.ObjectKey]compile.Verdict{
		"Pipeline":        o.Report.Pipelines,
		"ServiceEndpoint": o.Report.ServiceEndpoints,
		"Consumer":        o.Report.Consumers,
		"JWTCredential":   o.Credentials,
	} {
		for key, verdict := range verdicts {
			o.Findings = append(o.Findings, w.findings(kind, key, verdict)...)
		}
	}
	slices.SortStableFunc(o.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
	return o
}

// findings turns the verdict of an object into what there is to tell about it.
func (w *World) findings(kind string, key routing.ObjectKey, v compile.Verdict) []Finding {
	about := Finding{Kind: kind, Namespace: key.Namespace, Name: key.Name}
	if o, ok := w.objects[identity{v1alpha1.GroupName, kind, key.Namespace, key.Name}]; ok {
		about.File, about.Line = o.file, o.line
	}
	var findings []Finding
	for _, c := range v.Conditions {
		if c.Status != metav1.ConditionFalse {
			continue
		}
		f := about
		f.Message = fmt.Sprintf("%s: %s", c.Reason, c.Message)
		switch c.Type {
		case v1alpha1.ConditionAccepted:
		case v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionKeysReady:
			f.Severity = SeverityWarning
		default: // the others are normally False, or decided by those who serve
			continue
		}
		findings = append(findings, f)
	}
	if v.Serving != compile.ServingBroken {
		return findings
	}
	// What breaks a Pipeline is often what a condition says already.
	if i := slices.IndexFunc(findings, func(f Finding) bool { return strings.Contains(f.Message, v.Broken) }); i >= 0 {
		findings[i].Severity = SeverityError
		findings[i].Message += "; its requests are answered 503"
		return findings
	}
	about.Message = fmt.Sprintf("%s: %s; its requests are answered 503", v1alpha1.ReasonProtectionBroken, v.Broken)
	return append(findings, about)
}

// Target is where an Outcome is served from; *publish.Publisher is one.
type Target interface {
	SetCredential(entry *keyring.Entry)
	DeleteCredential(credential routing.ObjectKey)
	SetIdentities(all []keyring.Identity)
	SetEndpoints(service routing.ObjectKey, ports map[int32][]netip.AddrPort)
	DeleteEndpoints(service routing.ObjectKey)
	Publish(cfg routing.Config) error
}

// Applier brings one Outcome after the other to a Target, and tells it only what changed. It must not be used by several
// goroutines at the same time.
type Applier struct {
	target      Target
	credentials map[routing.ObjectKey]*keyring.Entry
	endpoints   map[routing.ObjectKey]map[int32][]netip.AddrPort
}

// NewApplier returns an Applier for a Target that was told nothing yet.
func NewApplier(target Target) *Applier {
	return &Applier{
		target:      target,
		credentials: map[routing.ObjectKey]*keyring.Entry{},
		endpoints:   map[routing.ObjectKey]map[int32][]netip.AddrPort{},
	}
}

// Apply makes the Outcome live. Credentials that went are revoked first of all; the table comes when everything that it
// refers to is there, and what it no longer refers to goes last. An error means that the table could not be built: the
// last good one stays, with the new credentials and endpoints.
func (a *Applier) Apply(o Outcome) error {
	credentials := make(map[routing.ObjectKey]*keyring.Entry, len(o.Entries))
	for _, entry := range o.Entries {
		credentials[entry.Key] = entry
	}
	for key := range a.credentials {
		if credentials[key] == nil {
			a.target.DeleteCredential(key)
		}
	}
	for _, entry := range o.Entries {
		if before := a.credentials[entry.Key]; before != nil && sameEntry(before, entry) {
			credentials[entry.Key] = before
			continue
		}
		a.target.SetCredential(entry)
	}
	a.credentials = credentials
	a.target.SetIdentities(o.Identities)

	for service, ports := range o.Endpoints {
		if before, ok := a.endpoints[service]; !ok || !maps.EqualFunc(before, ports, slices.Equal[[]netip.AddrPort]) {
			a.target.SetEndpoints(service, ports)
		}
	}
	err := a.target.Publish(o.Config)
	for service := range a.endpoints {
		if _, ok := o.Endpoints[service]; !ok {
			a.target.DeleteEndpoints(service)
		}
	}
	a.endpoints = o.Endpoints
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// sameEntry reports whether two entries say the same, so that what is known of the older one's tokens stays true.
func sameEntry(a, b *keyring.Entry) bool {
	if !slices.EqualFunc(a.Keys, b.Keys, keyring.Key.Same) {
		return false
	}
	if (a.Remote == nil) != (b.Remote == nil) ||
		a.Remote != nil && (a.Remote.Source != b.Remote.Source || !slices.Equal(a.Remote.Algorithms, b.Remote.Algorithms)) {
		return false
	}
	x, y := *a, *b
	x.Keys, y.Keys, x.Remote, y.Remote = nil, nil, nil, nil
	return reflect.DeepEqual(x, y) //nolint:govet // the only errors are behind Remote, which is compared above
}

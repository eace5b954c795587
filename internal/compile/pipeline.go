package compile

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// pipelineDraft is a Pipeline on its way to a routing.Pipeline.
type pipelineDraft struct {
	object *v1alpha1.Pipeline
	key    routing.ObjectKey

	// matches that are asked for, then those that were won.
	matches  []draftMatch
	policies draftPolicies
	insecure routing.Insecure
	tls      []draftTLS

	// invalid is why the Pipeline is not accepted. Its policies are not certain then, and it is Broken.
	invalid problems
	// unresolved are its references that lead nowhere.
	unresolved problems
	// unprotected are those of them without which the Pipeline's protection can't be built, so that it is Broken.
	unprotected problems

	// What Accepted's message tells: what other Pipelines have, what can never win, which credentials are never asked, what
	// deserves a warning, and what other Pipelines don't get.
	lost, shadowed, unasked, notes, won []string
	// resolvedNotes are what the message of ResolvedRefs tells.
	resolvedNotes []string
}

// newPipelineDraft compiles a Pipeline by itself.
func newPipelineDraft(p *v1alpha1.Pipeline) *pipelineDraft {
	d := &pipelineDraft{object: p, key: routing.ObjectKey{Namespace: p.Namespace, Name: p.Name}}
	d.insecure = d.newInsecure()
	d.tls = newTLS(p.Spec.TLS, d.key, &d.invalid)
	d.matches = draftMatches(p, &d.invalid)
	d.policies = newPolicies(p, &d.invalid)
	d.warn()
	return d
}

func (d *pipelineDraft) newInsecure() routing.Insecure {
	spec := &d.object.Spec
	if spec.Insecure == "" && len(spec.TLS) == 0 {
		return routing.InsecureServe
	}
	return choose(&d.invalid, "spec.insecure", spec.Insecure,
		choice[v1alpha1.InsecurePolicy, routing.Insecure]{v1alpha1.InsecureRedirect, routing.InsecureRedirect},
		choice[v1alpha1.InsecurePolicy, routing.Insecure]{v1alpha1.InsecureRefuse, routing.InsecureRefuse},
		choice[v1alpha1.InsecurePolicy, routing.Insecure]{v1alpha1.InsecureServe, routing.InsecureServe},
	)
}

// warn notes what is valid and probably not what was meant.
func (d *pipelineDraft) warn() {
	if d.policies.jwt != nil && d.insecure == routing.InsecureServe {
		remedy := "set spec.tls"
		if len(d.object.Spec.TLS) > 0 {
			remedy = "set spec.insecure: Redirect"
		}
		d.notes = append(d.notes, "tokens travel in clear text: "+remedy)
	}
	if jwt := d.policies.jwt; jwt != nil && jwt.Enforcement == routing.EnforcementDryRun {
		d.notes = append(d.notes, "enforcement is DryRun: requests that the policies refuse are counted and served as anonymous")
	}
	d.warnOfIssuers()
	if tokensInBody(d.policies.jwt) {
		d.notes = append(d.notes, "tokens in a body reach the upstream: bodies are forwarded as they are")
	}
	if field := d.policies.audiencesUnstated; field != "" {
		d.notes = append(d.notes, format("tokens of credentials that state no audiences are refused audience_mismatch; "+
			"set %s.audiences or audienceMatchPolicy: Ignore", field))
	}
}

// linkUpstream finds the ServiceEndpoint of the Pipeline's Proxy policy. Without one the Pipeline is served all the
// same: callers without a valid token are refused as ever, the others are told that there are no endpoints.
func (d *pipelineDraft) linkUpstream(endpoints map[routing.ObjectKey]*endpointDraft) {
	proxy := d.policies.proxy
	if proxy == nil || proxy.Upstream.Name == "" {
		return
	}
	field := d.policies.proxyField + ".serviceEndpointRef.name"
	endpoint := endpoints[proxy.Upstream]
	switch {
	case endpoint == nil:
		d.unresolved.add(v1alpha1.ReasonServiceEndpointNotFound,
			"%s: ServiceEndpoint %s not found in namespace %s; create it or correct the name",
			field, quote(proxy.Upstream.Name), quote(proxy.Upstream.Namespace))
	case len(endpoint.invalid) > 0:
		d.unresolved.add(v1alpha1.ReasonServiceEndpointNotFound,
			"%s: ServiceEndpoint %s is not accepted, its own conditions say why; requests are answered 503",
			field, quote(proxy.Upstream.Name))
	case !endpoint.hasTarget():
		d.resolvedNotes = append(d.resolvedNotes, format(
			"ServiceEndpoint %s has no backend that takes requests, its own conditions say why; they are answered 503",
			quote(proxy.Upstream.Name)))
	}
	if d.policies.hostDefault && endpoint != nil && len(endpoint.object.Spec.URLs) > 0 {
		proxy.Host = routing.HostBackend
	}
}

// served reports whether something of the Pipeline is live.
func (d *pipelineDraft) served() bool { return len(d.matches) > 0 }

// broken says why the Pipeline answers 503, or is empty.
func (d *pipelineDraft) broken() string {
	if !d.served() {
		return ""
	}
	return message(slices.Concat(d.invalid.texts(), d.unprotected.texts())...)
}

// compiled is what the proxy gets. A broken Pipeline has nothing but its matches: there is nothing to serve by mistake.
func (d *pipelineDraft) compiled() routing.Pipeline {
	p := routing.Pipeline{Key: d.key, Insecure: d.insecure, Broken: d.broken()}
	for i := range d.matches {
		p.Matches = append(p.Matches, d.matches[i].Match)
	}
	if p.Broken == "" {
		p.JWT = d.policies.jwt
		p.ACLs = d.policies.acls
		p.Proxy = d.policies.proxy
		p.Terminate = d.policies.terminate
	}
	return p
}

func (d *pipelineDraft) verdict() Verdict {
	v := Verdict{UID: d.object.UID, Generation: d.object.Generation, Serving: ServingAll, Broken: d.broken()}
	switch {
	case !d.served():
		v.Serving = ServingNothing
	case v.Broken != "":
		v.Serving = ServingBroken
	}
	v.Conditions = []Condition{d.accepted(), resolvedCondition(d.unresolved, d.resolvedNotes)}
	return v
}

func (d *pipelineDraft) accepted() Condition {
	tell := slices.Concat(sorted(d.lost), sorted(d.shadowed), d.unasked, d.notes, sorted(d.won))
	if len(d.invalid) == 0 && !d.served() {
		return Condition{
			Type:    v1alpha1.ConditionAccepted,
			Status:  metav1.ConditionFalse,
			Reason:  v1alpha1.ReasonConflicted,
			Message: message(append([]string{"no match is left"}, tell...)...),
		}
	}
	return acceptedCondition(d.invalid, plural(len(d.matches), "match takes", "matches take")+" requests", tell)
}

// sorted is a sorted copy without duplicates.
func sorted(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

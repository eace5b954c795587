package compile

import (
	"slices"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Compile turns a Snapshot into what the proxy serves and a Report with a Verdict for each object that is ours.
//
// It never fails: one object's mistakes have the blast radius of that object. Objects of a kind must have distinct
// names in their namespace, as they have in an API server; of several with one name, the oldest is taken.
func Compile(s Snapshot) (routing.Config, Report) {
	w := newWorld(&s)
	report := Report{
		Pipelines:        map[routing.ObjectKey]Verdict{},
		ServiceEndpoints: map[routing.ObjectKey]Verdict{},
		Consumers:        map[routing.ObjectKey]Verdict{},
	}

	endpoints := map[routing.ObjectKey]*endpointDraft{}
	for _, object := range byAge(s.ServiceEndpoints) {
		draft := newEndpointDraft(object, w)
		endpoints[keyOf(object)] = draft
		report.ServiceEndpoints[keyOf(object)] = draft.verdict()
	}

	drafts := draftPipelines(&s)
	owners := newOwners(s.Options.HostOwnership, w.grants, drafts)
	owners.apply(drafts)
	resolveConflicts(drafts)
	noteShadowed(drafts)
	owners.noteCoveredHosts(drafts)
	config := routing.Config{Certificates: newCertificates(drafts, owners, w.secrets), ReservedHeaders: reservedHeaders(drafts)}
	noteTokenHeaders(drafts, config.ReservedHeaders)
	credentials := newCredentialsByIssuer(s.Pipelines, s.Credentials)
	for _, draft := range drafts {
		draft.noteUnasked(credentials)
		draft.linkUpstream(endpoints)
		draft.linkCredentials(w.grants)
		draft.linkIssuers(w.secrets, s.FetchProblems)
		if draft.served() {
			config.Pipelines = append(config.Pipelines, draft.compiled())
		}
		report.Pipelines[draft.key] = draft.verdict()
	}
	config.Upstreams = usedUpstreams(config.Pipelines, endpoints)

	byOldest := byAge(s.Consumers)
	identities, consumers := newIdentityOwners(byOldest), consumersByKey(byOldest)
	for _, namesakes := range byUsername(s.Consumers) {
		for _, consumer := range namesakes {
			key, _ := ConsumerOwner(consumer)
			report.Consumers[keyOf(consumer)] = consumerVerdict(consumer, newOwner(consumer, consumers[key]), namesakes, identities)
		}
	}
	return config, report
}

// draftPipelines compiles the Pipelines that are ours each by itself, oldest first.
func draftPipelines(s *Snapshot) []*pipelineDraft {
	classes := newClasses(s.Options, s.IngressClasses)
	var drafts []*pipelineDraft
	for _, object := range byAge(s.Pipelines) {
		if classes.take(object) {
			drafts = append(drafts, newPipelineDraft(object))
		}
	}
	return drafts
}

// usedUpstreams are the ServiceEndpoints that Pipelines forward to. One that doesn't exist or isn't accepted is there
// without backends.
func usedUpstreams(pipelines []routing.Pipeline, endpoints map[routing.ObjectKey]*endpointDraft) []routing.Upstream {
	var keys []routing.ObjectKey
	for i := range pipelines {
		if proxy := pipelines[i].Proxy; proxy != nil {
			keys = append(keys, proxy.Upstream)
		}
	}
	keys = uniqueKeys(keys)
	upstreams := make([]routing.Upstream, 0, len(keys))
	for _, key := range keys {
		if endpoint := endpoints[key]; endpoint != nil {
			upstreams = append(upstreams, endpoint.upstream)
		} else {
			upstreams = append(upstreams, routing.Upstream{Key: key})
		}
	}
	return slices.Clip(upstreams)
}

func consumersByKey(consumers []*v1alpha1.Consumer) map[routing.ObjectKey]*v1alpha1.Consumer {
	byKey := make(map[routing.ObjectKey]*v1alpha1.Consumer, len(consumers))
	for _, consumer := range consumers {
		byKey[keyOf(consumer)] = consumer
	}
	return byKey
}

// byUsername groups Consumers by namespace and username, oldest first.
func byUsername(consumers []*v1alpha1.Consumer) map[routing.ObjectKey][]*v1alpha1.Consumer {
	groups := map[routing.ObjectKey][]*v1alpha1.Consumer{}
	for _, c := range byAge(consumers) {
		key := usernameKey(c)
		groups[key] = append(groups[key], c)
	}
	return groups
}

func usernameKey(c *v1alpha1.Consumer) routing.ObjectKey {
	return routing.ObjectKey{Namespace: c.Namespace, Name: Username(c)}
}

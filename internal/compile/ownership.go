package compile

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// owners says which Pipeline named a host first: the host belongs to its namespace.
//
// Every Pipeline that takes requests counts, one that is Broken too: were it not to, breaking a Pipeline would hand its
// hosts, and the requests that it protects, to another namespace. Names are compared literally: "*.example.com" and
// "api.example.com" are two hosts, and requests for the latter never reach matches for the former once it has matches of
// its own.
type owners struct {
	policy HostOwnership
	grants grants
	first  map[string]*pipelineDraft
	// named are the Pipelines that name a host, oldest first, for grants that name one of them.
	named map[string][]*pipelineDraft
}

func newOwners(policy HostOwnership, g grants, drafts []*pipelineDraft) *owners {
	o := &owners{policy: policy, grants: g, first: map[string]*pipelineDraft{}, named: map[string][]*pipelineDraft{}}
	for _, draft := range drafts {
		for i := range draft.matches {
			host := draft.matches[i].Host
			if host == "" {
				continue
			}
			if o.first[host] == nil {
				o.first[host] = draft
			}
			if named := o.named[host]; len(named) == 0 || named[len(named)-1] != draft {
				o.named[host] = append(named, draft)
			}
		}
	}
	return o
}

// owner returns the Pipeline that keeps another from a host, or nil if that one may have it.
func (o *owners) owner(host string, asking routing.ObjectKey) *pipelineDraft {
	owner := o.first[host]
	if owner == nil || o.policy == HostOwnershipShared || owner.key.Namespace == asking.Namespace {
		return nil
	}
	for _, named := range o.named[host] {
		if named.key.Namespace == owner.key.Namespace && o.grants.permit(
			reference{v1alpha1.GroupName, kindPipeline, asking.Namespace},
			target{v1alpha1.GroupName, kindPipeline, named.key},
		) {
			return nil
		}
	}
	return owner
}

// apply takes those matches away whose host belongs to another namespace.
func (o *owners) apply(drafts []*pipelineDraft) {
	for _, draft := range drafts {
		refused := map[string]struct{}{}
		kept := draft.matches[:0:0]
		for i := range draft.matches {
			match := &draft.matches[i]
			owner := o.owner(match.Host, draft.key)
			if owner == nil {
				kept = append(kept, *match)
				continue
			}
			if _, told := refused[match.Host]; told {
				continue
			}
			refused[match.Host] = struct{}{}
			draft.lost = append(draft.lost, format(
				"%s.hosts: %s belongs to namespace %s, whose Pipeline %s is the oldest that names it; "+
					"choose another host, or ask for a ReferenceGrant from Pipeline to Pipeline in that namespace",
				match.field(), quote(match.Host), quote(owner.key.Namespace), quote(owner.key.Name)))
			owner.won = append(owner.won, format("host %s is kept from Pipeline %s of another namespace",
				quote(match.Host), quoteKey(draft.key)))
		}
		draft.matches = kept
	}
}

// noteCoveredHosts says of wildcards which of their hosts have Pipelines of another namespace: exact hosts come first,
// and requests for them never reach the wildcard.
func (o *owners) noteCoveredHosts(drafts []*pipelineDraft) {
	bySuffix := map[string][]string{}
	for _, host := range sortedKeys(o.first) {
		if _, suffix, ok := strings.Cut(host, "."); ok && !strings.HasPrefix(host, "*.") {
			bySuffix[suffix] = append(bySuffix[suffix], host)
		}
	}
	for _, draft := range drafts {
		var told []string
		for i := range draft.matches {
			match := &draft.matches[i]
			suffix, wildcard := strings.CutPrefix(match.Host, "*.")
			if !wildcard || slices.Contains(told, match.Host) {
				continue
			}
			told = append(told, match.Host)
			for _, host := range bySuffix[suffix] {
				if owner := o.first[host]; owner.key.Namespace != draft.key.Namespace {
					draft.notes = append(draft.notes, format("%s.hosts: %s takes no requests for %s, a host of namespace %s",
						match.field(), quote(match.Host), quote(host), quote(owner.key.Namespace)))
				}
			}
		}
	}
}

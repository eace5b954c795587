package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// newClaimHeaders compiles the claims that are forwarded in headers.
func newClaimHeaders(field string, claims []v1alpha1.ClaimToHeader, errs *problems) []routing.ClaimHeader {
	var drafts []routing.ClaimHeader
	seen := map[string]struct{}{}
	for i := range claims {
		at := fmt.Sprintf("%s[%d]", field, i)
		header := claims[i].Header
		usable := false
		switch {
		case !isClaimHeader(header):
			errs.invalid("%s.header: %s can't be set; write X- and letters, digits and hyphens, and no header that Ostiary sets by itself",
				at, quote(header))
		case !addNew(seen, strings.ToLower(header)):
			errs.invalid("%s.header: %s is set twice; leave one of them out", at, quote(header))
		default:
			usable = true
		}
		checkPointer(at+".claim", claims[i].Claim, errs)
		draft := routing.ClaimHeader{
			Header: header,
			Claim:  claims[i].Claim,
			Encoding: choose(errs, at+".encoding", claims[i].Encoding,
				choice[v1alpha1.ClaimEncoding, routing.ClaimEncoding]{v1alpha1.ClaimEncodingCommaSeparated, routing.ClaimCommaSeparated},
				choice[v1alpha1.ClaimEncoding, routing.ClaimEncoding]{v1alpha1.ClaimEncodingJSON, routing.ClaimJSON},
			),
		}
		if usable { // whatever else is wrong: the header is reserved all the same
			drafts = append(drafts, draft)
		}
	}
	return drafts
}

func addNew(set map[string]struct{}, name string) bool {
	_, there := set[name]
	set[name] = struct{}{}
	return !there
}

// isClaimHeader reports whether a policy may put a claim into a header of that name: none that tells who calls, that the
// proxy writes anew or that other servers take for the request's target.
func isClaimHeader(name string) bool {
	return len(name) >= 3 && head.FateOf(name) == head.Kept && strings.EqualFold(name[:2], "x-")
}

// reservedHeaders are the headers that Pipelines put claims into, by namespace. A Pipeline that is broken, or that lost
// all its matches, counts as well: upstreams trust the header on the namespace's other routes all the same.
func reservedHeaders(drafts []*pipelineDraft) []routing.ReservedHeaders {
	names := map[string][]string{}
	for _, d := range drafts {
		if d.policies.jwt == nil {
			continue
		}
		for _, h := range d.policies.jwt.ClaimHeaders {
			names[d.key.Namespace] = append(names[d.key.Namespace], strings.ToLower(h.Header))
		}
	}
	var reserved []routing.ReservedHeaders
	for _, namespace := range sortedKeys(names) {
		reserved = append(reserved, routing.ReservedHeaders{Namespace: namespace, Names: sorted(names[namespace])})
	}
	return reserved
}

// noteTokenHeaders warns of Pipelines whose tokens are in a header that is removed since the namespace puts claims into it.
func noteTokenHeaders(drafts []*pipelineDraft, reserved []routing.ReservedHeaders) {
	for _, d := range drafts {
		if d.policies.jwt == nil {
			continue
		}
		at := slices.IndexFunc(reserved, func(r routing.ReservedHeaders) bool { return r.Namespace == d.key.Namespace })
		if at < 0 {
			continue
		}
		for _, source := range d.policies.jwt.TokenSources {
			if source.Type == routing.SourceHeader && slices.Contains(reserved[at].Names, strings.ToLower(source.Name)) {
				d.notes = append(d.notes, format("tokens in the header %s are not found: a Pipeline of the namespace puts a claim "+
					"into it, so clients can't send it; choose another header", quote(source.Name)))
			}
		}
	}
}

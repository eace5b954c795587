package refusal

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documented is the vocabulary as the API documents it, in the order of declaration.
func documented() map[string]int {
	return map[string]int{
		"internal":              500,
		"request_malformed":     400,
		"path_ambiguous":        400,
		"target_too_large":      414,
		"head_too_large":        431,
		"body_too_large":        413,
		"body_timeout":          408,
		"misdirected":           421,
		"no_route":              404,
		"method_not_allowed":    405,
		"insecure_transport":    403,
		"pipeline_not_ready":    503,
		"token_missing":         401,
		"token_ambiguous":       400,
		"token_too_large":       431,
		"token_malformed":       401,
		"algorithm_not_allowed": 401,
		"issuer_unknown":        401,
		"credential_unknown":    401,
		"credential_suspended":  401,
		"consumer_unknown":      401,
		"consumer_suspended":    401,
		"key_unknown":           401,
		"token_revoked":         401,
		"keys_unavailable":      503,
		"signature_invalid":     401,
		"token_expired":         401,
		"token_not_yet_valid":   401,
		"lifetime_too_long":     401,
		"type_not_allowed":      401,
		"audience_mismatch":     401,
		"claim_missing":         401,
		"claim_mismatch":        401,
		"binding_failed":        401,
		"scope_missing":         403,
		"group_denied":          403,
		"no_endpoints":          503,
		"overloaded":            503,
		"upstream_connect":      502,
		"upstream_protocol":     502,
		"upstream_timeout":      504,
	}
}

func TestEveryReasonHasItsDocumentedWordAndStatus(t *testing.T) {
	got := map[string]int{}
	for r := range All() {
		word := r.String()
		if _, twice := got[word]; twice {
			t.Errorf("reason %d has the word %q, which another reason has", r, word)
		}
		got[word] = r.Status()
	}
	if diff := cmp.Diff(documented(), got); diff != "" {
		t.Errorf("vocabulary (-want +got):\n%s", diff)
	}
}

func TestWordsAreMetricLabels(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for r := range All() {
		if !form.MatchString(r.String()) {
			t.Errorf("reason %d: the word %q is not in snake case", r, r)
		}
	}
}

func TestUnknownReasonIsOurFault(t *testing.T) {
	for _, r := range []Reason{reasons, 255} {
		if r.String() != "internal" || r.Status() != 500 {
			t.Errorf("reason %d is %q with status %d, want internal with status 500", uint8(r), r, r.Status())
		}
	}
}

func TestAllStopsWhenAskedTo(t *testing.T) {
	var got []Reason
	for r := range All() {
		got = append(got, r)
		if len(got) == 2 {
			break
		}
	}
	if !slices.Equal(got, []Reason{Internal, RequestMalformed}) {
		t.Errorf("the first two reasons are %v", got)
	}
}

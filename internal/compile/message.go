package compile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// A condition's message is for people: these bounds keep it readable, and the object's status small.
const (
	maxMessageItems = 8
	maxMessageBytes = 2048
	maxQuotedRunes  = 128
)

// problem is one thing that is wrong with an object.
type problem struct {
	reason v1alpha1.Reason
	// text starts with the field at fault and says what to write.
	text string
}

// problems collects what is wrong with an object, in the order of its fields.
type problems []problem

func (p *problems) add(reason v1alpha1.Reason, format string, args ...any) {
	*p = append(*p, problem{reason: reason, text: fmt.Sprintf(format, args...)})
}

func (p *problems) invalid(format string, args ...any) {
	p.add(v1alpha1.ReasonInvalid, format, args...)
}

func (p problems) texts() []string {
	texts := make([]string, 0, len(p))
	for _, one := range p {
		texts = append(texts, one.text)
	}
	return texts
}

// reason is the first of the order's reasons that some problem has, so that it doesn't depend on which came first.
func (p problems) reason(order ...v1alpha1.Reason) v1alpha1.Reason {
	for _, reason := range order {
		for _, one := range p {
			if one.reason == reason {
				return reason
			}
		}
	}
	return v1alpha1.ReasonInvalid
}

// acceptedReason orders the reasons of Accepted=False: a mistake of the user's comes before a value that this version
// doesn't know, and both before a conflict, which may go away by itself.
func (p problems) acceptedReason() v1alpha1.Reason {
	return p.reason(v1alpha1.ReasonInvalid, v1alpha1.ReasonUnsupportedValue, v1alpha1.ReasonConflicted)
}

// resolvedReason orders the reasons of ResolvedRefs=False.
func (p problems) resolvedReason() v1alpha1.Reason {
	return p.reason(
		v1alpha1.ReasonRefNotPermitted,
		v1alpha1.ReasonServiceEndpointNotFound,
		v1alpha1.ReasonServiceNotFound,
		v1alpha1.ReasonConsumerNotFound,
		v1alpha1.ReasonSecretNotFound,
		v1alpha1.ReasonKeyNotFound,
		v1alpha1.ReasonInvalid,
	)
}

// acceptedCondition is Accepted of an object: False with its problems, or True with the summary and notes.
func acceptedCondition(p problems, summary string, notes []string) Condition {
	if len(p) > 0 {
		return Condition{
			Type:    v1alpha1.ConditionAccepted,
			Status:  metav1.ConditionFalse,
			Reason:  p.acceptedReason(),
			Message: message(append(p.texts(), notes...)...),
		}
	}
	return Condition{
		Type:    v1alpha1.ConditionAccepted,
		Status:  metav1.ConditionTrue,
		Reason:  v1alpha1.ReasonAccepted,
		Message: message(append([]string{summary}, notes...)...),
	}
}

// resolvedCondition is ResolvedRefs of an object.
func resolvedCondition(p problems, notes []string) Condition {
	if len(p) > 0 {
		return Condition{
			Type:    v1alpha1.ConditionResolvedRefs,
			Status:  metav1.ConditionFalse,
			Reason:  p.resolvedReason(),
			Message: message(append(p.texts(), notes...)...),
		}
	}
	return Condition{
		Type:    v1alpha1.ConditionResolvedRefs,
		Status:  metav1.ConditionTrue,
		Reason:  v1alpha1.ReasonResolvedRefs,
		Message: message(append([]string{"every reference is resolved"}, notes...)...),
	}
}

// message joins the items as sentences, and says how many did not fit.
func message(items ...string) string {
	var b strings.Builder
	for i, item := range items {
		more := fmt.Sprintf(". And %d more", len(items)-i)
		if i == maxMessageItems || b.Len()+len(". ")+len(item)+len(more) > maxMessageBytes {
			if i == 0 {
				return truncate(item, maxMessageBytes/utf8.UTFMax)
			}
			b.WriteString(more)
			break
		}
		if i > 0 {
			b.WriteString(". ")
		}
		b.WriteString(item)
	}
	return b.String()
}

// format is fmt.Sprintf; the name says that the result is for people.
func format(layout string, args ...any) string {
	return fmt.Sprintf(layout, args...)
}

// quote quotes what a user wrote, so that it can't pose as part of the message, and bounds it.
func quote[S ~string](s S) string {
	return strconv.Quote(truncate(string(s), maxQuotedRunes))
}

// truncate keeps the first runes of a string.
func truncate(s string, runes int) string {
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	n := 0
	for i := range s {
		if n == runes {
			return s[:i] + "..."
		}
		n++
	}
	return s
}

// quoteKey names an object of a known kind.
func quoteKey(key routing.ObjectKey) string {
	return quote(key.Namespace + "/" + key.Name)
}

// oneOf lists the values that a field takes: "A, B or C".
func oneOf(values []string) string {
	switch n := len(values); n {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		return strings.Join(values[:n-1], ", ") + " or " + values[n-1]
	}
}

// choice is one value of an enum and what it means to the proxy.
type choice[K ~string, V any] struct {
	value K
	means V
}

// choose translates an enum. The first choice is the default of an absent value. An unknown value, which the API server
// refuses unless its CRD is newer than this program, is a problem.
func choose[K ~string, V any](p *problems, field string, value K, choices ...choice[K, V]) V {
	if value == "" {
		return choices[0].means
	}
	values := make([]string, 0, len(choices))
	for _, c := range choices {
		if c.value == value {
			return c.means
		}
		values = append(values, string(c.value))
	}
	p.add(v1alpha1.ReasonUnsupportedValue, "%s: %s is not supported; write %s", field, quote(value), oneOf(values))
	var none V
	return none
}

// plural writes a count with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

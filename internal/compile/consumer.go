package compile

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// consumerVerdict judges a Consumer with its owner, among those of its namespace with the same username, oldest first, and
// among those that have identities. An identity that is another's takes nothing else from the Consumer.
func consumerVerdict(c *v1alpha1.Consumer, o owner, namesakes []*v1alpha1.Consumer, identities identityOwners) Verdict {
	v := Verdict{UID: c.UID, Generation: c.Generation, Serving: ServingAll}
	var errs problems
	var notes []string
	checkConsumer(c, &errs)
	o.check(c, &errs)
	if oldest := namesakes[0]; oldest.Name != c.Name {
		errs.add(v1alpha1.ReasonConflicted, "spec.username: %s is taken by Consumer %s, which is older; choose another, "+
			"until then tokens of this Consumer's credentials are refused", quote(Username(c)), quote(oldest.Name))
	} else {
		for _, other := range namesakes[1:] {
			notes = append(notes, format("username %s is kept from Consumer %s, which is younger", quote(Username(c)), quote(other.Name)))
		}
	}
	if len(errs) > 0 {
		v.Serving = ServingNothing
	}
	errs = append(errs, identities.conflicts(c)...)
	v.Conditions = append([]Condition{acceptedCondition(errs, "the Consumer is valid", notes)}, o.conditions(c)...)
	return v
}

// checkConsumer finds what the API server would have refused: values that can't be sent as identity headers.
func checkConsumer(c *v1alpha1.Consumer, errs *problems) {
	choose(errs, "spec.type", c.Spec.Type,
		choice[v1alpha1.ConsumerType, struct{}]{value: v1alpha1.ConsumerApplication},
		choice[v1alpha1.ConsumerType, struct{}]{value: v1alpha1.ConsumerUser},
	)
	if !isVisible(Username(c)) {
		errs.invalid("spec.username: %s can't be sent as a header; write visible ASCII characters", quote(Username(c)))
	}
	for i, group := range c.Spec.Groups {
		if !isGroup(group) {
			errs.invalid("spec.groups[%d]: %s can't be sent in a header; write visible ASCII characters without commas", i, quote(group))
		}
	}
	checkIdentities(c, errs)
	for i := range len(c.Spec.CustomID) {
		if b := c.Spec.CustomID[i]; b < ' ' || b > '~' {
			errs.invalid("spec.customID: can't be sent as a header; write printable ASCII characters")
			break
		}
	}
}

// isVisible reports whether a string consists of visible ASCII characters, at least one.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// isGroup reports whether a string can be a group: groups are sent in one header, joined by commas.
func isGroup(s string) bool { return isVisible(s) && !strings.Contains(s, ",") }

func isSuspended(suspend *bool) bool { return suspend != nil && *suspend }

func newState(suspend *bool) keyring.State {
	if isSuspended(suspend) {
		return keyring.StateSuspended
	}
	return keyring.StateActive
}

// newConsumer is what the proxy knows of a Consumer. One is suspended with its owner.
func newConsumer(c *v1alpha1.Consumer, o owner) *keyring.Consumer {
	state := newState(c.Spec.Suspend)
	if o.suspends() {
		state = keyring.StateSuspended
	}
	return keyring.NewConsumer(keyring.Consumer{
		Key:      routing.ObjectKey{Namespace: c.Namespace, Name: c.Name},
		UID:      string(c.UID),
		Username: Username(c),
		CustomID: c.Spec.CustomID,
		Groups:   stated(c.Spec.Groups),
		Scopes:   stated(c.Spec.Scopes),
		State:    state,
	})
}

// stated copies a list; an empty one states nothing, like an absent one.
func stated(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

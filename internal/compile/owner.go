package compile

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// owner is what the ownerRef of a Consumer leads to; the zero value is that of a Consumer without one. Since only Users
// own and only Applications are owned, an owner has no owner.
type owner struct {
	// named says that there is an ownerRef; name is what it says.
	named bool
	name  string
	// object is nil where no Consumer of the namespace has that name.
	object *v1alpha1.Consumer
}

// newOwner takes a candidate for what it is: a Consumer of another name or namespace is not the owner.
func newOwner(c, candidate *v1alpha1.Consumer) owner {
	key, named := ConsumerOwner(c)
	if !named {
		return owner{}
	}
	if candidate != nil && keyOf(candidate) != key {
		candidate = nil
	}
	return owner{named: true, name: key.Name, object: candidate}
}

func (o owner) missing() bool { return o.named && o.object == nil }

// suspends reports whether the owner takes its applications down with it. One that does not exist does: it was deleted
// with all that it owned, or it is yet to come.
func (o owner) suspends() bool {
	return o.missing() || o.object != nil && isSuspended(o.object.Spec.Suspend)
}

// check finds owners of a type that can't own, and Consumers of a type that can't be owned.
func (o owner) check(c *v1alpha1.Consumer, errs *problems) {
	if o.named && c.Spec.Type == v1alpha1.ConsumerUser {
		errs.invalid("spec.ownerRef: a Consumer of type User has no owner; leave it out, or write type Application")
	}
	if o.object != nil && o.object.Spec.Type != v1alpha1.ConsumerUser {
		errs.invalid("spec.ownerRef.name: Consumer %s is not of type User; write the name of one that is", quote(o.name))
	}
}

// conditions are ResolvedRefs, where there is a reference, and Suspended.
func (o owner) conditions(c *v1alpha1.Consumer) []Condition {
	if !o.named {
		return []Condition{o.suspended(c)}
	}
	var unresolved problems
	if o.missing() {
		unresolved.add(v1alpha1.ReasonConsumerNotFound,
			"spec.ownerRef.name: Consumer %s not found in namespace %s; create it or correct the name, "+
				"until then tokens of this Consumer's credentials are refused consumer_suspended", quote(o.name), quote(c.Namespace))
	}
	return []Condition{resolvedCondition(unresolved, nil), o.suspended(c)}
}

func (o owner) suspended(c *v1alpha1.Consumer) Condition {
	condition := Condition{Type: v1alpha1.ConditionSuspended, Status: metav1.ConditionTrue}
	const consequence = ": tokens of all its credentials are refused consumer_suspended"
	switch {
	case isSuspended(c.Spec.Suspend):
		condition.Reason = v1alpha1.ReasonSuspended
		condition.Message = "spec.suspend is true" + consequence
	case o.missing():
		condition.Reason = v1alpha1.ReasonOwnerSuspended
		condition.Message = format("its owner, Consumer %s, doesn't exist", quote(o.name)) + consequence
	case o.suspends():
		condition.Reason = v1alpha1.ReasonOwnerSuspended
		condition.Message = format("its owner, Consumer %s, is suspended", quote(o.name)) + consequence
	default:
		condition.Status = metav1.ConditionFalse
		condition.Reason = v1alpha1.ReasonActive
		condition.Message = "the Consumer is active"
	}
	return condition
}

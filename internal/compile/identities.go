package compile

import (
	"fmt"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/keyring"
)

// identityKey is what must be unique among the identities of Consumers.
type identityKey struct {
	namespace, issuer, claim, value string
}

func identityKeyOf(c *v1alpha1.Consumer, i *v1alpha1.ConsumerIdentity) identityKey {
	return identityKey{c.Namespace, i.Issuer, i.Claim, i.Value}
}

// identityOwners are the Consumers that have identities: the oldest of those with the same one, also while something is
// wrong with it, since a mistake must not hand tokens over to another Consumer.
type identityOwners map[identityKey]*v1alpha1.Consumer

// newIdentityOwners takes Consumers, oldest first.
func newIdentityOwners(consumers []*v1alpha1.Consumer) identityOwners {
	owners := identityOwners{}
	for _, c := range consumers {
		for i := range c.Spec.Identities {
			key := identityKeyOf(c, &c.Spec.Identities[i])
			if owners[key] == nil {
				owners[key] = c
			}
		}
	}
	return owners
}

// conflicts are the identities of a Consumer that an older one has.
func (o identityOwners) conflicts(c *v1alpha1.Consumer) problems {
	var errs problems
	for i := range c.Spec.Identities {
		identity := &c.Spec.Identities[i]
		if owner := o[identityKeyOf(c, identity)]; owner != nil && owner.Name != c.Name {
			errs.add(v1alpha1.ReasonConflicted, "spec.identities[%d]: %s %s of issuer %s is that of Consumer %s, which is older; "+
				"remove it here or there, until then such tokens stand for that Consumer; everything else of this one is served",
				i, quote(identity.Claim), quote(identity.Value), quote(identity.Issuer), quote(owner.Name))
		}
	}
	return errs
}

// checkIdentities finds what the API server would have refused.
func checkIdentities(c *v1alpha1.Consumer, errs *problems) {
	for i := range c.Spec.Identities {
		identity := &c.Spec.Identities[i]
		for _, member := range []struct{ name, value string }{
			{"issuer", identity.Issuer}, {"claim", identity.Claim}, {"value", identity.Value},
		} {
			if member.value == "" {
				errs.invalid("%s.%s: is missing; write what the token says", fmt.Sprintf("spec.identities[%d]", i), member.name)
			}
		}
	}
}

// Identities says which Consumers the tokens of external issuers stand for, oldest Consumer first. Where that one is not
// accepted, such tokens stand for nobody.
func Identities(s Snapshot) []keyring.Identity {
	consumers := byAge(s.Consumers)
	owners := newIdentityOwners(consumers)
	namesakes, byKey := byUsername(s.Consumers), consumersByKey(consumers)
	var identities []keyring.Identity
	for _, c := range consumers {
		var consumer *keyring.Consumer
		if len(c.Spec.Identities) == 0 {
			continue
		}
		key, _ := ConsumerOwner(c)
		o := newOwner(c, byKey[key])
		if consumerVerdict(c, o, namesakes[usernameKey(c)], nil).Serving != ServingNothing {
			consumer = newConsumer(c, o)
		}
		for i := range c.Spec.Identities {
			identity := &c.Spec.Identities[i]
			if owners[identityKeyOf(c, identity)] != c {
				continue
			}
			identities = append(identities, keyring.Identity{
				Namespace: c.Namespace, Issuer: identity.Issuer, Claim: identity.Claim, Value: identity.Value, Consumer: consumer,
			})
		}
	}
	return identities
}

package keyring

import "slices"

// Identity says that the tokens of an external issuer with a certain claim stand for a Consumer.
type Identity struct {
	// Namespace is the Consumer's; Pipelines of others don't see the Identity.
	Namespace string
	// Issuer is compared with `iss`, Value with the claim named Claim, both exactly.
	Issuer, Claim, Value string
	// Consumer that such tokens stand for; nil where it is not accepted, so that they stand for nobody.
	Consumer *Consumer
}

// identities are those of a namespace. It is immutable.
type identities map[string]issuerIdentities

// issuerIdentities are those of one issuer.
type issuerIdentities struct {
	claims []string // each once
	values map[claimValue]ranked
}

type claimValue struct{ claim, value string }

type ranked struct {
	consumer *Consumer
	rank     int
}

// SetIdentities makes the identities of all namespaces exactly these, oldest Consumer first: of several with the same
// issuer, claim and value, and of several that one token has, the first is taken. When it returns, every lookup that
// starts finds them.
func (k *Keyring) SetIdentities(all []Identity) {
	byNamespace := map[string]identities{}
	for rank, i := range all {
		of := byNamespace[i.Namespace]
		if of == nil {
			of = identities{}
			byNamespace[i.Namespace] = of
		}
		issuer, ok := of[i.Issuer]
		if !ok {
			issuer.values = map[claimValue]ranked{}
		}
		issuer.add(i, rank)
		of[i.Issuer] = issuer
		k.Namespace(i.Namespace)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, n := range k.namespaces {
		if of, ok := byNamespace[name]; ok {
			n.identities.Store(&of)
		} else {
			n.identities.Store(nil)
		}
	}
}

func (i *issuerIdentities) add(identity Identity, rank int) {
	key := claimValue{identity.Claim, identity.Value}
	if _, taken := i.values[key]; taken {
		return
	}
	i.values[key] = ranked{identity.Consumer, rank}
	if !slices.Contains(i.claims, identity.Claim) {
		i.claims = append(i.claims, identity.Claim)
	}
}

// ByIdentity returns the Identity of a token of an issuer, with the Consumer that it stands for; claim returns the token's
// claim of a name, where it is a string. known says whether there is one, also one whose Consumer is not accepted.
func (n *Namespace) ByIdentity(issuer string, claim func(name string) (string, bool)) (identity Identity, known bool) {
	all := n.identities.Load()
	if all == nil {
		return Identity{}, false
	}
	of := (*all)[issuer]
	best := ranked{}
	for _, name := range of.claims {
		value, ok := claim(name)
		if !ok {
			continue
		}
		if found, ok := of.values[claimValue{name, value}]; ok && (!known || found.rank < best.rank) {
			best, known = found, true
			identity.Claim, identity.Value = name, value
		}
	}
	identity.Consumer = best.consumer
	return identity, known
}

// Stands returns the Consumer that an identity stands for, nil where it stands for none any more.
func (n *Namespace) Stands(issuer, claim, value string) *Consumer {
	all := n.identities.Load()
	if all == nil {
		return nil
	}
	return (*all)[issuer].values[claimValue{claim, value}].consumer
}

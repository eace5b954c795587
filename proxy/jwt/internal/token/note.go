package token

// Slot is a place beside a token that the cache knows, for something that follows from the token's claims and from the
// configuration alone.
type Slot uint8

// The slots, each for one thing.
const (
	// SlotFields is for header fields.
	SlotFields Slot = iota
	// SlotScopes is for scopes.
	SlotScopes
	slots
)

// note is what is noted in a slot.
type note struct{ value any }

// noteBytes is how many bytes may be noted beside a token, in all slots together.
func noteBytes(p *parts) int { return 256 + p.octets/2 }

// Noted returns what was noted last, nil where nothing was. Others may have noted it, for another configuration.
func (v *Verified) Noted(slot Slot) any {
	if v.known == nil {
		return nil
	}
	if n := v.known.notes[slot].Load(); n != nil {
		return n.value
	}
	return nil
}

// Note has a value of that many bytes returned by Noted for the same token from now on, where the cache knows the token
// and the value is not too large. Nobody may change it any more.
func (v *Verified) Note(slot Slot, value any, bytes int) {
	if v.known != nil && bytes <= noteBytes(v.known.parts)/int(slots) {
		v.known.notes[slot].Store(&note{value})
	}
}

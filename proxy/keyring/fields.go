package keyring

import (
	"errors"
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
)

// callerFields are the fields that tell upstreams who calls, worked out once for a Consumer and a keyID.
type callerFields struct {
	of    *Consumer
	keyID string
	block head.Block
	err   error
}

var errNoConsumer = errors.New("there is no consumer to tell upstreams of")

func newCallerFields(c *Consumer, keyID string) callerFields {
	block, err := head.NewBlock(
		head.Field{Name: head.HeaderUsername, Value: c.Username},
		head.Field{Name: head.HeaderNamespace, Value: c.Key.Namespace},
		head.Field{Name: head.HeaderID, Value: c.UID},
		head.Field{Name: head.HeaderCustomID, Value: c.CustomID},
		head.Field{Name: head.HeaderGroups, Value: strings.Join(c.Groups, ",")},
		head.Field{Name: head.HeaderCredential, Value: keyID},
	)
	return callerFields{of: c, keyID: keyID, block: block, err: err}
}

// are reports whether these are the fields of exactly that Consumer and keyID: a struct that was copied and changed still
// has those of the other.
func (f *callerFields) are(of *Consumer, keyID string) bool { return f.of == of && f.keyID == keyID }

// Fields are what upstreams are told of the Consumer. It fails where something of it can't be the value of a field, which the
// API does not admit.
func (c *Consumer) Fields() (head.Block, error) {
	if c.fields.are(c, "") {
		return c.fields.block, c.fields.err
	}
	made := newCallerFields(c, "")
	return made.block, made.err
}

// Fields are what upstreams are told of a caller with the credential; see Consumer.Fields. It fails where there is no Consumer.
func (e *Entry) Fields() (head.Block, error) {
	if e.Consumer == nil {
		return head.Block{}, errNoConsumer
	}
	if e.fields.are(e.Consumer, e.KeyID) {
		return e.fields.block, e.fields.err
	}
	made := newCallerFields(e.Consumer, e.KeyID)
	return made.block, made.err
}

// prepare works out what is needed at each request. The entry is in no Keyring yet, or was prepared before.
func (e *Entry) prepare() {
	if e.Consumer != nil && !e.fields.are(e.Consumer, e.KeyID) {
		e.fields = newCallerFields(e.Consumer, e.KeyID)
	}
}

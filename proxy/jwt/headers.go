package jwt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/internal/strictjson"
	"github.com/ostiary/ostiary/proxy/jsonpointer"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// maxHeaderValue bounds the value of a field that a claim is put into, in bytes: many servers take no longer line.
const maxHeaderValue = 8192

// claimHeader puts a claim into a field.
type claimHeader struct {
	name     string
	claim    jsonpointer.Pointer
	encoding routing.ClaimEncoding
}

// claimField is a header field with the claim that was put into it.
type claimField struct{ name, value string }

func newClaimHeaders(configured []routing.ClaimHeader) ([]claimHeader, error) {
	compiled := make([]claimHeader, 0, len(configured))
	for _, c := range configured {
		if c.Header == "" || strings.ContainsFunc(c.Header, notToken) {
			return nil, fmt.Errorf("claim header: %q is no field name", c.Header)
		}
		if c.Encoding > routing.ClaimJSON {
			return nil, fmt.Errorf("claim header %s: encoding %d is not known", c.Header, c.Encoding)
		}
		claim, err := jsonpointer.Parse(c.Claim)
		if err != nil {
			return nil, fmt.Errorf("claim header %s: parse the claim's pointer: %w", c.Header, err)
		}
		compiled = append(compiled, claimHeader{name: c.Header, claim: claim, encoding: c.Encoding})
	}
	return compiled, nil
}

// claimFields are the fields that a verified token's claims are forwarded in. A claim that can't be written as it was
// asked for refuses the token: an upstream that finds no field would take the claim for absent.
func (p *Policy) claimFields(v *token.Verified) ([]claimField, *Refused) {
	if len(p.headers) == 0 {
		return nil, nil
	}
	fields := make([]claimField, 0, len(p.headers))
	payload := v.Payload()
	for i := range p.headers {
		h := &p.headers[i]
		claim, found, err := h.claim.Find(payload)
		if err == nil && (!found || claim.IsNull()) {
			continue
		}
		value, ok := "", false
		if err == nil {
			value, ok = h.encode(claim)
		}
		switch {
		case !ok:
			return nil, &Refused{Reason: refusal.ClaimMismatch, Message: "the claim for " + h.name + " has no form that the header can have"}
		case len(value) > maxHeaderValue:
			return nil, &Refused{Reason: refusal.ClaimMismatch, Message: "the claim for " + h.name + " is too long for a header"}
		case value != "":
			fields = append(fields, claimField{name: h.name, value: value})
		}
	}
	return fields, nil
}

// SetClaims puts the claims of the token that was allowed into the header fields that the policy forwards them in. What
// clients sent under these names must have been removed.
func (p *Policy) SetClaims(h head.Head, a *Allowed) {
	if a.by != p {
		return
	}
	for _, f := range a.fields {
		h.Set(f.name, f.value)
	}
}

func (h *claimHeader) encode(claim strictjson.Value) (string, bool) {
	if h.encoding == routing.ClaimJSON {
		return asciiJSON(claim)
	}
	if claim.IsObject() {
		return "", false
	}
	texts, whole := scalars(claim)
	if !whole {
		return "", false
	}
	var b strings.Builder
	for i, text := range texts {
		if i > 0 {
			b.WriteByte(',')
		}
		escape(&b, text)
	}
	return b.String(), true
}

// escape writes a value percent-encoded where it could be taken for something else: all that is not printable ASCII, the
// comma that separates values, the percent sign itself, and spaces at the ends, which no field value keeps.
func escape(b *strings.Builder, text string) {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c >= 0x7f, c == '%', c == ',', c == ' ' && (i == 0 || i == len(text)-1):
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
}

// asciiJSON is a value without white space and with escapes for all that is not printable ASCII. Of an object that could
// be read in two ways it returns false.
func asciiJSON(v strictjson.Value) (string, bool) {
	if !v.Unambiguous() {
		return "", false
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(v.Raw())); err != nil {
		return "", false
	}
	var b strings.Builder
	for _, r := range compact.String() {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String(), true
}

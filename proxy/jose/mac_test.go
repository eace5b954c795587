package jose

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// TestMACs holds what one secret's states say against golang-jwt, one after the other and at the same time.
func TestMACs(t *testing.T) {
	secret := make([]byte, 64)
	_, _ = rand.Read(secret)
	for _, a := range []Algorithm{HS256, HS384, HS512} {
		keys, problems, _ := Parse(secret, Options{Format: FormatOctets, Algorithms: []Algorithm{a}})
		if len(keys) != 1 {
			t.Fatal(problems)
		}
		key, method := keys[0], jwt.GetSigningMethod(string(a))
		var group sync.WaitGroup
		for g := range 4 {
			group.Go(func() {
				for i := range 50 {
					input := strings.Repeat("x", i*g*300) + "." + string(rune('a'+i%26))
					signature, err := method.Sign(input, secret)
					if err != nil {
						t.Error(err)
						return
					}
					if err := key.Verify(a, input, signature); err != nil {
						t.Errorf("%s: %d bytes: %v", a, len(input), err)
					}
					for _, wrong := range [][]byte{nil, {}, signature[:len(signature)-1], append(slices.Clip(signature), 0)} {
						if err := key.Verify(a, input, wrong); !errors.Is(err, ErrSignature) {
							t.Errorf("%s: a signature of %d bytes: %v", a, len(wrong), err)
						}
					}
					signature[i%len(signature)] ^= 1
					if err := key.Verify(a, input, signature); !errors.Is(err, ErrSignature) {
						t.Errorf("%s: an altered signature: %v", a, err)
					}
					signature[i%len(signature)] ^= 1
					if err := key.Verify(a, input+"y", signature); !errors.Is(err, ErrSignature) {
						t.Errorf("%s: an altered input: %v", a, err)
					}
				}
			})
		}
		group.Wait()
	}
}

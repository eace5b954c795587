package expr

import "testing"

// TestNoOtherVariables: what is not listed is not there, whatever an expression asks for.
func TestNoOtherVariables(t *testing.T) {
	a := &activation{vars: Variables{Head: &request{}}}
	if value, ok := a.ResolveName("token"); ok || value != nil {
		t.Errorf("token is %v, %t", value, ok)
	}
}

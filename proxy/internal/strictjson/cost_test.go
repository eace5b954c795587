//go:build !race

package strictjson

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestManyMembersCostLittle: comparing the names one by one would take a hundred times as long as indexing them, which is
// some milliseconds. The race detector slows memory down too much to tell.
func TestManyMembersCostLittle(t *testing.T) {
	var text strings.Builder
	text.WriteByte('{')
	for i := range 50_000 {
		fmt.Fprintf(&text, `"%d":0,`, i)
	}
	text.WriteString(`"last":0}`)
	start := time.Now()
	if _, err := Parse([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("50000 members took %v", took)
	}
}

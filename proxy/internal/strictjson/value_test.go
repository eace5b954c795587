package strictjson

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNative(t *testing.T) {
	for text, want := range map[string]any{
		`{}`: map[string]any{},
		`{"a":null,"b":true,"c":false,"d":"x\u0041","e":[],"f":{}}`: map[string]any{
			"a": nil, "b": true, "c": false, "d": "xA", "e": []any{}, "f": map[string]any{},
		},
		`{"a":1,"b":-0,"c":9223372036854775807,"d":9223372036854775808,"e":1.0,"f":1e2,"g":-1.5}`: map[string]any{
			"a": int64(1), "b": int64(0), "c": int64(9223372036854775807), "d": 9223372036854775808.0, "e": 1.0, "f": 100.0, "g": -1.5,
		},
		`{"a":[1,"b",[null,{"c":[true]}]]}`: map[string]any{
			"a": []any{int64(1), "b", []any{nil, map[string]any{"c": []any{true}}}},
		},
		`{"a":{"b":1,"b":2}}`:   nil,
		`{"a":{"b":1,"B":2}}`:   nil,
		`{"a":[{"b":1,"b":2}]}`: nil,
		`{"a":1e999}`:           nil,
	} {
		o, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, ok := o.Native()
		if ok != (want != nil) {
			t.Errorf("%s: ok %t", text, ok)
			continue
		}
		if !ok {
			continue
		}
		if diff := cmp.Diff(want, any(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestObjectOfValue(t *testing.T) {
	o, err := Parse([]byte(`{"good":{"a":{"b":1}},"twice":{"a":1,"A":2},"list":[1],"text":"{}","null":null,"true":true}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][4]bool{ // Object, IsObject, IsArray, IsNull
		"good":  {true, true, false, false},
		"twice": {false, true, false, false},
		"list":  {false, false, true, false},
		"text":  {false, false, false, false},
		"null":  {false, false, false, true},
	} {
		v, _ := o.Get(name)
		inner, ok := v.Object()
		if got := [4]bool{ok, v.IsObject(), v.IsArray(), v.IsNull()}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if ok && !inner.Has("a") {
			t.Errorf("%s has no a", name)
		}
	}
	v, _ := o.Get("true")
	if value, ok := v.Bool(); !value || !ok {
		t.Error("true is not true")
	}
	if value, ok := (Value{}).Bool(); value || ok {
		t.Error("nothing is a bool")
	}
}

// FuzzNative agrees with encoding/json wherever it says anything.
func FuzzNative(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,2.5,"x",null,true,{"b":[]}]}`, `{"a":1e400}`, `{"a":{"b":1,"B":1}}`, `{"a":12345678901234567890}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := Parse(text)
		if err != nil {
			return
		}
		native, ok := o.Native()
		if !ok {
			return
		}
		var want map[string]any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("taken, but encoding/json says %v", err)
		}
		again, err := json.Marshal(native)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

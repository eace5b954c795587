package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTakes(t *testing.T) {
	nested := strings.Repeat(`[`, MaxDepth-1) + strings.Repeat(`]`, MaxDepth-1)
	for name, text := range map[string]string{
		"nothing inside":         `{}`,
		"white space":            " \t\r\n{ \"a\" : 1 , \"b\" : [ ] } \n",
		"all kinds of values":    `{"a":"x","b":-1.5e+3,"c":true,"d":false,"e":null,"f":{},"g":[1,"2",[],{"h":0}]}`,
		"escapes":                `{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`,
		"text outside ASCII":     `{"schlüssel":"日本"}`,
		"as deep as may be":      `{"a":` + nested + `}`,
		"equal names further in": `{"a":{"b":1,"b":2}}`,
		"an empty name":          `{"":1}`,
		"zero and its fractions": `{"a":0,"b":-0,"c":0.0,"d":0e5,"e":10}`,
		"similar names":          `{"exp":1,"exp2":2,"ex":3}`,
	} {
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %q: %v", name, text, err)
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%s: encoding/json does not take it", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	nested := strings.Repeat(`[`, MaxDepth) + strings.Repeat(`]`, MaxDepth)
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"n%d":0,`, i)
	}
	for name, text := range map[string]string{
		"nothing":                        ``,
		"white space":                    ` `,
		"an array":                       `[]`,
		"a string":                       `"a"`,
		"null":                           `null`,
		"half an object":                 `{`,
		"an object inside that ends ill": `{"a":{"b":1,}}`,
		"an object closed by a bracket":  `{"a":{"b":1]}`,
		"an array closed by a brace":     `{"a":[1}}`,
		"a bracket for the first brace":  `["a":1}`,
		"a name without its quotes":      `{a":1}`,
		"another letter for the colon":   `{"a"=1}`,
		"an escape cut by a quote":       `{"a":"\u00""}`,
		"half a pair, no backslash":      `{"a":"\ud83dxudc00"}`,
		"half a pair, no u":              `{"a":"\ud83d\xdc00"}`,
		"half a pair, above its range":   `{"a":"\ud83d\ue000"}`,
		"half a member":                  `{"a"`,
		"a name without a value":         `{"a":`,
		"a member without its end":       `{"a":1`,
		"a name that is no string":       `{a:1}`,
		"a number as a name":             `{1:1}`,
		"no colon":                       `{"a" 1}`,
		"a comma at the end":             `{"a":1,}`,
		"a comma in an array":            `{"a":[1,]}`,
		"no comma in an array":           `{"a":[1 2]}`,
		"half an array":                  `{"a":[`,
		"no comma":                       `{"a":1 "b":2}`,
		"text behind":                    `{} x`,
		"two objects":                    `{}{}`,
		"a NUL behind":                   "{}\x00",
		"a byte order mark":              "\xef\xbb\xbf{}",
		"a comment":                      "//c\n{}",
		"invalid UTF-8":                  "{\"a\":\"\xff\"}",
		"a control character":            "{\"a\":\"\n\"}",
		"a string without its end":       `{"a":"x}`,
		"an unknown escape":              `{"a":"\x41"}`,
		"half an escape":                 `{"a":"\u00"}`,
		"a lone first surrogate":         `{"a":"\ud83d"}`,
		"a lone second surrogate":        `{"a":"\ude00"}`,
		"a surrogate and another letter": `{"a":"\ud83d\u0041"}`,
		"a surrogate and text":           `{"a":"\ud83dxxxxxx"}`,
		"a lone surrogate in a name":     `{"\ud83d":1}`,
		"a leading zero":                 `{"a":01}`,
		"a plus":                         `{"a":+1}`,
		"a minus alone":                  `{"a":-}`,
		"a point at the end":             `{"a":1.}`,
		"a point at the start":           `{"a":.5}`,
		"an exponent without digits":     `{"a":1e}`,
		"a signed exponent without any":  `{"a":1e+}`,
		"NaN":                            `{"a":NaN}`,
		"a word of another case":         `{"a":True}`,
		"half a word":                    `{"a":tru`,
		"another word":                   `{"a":nul1}`,
		"too deep":                       `{"a":` + nested + `}`,
		"too deep, not closed":           `{"a":` + strings.Repeat(`[`, 4000),
		"too deep by objects":            strings.Repeat(`{"a":`, MaxDepth+1) + `1` + strings.Repeat(`}`, MaxDepth+1),
		"a name twice":                   `{"a":1,"a":1}`,
		"a name twice, once escaped":     `{"alg":1,"\u0061lg":1}`,
		"a name in two cases":            `{"exp":1,"EXP":2}`,
		"a name in two cases, escaped":   `{"exp":1,"\u0045xp":2}`,
		"a name with a long s":           `{"iss":1,"i\u017fs":2}`,
		"a name with a Kelvin sign":      "{\"kid\":1,\"\u212aid\":2}",
		"a name twice among many":        `{` + many.String() + `"x":1,"x":2}`,
		"a name in two cases among many": `{` + many.String() + "\"iss\":1,\"I\u017fS\":2}",
		"a Kelvin sign among many":       `{` + many.String() + "\"kid\":1,\"\u212aid\":2}",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %.60q: %v, want ErrInvalid", name, text, err)
		}
	}
}

func TestValues(t *testing.T) {
	o, err := Parse([]byte(`{"s":"a\u0062","n": -1.50 ,"t":["x", "\u0079" ],"e":[ ],"m":["x",1],"o":{"a":["]"]},"l":[1,[2],{"a":","}],"b":true}`))
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) Value {
		v, ok := o.Get(name)
		if !ok {
			t.Fatalf("no member %q", name)
		}
		return v
	}
	if text, ok := get("s").Text(); !ok || text != "ab" {
		t.Errorf("s is %q, %t", text, ok)
	}
	if number, ok := get("n").Number(); !ok || number != "-1.50" {
		t.Errorf("n is %q, %t", number, ok)
	}
	if texts, ok := get("t").Texts(); !ok || cmp.Diff([]string{"x", "y"}, texts) != "" {
		t.Errorf("t is %q, %t", texts, ok)
	}
	if texts, ok := get("e").Texts(); !ok || texts == nil || len(texts) != 0 {
		t.Errorf("e is %q, %t", texts, ok)
	}
	if elements, ok := get("e").Elements(); !ok || len(elements) != 0 {
		t.Errorf("e has elements %v, %t", elements, ok)
	}
	elements, ok := get("l").Elements()
	var raw []string
	for _, e := range elements {
		raw = append(raw, e.Raw())
	}
	if diff := cmp.Diff([]string{`1`, `[2]`, `{"a":","}`}, raw); !ok || diff != "" {
		t.Errorf("l (-want +got):\n%s", diff)
	}
	for _, name := range []string{"n", "t", "o", "b"} {
		if text, ok := get(name).Text(); ok {
			t.Errorf("%s is the string %q", name, text)
		}
	}
	for _, name := range []string{"s", "t", "o", "b"} {
		if number, ok := get(name).Number(); ok {
			t.Errorf("%s is the number %q", name, number)
		}
	}
	for _, name := range []string{"s", "n", "m", "o", "b", "l"} {
		if texts, ok := get(name).Texts(); ok {
			t.Errorf("%s is the array of strings %q", name, texts)
		}
	}
	if _, ok := get("o").Elements(); ok {
		t.Error("an object has elements")
	}
	if o.Has("S") || o.Has("") || !o.Has("s") {
		t.Error("names are not matched exactly")
	}
	bracket, err := Parse([]byte(`{"s":"]"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := bracket.Get("s")
	if _, ok := text.Texts(); ok {
		t.Error("a string of a bracket is an array of strings")
	}
	if _, ok := text.Elements(); ok {
		t.Error("a string of a bracket is an array")
	}
	var none Value
	if none.IsObject() || none.IsArray() {
		t.Error("no value is an object or array")
	}
	if _, ok := none.Text(); ok {
		t.Error("no value is a string")
	}
	if _, ok := none.Number(); ok {
		t.Error("no value is a number")
	}
	if _, ok := none.Texts(); ok {
		t.Error("no value is an array")
	}
	if _, ok := none.Elements(); ok {
		t.Error("no value has elements")
	}
}

// FuzzParse holds that encoding/json takes whatever is taken, and sees the same members.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1,"b":[true,null,"\u00e9\ud83d\ude00"],"c":{"d":-0.5e-7}}`, `{"a":1,"A":2}`, `{"a":"\ud83d"}`, `[]`, `{"a":01}`,
		"{\"a\":\"\xff\"}", `{"a":{"b":{"c":[[[]]]}}} `, `{"K":0,"` + "\u212a" + `":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := Parse(text)
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatalf("encoding/json does not take %q: %v", text, err)
		}
		if len(members) != len(o.members) {
			t.Fatalf("%q has %d members, not %d", text, len(members), len(o.members))
		}
		for name, raw := range members {
			v, ok := o.Get(name)
			if !ok || v.Raw() != string(raw) {
				t.Fatalf("%q: member %q is %q, not %q", text, name, v.Raw(), raw)
			}
			var want string
			got, ok := v.Text()
			if isText := json.Unmarshal(raw, &want) == nil && raw[0] == '"'; isText != ok || want != got {
				t.Fatalf("%q: member %q is %q, not %q", text, name, got, want)
			}
			var list []string
			texts, ok := v.Texts()
			if ok && (json.Unmarshal(raw, &list) != nil || cmp.Diff(list, texts) != "") {
				t.Fatalf("%q: member %q is %q, not %q", text, name, texts, list)
			}
			if elements, ok := v.Elements(); ok != (raw[0] == '[') || (!ok && elements != nil) {
				t.Fatalf("%q: member %q has elements: %t", text, name, ok)
			}
		}
	})
}

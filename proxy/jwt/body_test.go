package jwt

import (
	"errors"
	"slices"
	"testing"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// bodyHead is a testHead with a method and a body.
type bodyHead struct {
	testHead
	method string
	body   string
	err    error
	read   bool
}

func (h *bodyHead) Method() string { return h.method }

func (h *bodyHead) ReadBody(most int) ([]byte, error) {
	h.read = true
	if len(h.body) > most {
		return nil, head.ErrBodyTooLarge
	}
	return []byte(h.body), h.err
}

const (
	typeForm = "application/x-www-form-urlencoded"
	typeJSON = "application/json"
)

func posted(contentType, body string, lines ...string) *bodyHead {
	return &bodyHead{testHead: *fields(append([]string{"Content-Type", contentType}, lines...)...), method: "POST", body: body}
}

func bodySources() []routing.TokenSource {
	return []routing.TokenSource{
		{Type: routing.SourceFormBody, Name: "access_token"},
		{Type: routing.SourceJSONBody, Name: "/access_token"},
		{Type: routing.SourceJSONBody, Name: "/auth/tokens/0"},
		{Type: routing.SourceAuthorization, Name: "Bearer"},
		{Type: routing.SourceQuery, Name: "access_token"},
	}
}

func TestTokenInBody(t *testing.T) {
	const none, ambiguous = refusal.TokenMissing, refusal.TokenAmbiguous
	with := func(h *bodyHead, change func(*bodyHead)) *bodyHead {
		change(h)
		return h
	}
	for name, tc := range map[string]struct {
		head   *bodyHead
		token  string
		want   refusal.Reason
		unread bool
	}{
		"a form":                        {head: posted(typeForm, "a=b&access_token=abc&c=d"), token: "abc", want: accepted},
		"a form, escaped":               {head: posted(typeForm, "access%5Ftoken=a%62c"), token: "abc", want: accepted},
		"a form with a charset":         {head: posted("Application/X-WWW-Form-URLencoded; charset=UTF-8", "access_token=abc"), token: "abc", want: accepted},
		"a form without it":             {head: posted(typeForm, "a=b"), want: none},
		"an empty token":                {head: posted(typeForm, "access_token="), want: none},
		"twice in a form":               {head: posted(typeForm, "access_token=abc&access_token=abc"), want: ambiguous},
		"twice in a form, once empty":   {head: posted(typeForm, "access_token=&access_token=abc"), want: ambiguous},
		"twice in a form, once escaped": {head: posted(typeForm, "access_token=abc&access%5ftoken=d"), want: ambiguous},
		"an empty body":                 {head: posted(typeForm, ""), want: none},
		"JSON":                          {head: posted(typeJSON, `{"a":1,"access_token":"abc"}`), token: "abc", want: accepted},
		"JSON of another name":          {head: posted("application/vnd.api+json; charset=utf-8", `{"access_token":"a\u0062c"}`), token: "abc", want: accepted},
		"JSON, deep":                    {head: posted(typeJSON, `{"auth":{"tokens":["abc","def"]}}`), token: "abc", want: accepted},
		"JSON in two places":            {head: posted(typeJSON, `{"access_token":"abc","auth":{"tokens":["abc"]}}`), want: ambiguous},
		"JSON, twice":                   {head: posted(typeJSON, `{"access_token":"abc","access_token":"def"}`), want: ambiguous},
		"JSON, twice in another case":   {head: posted(typeJSON, `{"access_token":"abc","Access_Token":"def"}`), want: ambiguous},
		"JSON, twice deep":              {head: posted(typeJSON, `{"auth":{"tokens":["abc"],"tokens":["def"]}}`), want: ambiguous},
		"JSON, no string":               {head: posted(typeJSON, `{"access_token":1}`), want: none},
		"JSON, null":                    {head: posted(typeJSON, `{"access_token":null}`), want: none},
		"JSON, empty":                   {head: posted(typeJSON, `{"access_token":""}`), want: none},
		"JSON that is none":             {head: posted(typeJSON, `{"access_token":"abc"`), want: none},
		"JSON and more":                 {head: posted(typeJSON, `{"access_token":"abc"} {}`), want: none},
		"a JSON array":                  {head: posted(typeJSON, `[{"access_token":"abc"}]`), want: none},
		"JSON too deep":                 {head: posted(typeJSON, `{"access_token":"abc","x":`+repeat("[", 40)+repeat("]", 40)+`}`), want: none},
		"a form called JSON":            {head: posted(typeJSON, "access_token=abc"), want: none},
		"JSON called a form":            {head: posted(typeForm, `{"access_token":"abc"}`), want: none},
		"another type":                  {head: posted("text/plain", "access_token=abc"), want: none, unread: true},
		"a multipart form":              {head: posted("multipart/form-data; boundary=x", "--x"), want: none, unread: true},
		"no type":                       {head: posted("", "access_token=abc"), want: none, unread: true},
		"two types":                     {head: posted(typeForm, "access_token=abc", "Content-Type", typeForm), want: none, unread: true},
		"another charset":               {head: posted(typeForm+"; charset=utf-16", "access_token=abc"), want: none, unread: true},
		"a broken type":                 {head: posted(typeForm+"; charset", "access_token=abc"), want: none, unread: true},
		"compressed":                    {head: posted(typeForm, "access_token=abc", "Content-Encoding", "gzip"), want: none, unread: true},
		"GET":                           {head: with(posted(typeForm, "access_token=abc"), func(h *bodyHead) { h.method = "GET" }), want: none, unread: true},
		"DELETE":                        {head: with(posted(typeForm, "access_token=abc"), func(h *bodyHead) { h.method = "DELETE" }), want: none, unread: true},
		"PUT":                           {head: with(posted(typeForm, "access_token=abc"), func(h *bodyHead) { h.method = "PUT" }), token: "abc", want: accepted},
		"PATCH":                         {head: with(posted(typeJSON, `{"access_token":"abc"}`), func(h *bodyHead) { h.method = "PATCH" }), token: "abc", want: accepted},
		"a token in the head":           {head: posted(typeForm, "access_token=abc", "Authorization", "Bearer def"), token: "def", want: accepted, unread: true},
		"two tokens in the head":        {head: with(posted(typeForm, "access_token=abc", "Authorization", "Bearer def"), func(h *bodyHead) { h.query = "access_token=x" }), want: ambiguous, unread: true},
		"a long body, a token before":   {head: posted(typeForm, repeat("a", 2000), "Authorization", "Bearer def"), token: "def", want: accepted, unread: true},
		"as long as allowed":            {head: posted(typeForm, "access_token=abc&a="+repeat("a", 1024-len("access_token=abc&a="))), token: "abc", want: accepted},
		"too long":                      {head: posted(typeForm, "access_token=abc&a="+repeat("a", 1025-len("access_token=abc&a="))), want: refusal.BodyTooLarge},
		"too slow":                      {head: with(posted(typeForm, ""), func(h *bodyHead) { h.err = head.ErrBodyTimeout }), want: refusal.BodyTimeout},
		"too many":                      {head: with(posted(typeForm, ""), func(h *bodyHead) { h.err = head.ErrBodyOverload }), want: refusal.Overloaded},
		"cut":                           {head: with(posted(typeForm, ""), func(h *bodyHead) { h.err = head.ErrBodyCut }), want: refusal.RequestMalformed},
		"a fault":                       {head: with(posted(typeForm, "access_token=abc"), func(h *bodyHead) { h.err = errors.ErrUnsupported }), want: refusal.RequestMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := newSources(bodySources(), 1024)
			if err != nil {
				t.Fatal(err)
			}
			token, _, refused := s.find(tc.head)
			got := accepted
			if refused != nil {
				got = refused.Reason
			}
			if got != tc.want || token != tc.token {
				t.Errorf("token %q, %s, want %q, %s", token, word(got), tc.token, word(tc.want))
			}
			if tc.head.read == tc.unread {
				t.Errorf("body read: %t", tc.head.read)
			}
		})
	}
}

// TestBodiesAreLeftAlone: of policies without such a source, of kinds that no source is for, and of engines that can't
// hold bodies back.
func TestBodiesAreLeftAlone(t *testing.T) {
	for name, sources := range map[string][]routing.TokenSource{
		"no body source":  everySource(),
		"only for JSON":   {{Type: routing.SourceJSONBody, Name: "/access_token"}},
		"another's field": {{Type: routing.SourceFormBody, Name: "token"}},
	} {
		s, err := newSources(sources, 1024)
		if err != nil {
			t.Fatal(err)
		}
		h := posted(typeForm, "access_token=abc")
		if _, _, refused := s.find(h); refused == nil || refused.Reason != refusal.TokenMissing || h.read != (name == "another's field") {
			t.Errorf("%s: %+v, read %t", name, refused, h.read)
		}
	}
	s, err := newSources(bodySources(), 1024)
	if err != nil {
		t.Fatal(err)
	}
	h := struct {
		head.Head
		_ struct{}
	}{Head: posted(typeForm, "access_token=abc")}
	if _, _, refused := s.find(h); refused == nil || refused.Reason != refusal.TokenMissing {
		t.Errorf("an engine without bodies: %+v", refused)
	}
}

func TestNewBodySources(t *testing.T) {
	for name, tc := range map[string]struct {
		source  routing.TokenSource
		maxBody int
	}{
		"no limit":         {routing.TokenSource{Type: routing.SourceFormBody, Name: "a"}, 0},
		"no name":          {routing.TokenSource{Type: routing.SourceFormBody}, 1024},
		"no pointer":       {routing.TokenSource{Type: routing.SourceJSONBody, Name: "a"}, 1024},
		"a prefix of JSON": {routing.TokenSource{Type: routing.SourceJSONBody, Name: "/a", Prefix: "x"}, 1024},
	} {
		cfg := basePolicy()
		cfg.TokenSources, cfg.MaxBodyBytes = []routing.TokenSource{tc.source}, tc.maxBody
		if p, err := NewPolicy(cfg, Deps{Keyring: keyring.New()}); p != nil || err == nil {
			t.Errorf("%s: a policy", name)
		}
	}
	twice, err := newSources(slices.Concat(bodySources(), bodySources()), 1024)
	if err != nil {
		t.Fatal(err)
	}
	if token, _, refused := twice.find(posted(typeJSON, `{"access_token":"abc"}`)); refused != nil || token != "abc" {
		t.Errorf("sources that are configured twice: %q, %v", token, refused)
	}
}

// FuzzTokenInBody: one token or a refusal that is no fault of ours, whatever the body says.
func FuzzTokenInBody(f *testing.F) {
	for _, seed := range [][2]string{
		{typeForm, "access_token=abc"},
		{typeForm, "access_token=a&access_token=b"},
		{typeForm + "; charset=utf-8", "%zz&access_token=%"},
		{typeJSON, `{"access_token":"abc"}`},
		{typeJSON, `{"access_token":"a","ACCESS_TOKEN":"b"}`},
		{"application/x+json", `{"auth":{"tokens":["a"]}}`},
		{typeJSON, "\xff"},
		{typeJSON, `{"auth":{"tokens":["a"]},"access_token":""}`},
		{";", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	s, err := newSources(bodySources(), 1024)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		token, _, refused := s.find(posted(contentType, body))
		if (token == "") == (refused == nil) {
			t.Fatalf("token %q, refusal %v", token, refused)
		}
		if refused != nil && refused.Reason.Status() >= 500 {
			t.Fatalf("%s", word(refused.Reason))
		}
	})
}

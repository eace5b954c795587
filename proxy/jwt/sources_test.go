package jwt

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func everySource() []routing.TokenSource {
	return []routing.TokenSource{
		{Type: routing.SourceAuthorization, Name: "Bearer"},
		{Type: routing.SourceAuthorization, Name: "JWT"},
		{Type: routing.SourceHeader, Name: "X-Access-Token"},
		{Type: routing.SourceHeader, Name: "X-Prefixed", Prefix: "Token "},
		{Type: routing.SourceCookie, Name: "session"},
		{Type: routing.SourceQuery, Name: "access_token"},
	}
}

func fields(lines ...string) *testHead {
	h := &testHead{}
	for i := 0; i < len(lines); i += 2 {
		h.fields = append(h.fields, [2]string{lines[i], lines[i+1]})
	}
	return h
}

func query(q string, lines ...string) *testHead {
	h := fields(lines...)
	h.query = q
	return h
}

func TestFindToken(t *testing.T) {
	const none, many = refusal.TokenMissing, refusal.TokenAmbiguous
	tests := map[string]struct {
		sources []routing.TokenSource
		head    *testHead
		token   string
		want    refusal.Reason
	}{
		"nothing":                            {nil, fields(), "", none},
		"bearer":                             {nil, fields("Authorization", "Bearer abc"), "abc", accepted},
		"bearer in lower case":               {nil, fields("authorization", "bearer abc"), "abc", accepted},
		"bearer with more spaces":            {nil, fields("Authorization", "  BEARER   abc\t"), "abc", accepted},
		"another scheme of ours":             {nil, fields("Authorization", "jwt abc"), "abc", accepted},
		"a scheme that is not ours":          {nil, fields("Authorization", "Basic abc"), "", none},
		"a longer scheme":                    {nil, fields("Authorization", "Bearers abc"), "", none},
		"a token without a scheme":           {nil, fields("Authorization", "abc.def.ghi"), "", none},
		"a scheme without a token":           {nil, fields("Authorization", "Bearer"), "", none},
		"a scheme and spaces":                {nil, fields("Authorization", "Bearer   "), "", none},
		"an empty field":                     {nil, fields("Authorization", ""), "", none},
		"a tab behind the scheme":            {nil, fields("Authorization", "Bearer\tabc"), "\tabc", accepted},
		"two words":                          {nil, fields("Authorization", "Bearer abc def"), "abc def", accepted},
		"quotes":                             {nil, fields("Authorization", `Bearer "abc"`), `"abc"`, accepted},
		"a JSON serialization":               {nil, fields("Authorization", `Bearer {"a":"b","c":"d"}`), `{"a":"b","c":"d"}`, accepted},
		"two lines":                          {nil, fields("Authorization", "Bearer abc", "Authorization", "Bearer abc"), "", many},
		"two lines of two spellings":         {nil, fields("Authorization", "Bearer abc", "authorization", "Basic abc"), "", many},
		"joined by a comma":                  {nil, fields("Authorization", "Bearer abc, Bearer abc"), "", many},
		"joined without a space":             {nil, fields("Authorization", "Bearer abc,def"), "", many},
		"joined behind nothing":              {nil, fields("Authorization", "Bearer , Bearer abc"), "", many},
		"joined to another scheme":           {nil, fields("Authorization", "Basic abc, bearer abc"), "", many},
		"joined in front of another":         {nil, fields("Authorization", "Bearer abc, Basic abc"), "", many},
		"parameters of another scheme":       {nil, fields("Authorization", `Digest username="a", realm="b"`), "", none},
		"Proxy-Authorization":                {nil, fields("Proxy-Authorization", "Bearer abc"), "", none},
		"Authorization with an underscore":   {nil, fields("Authorization_", "Bearer abc"), "", none},
		"a header field":                     {nil, fields("x-access-token", " abc "), "abc", accepted},
		"an empty header field":              {nil, fields("X-Access-Token", ""), "", none},
		"a header field twice":               {nil, fields("X-Access-Token", "abc", "X-Access-Token", ""), "", many},
		"a header field, joined":             {nil, fields("X-Access-Token", "abc, abc"), "", many},
		"a prefix":                           {nil, fields("X-Prefixed", "Token abc"), "abc", accepted},
		"a prefix and spaces":                {nil, fields("X-Prefixed", "Token   abc"), "abc", accepted},
		"a prefix alone":                     {nil, fields("X-Prefixed", "Token "), "", none},
		"a prefix of another case":           {nil, fields("X-Prefixed", "token abc"), "", none},
		"no prefix":                          {nil, fields("X-Prefixed", "abc"), "", none},
		"a cookie":                           {nil, fields("Cookie", "a=b; session=abc; c=d"), "abc", accepted},
		"a cookie without spaces":            {nil, fields("Cookie", "a=b;session=abc;c=d"), "abc", accepted},
		"a cookie in the second line":        {nil, fields("Cookie", "a=b", "Cookie", "session=abc"), "abc", accepted},
		"an empty cookie":                    {nil, fields("Cookie", "session="), "", none},
		"a cookie without a value":           {nil, fields("Cookie", "session"), "", none},
		"a cookie beside its bare name":      {nil, fields("Cookie", "session; session=abc"), "abc", accepted},
		"a cookie of another case":           {nil, fields("Cookie", "Session=abc"), "", none},
		"a longer cookie name":               {nil, fields("Cookie", "session2=abc; xsession=abc"), "", none},
		"a cookie's name in another":         {nil, fields("Cookie", "a=session=abc"), "", none},
		"a cookie twice":                     {nil, fields("Cookie", "session=abc; session=abc"), "", many},
		"a cookie in two lines":              {nil, fields("Cookie", "session=abc", "Cookie", "session=def"), "", many},
		"a cookie, first empty":              {nil, fields("Cookie", "session=; session=abc"), "", many},
		"a parameter":                        {nil, query("a=b&access_token=abc&c=d"), "abc", accepted},
		"an escaped parameter":               {nil, query("access%5ftoken=a%62c"), "abc", accepted},
		"an escaped name of another":         {nil, query("access%5fkey=abc"), "", none},
		"an empty parameter":                 {nil, query("access_token="), "", none},
		"a parameter without a value":        {nil, query("access_token"), "", none},
		"a parameter of another case":        {nil, query("Access_Token=abc"), "", none},
		"a parameter twice":                  {nil, query("access_token=abc&access_token=abc"), "", many},
		"a parameter twice, once escaped":    {nil, query("access_token=abc&%61ccess_token=abc"), "", many},
		"a parameter with an invalid escape": {nil, query("access_token=a%zz"), "a%zz", accepted},
		"a name with an invalid escape":      {nil, query("access_token%zz=abc"), "", none},
		"a semicolon does not split":         {nil, query("a=b;access_token=abc"), "", none},
		"a token in the last of many":        {nil, query(repeat("a=b&", 10_001) + "access_token=abc"), "abc", accepted},
		"a header and a parameter":           {nil, query("access_token=abc", "Authorization", "Bearer abc"), "", many},
		"a header and a cookie":              {nil, fields("Authorization", "Bearer abc", "Cookie", "session=abc"), "", many},
		"two header fields":                  {nil, fields("X-Access-Token", "abc", "X-Prefixed", "Token abc"), "", many},
		"a cookie and a parameter":           {nil, query("access_token=abc", "Cookie", "session=abc"), "", many},
		"a cookie beside another scheme":     {nil, fields("Authorization", "Basic abc", "Cookie", "session=abc"), "abc", accepted},
		"a token, and an empty source":       {nil, query("access_token=", "Authorization", "Bearer abc", "Cookie", "session="), "abc", accepted},
		"a parameter that is not configured": {everySource()[:1], query("access_token=abc"), "", none},
		"a parameter beside, not configured": {everySource()[:1], query("access_token=abc", "Authorization", "Bearer def"), "def", accepted},
		"two Authorization lines, not a source": {
			everySource()[4:], fields("Authorization", "Bearer abc", "Authorization", "Bearer abc", "Cookie", "session=abc"), "abc", accepted,
		},
		"a source configured twice": {
			append(everySource(), routing.TokenSource{Name: "BEARER"}, routing.TokenSource{Type: routing.SourceHeader, Name: "x-access-TOKEN"},
				routing.TokenSource{Type: routing.SourceCookie, Name: "session"}, routing.TokenSource{Type: routing.SourceQuery, Name: "access_token"}),
			fields("Authorization", "Bearer abc"), "abc", accepted,
		},
		"one field with and without a prefix": {
			[]routing.TokenSource{{Type: routing.SourceHeader, Name: "X-T"}, {Type: routing.SourceHeader, Name: "x-t", Prefix: "Token "}},
			fields("X-T", "Token abc"), "abc", accepted,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.sources == nil {
				tc.sources = everySource()
			}
			s, err := newSources(tc.sources, 0)
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
		})
	}
}

func repeat(s string, n int) string {
	b := make([]byte, 0, len(s)*n)
	for range n {
		b = append(b, s...)
	}
	return string(b)
}

func TestStripToken(t *testing.T) {
	tests := map[string]struct {
		forwarding routing.TokenForwarding
		head, want *testHead
	}{
		"bearer":                         {routing.TokenStrip, fields("authorization", "bearer abc", "Accept", "*/*"), fields("Accept", "*/*")},
		"another scheme stays":           {routing.TokenStrip, fields("Authorization", "Basic abc"), fields("Authorization", "Basic abc")},
		"a header field":                 {routing.TokenStrip, fields("x-access-token", "abc", "X-Other", "1"), fields("X-Other", "1")},
		"a header field, prefixed":       {routing.TokenStrip, fields("X-Prefixed", "Token abc"), fields()},
		"a field without its prefix":     {routing.TokenStrip, fields("X-Prefixed", "abc"), fields("X-Prefixed", "abc")},
		"the only cookie":                {routing.TokenStrip, fields("Cookie", "session=abc"), fields()},
		"a cookie of several":            {routing.TokenStrip, fields("Cookie", `a=b;session=abc; c="d"; e`), fields("Cookie", `a=b; c="d"; e`)},
		"a cookie of several lines":      {routing.TokenStrip, fields("Cookie", "a=b", "Cookie", "session=abc", "Cookie", "c=d"), fields("Cookie", "a=b; c=d")},
		"cookies without the token":      {routing.TokenStrip, fields("Cookie", "a=b;c=d", "Cookie", "Session=abc"), fields("Cookie", "a=b;c=d", "Cookie", "Session=abc")},
		"the only parameter":             {routing.TokenStrip, query("access_token=abc"), query("")},
		"a parameter of several":         {routing.TokenStrip, query("a=%62&access_token=abc&&c"), query("a=%62&&c")},
		"an escaped parameter":           {routing.TokenStrip, query("a=b&access%5Ftoken=abc"), query("a=b")},
		"parameters without the token":   {routing.TokenStrip, query("a=b&b=access_token=abc"), query("a=b&b=access_token=abc")},
		"preserved in a header":          {routing.TokenPreserve, fields("Authorization", "Bearer abc"), fields("Authorization", "Bearer abc")},
		"preserved in a field":           {routing.TokenPreserve, fields("X-Access-Token", "abc"), fields("X-Access-Token", "abc")},
		"preserved in a cookie":          {routing.TokenPreserve, fields("Cookie", "session=abc"), fields("Cookie", "session=abc")},
		"a parameter is never kept":      {routing.TokenPreserve, query("access_token=abc&a=b"), query("a=b")},
		"more than one, were it to pass": {routing.TokenStrip, query("access_token=abc&access_token=d", "Authorization", "Basic x", "Authorization", "Bearer x", "Cookie", "session=a; session=b"), query("")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := newWorld(t).policy(t, func(cfg *routing.JWT) {
				cfg.TokenSources, cfg.TokenForwarding = everySource(), tc.forwarding
			})
			p.StripToken(tc.head, &Allowed{})
			if diff := cmp.Diff(tc.want, tc.head, cmp.AllowUnexported(testHead{})); diff != "" {
				t.Errorf("head (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a policy of one source leaves all others alone", func(t *testing.T) {
		h := query("access_token=abc", "Authorization", "Bearer abc", "Cookie", "session=abc")
		newWorld(t).policy(t, nil).StripToken(h, &Allowed{})
		if diff := cmp.Diff(query("access_token=abc", "Cookie", "session=abc"), h, cmp.AllowUnexported(testHead{})); diff != "" {
			t.Errorf("head (-want +got):\n%s", diff)
		}
	})
}

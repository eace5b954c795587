package compile

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestEachMistakeIsFound by itself, and told in the field that has it; the API server refuses most of them before.
func TestEachMistakeIsFound(t *testing.T) {
	t.Parallel()
	limits := func(change func(*v1alpha1.JWTPolicy)) func(*problems) {
		return func(errs *problems) {
			var policy v1alpha1.JWTPolicy
			change(&policy)
			newTokenLimits(&routing.JWT{}, "jwt", &policy, errs)
		}
	}
	lasting := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	fetched := v1alpha1.IssuerKeys{Type: v1alpha1.IssuerKeysRemoteJWKS, RemoteJWKS: &v1alpha1.RemoteJWKS{URI: "https://login.test/keys"}}
	issuer := func(change func(*v1alpha1.JWTIssuer)) func(*problems) {
		return func(errs *problems) {
			i := v1alpha1.JWTIssuer{
				Issuer: "https://login.test", Algorithms: []v1alpha1.Algorithm{v1alpha1.AlgorithmES256},
				Keys: v1alpha1.IssuerKeys{Type: v1alpha1.IssuerKeysDiscovery},
			}
			change(&i)
			newIssuers("issuers", []v1alpha1.JWTIssuer{i}, errs)
		}
	}
	consumer := func(change func(*v1alpha1.ConsumerSpec)) func(*problems) {
		return func(errs *problems) {
			c := v1alpha1.Consumer{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "acme"}}
			change(&c.Spec)
			checkConsumer(&c, errs)
		}
	}
	tunnels := func(age time.Duration) func(*problems) {
		return func(errs *problems) {
			newTunnels(&routing.JWT{}, "jwt.tunnels", &v1alpha1.Tunnels{MaxAge: lasting(age)}, errs)
		}
	}
	terminate := func(status int32) func(*problems) {
		return func(errs *problems) { newTerminate("terminate", &v1alpha1.TerminatePolicy{StatusCode: status}, errs) }
	}
	expression := func(rule v1alpha1.ClaimValidationRule) func(*problems) {
		rule.Expression = "claims.tenant == 'a'"
		return func(errs *problems) { newClaimRules("rules", []v1alpha1.ClaimValidationRule{rule}, errs) }
	}
	header := func(name string) func(*problems) {
		return func(errs *problems) {
			var claims []v1alpha1.ClaimToHeader
			newClaimHeaders("headers", append(claims, v1alpha1.ClaimToHeader{Header: name, Claim: "/tier"}), errs)
		}
	}
	// An empty text: nothing is wrong.
	for name, tc := range map[string]struct {
		in   func(*problems)
		says string
	}{
		"the smallest token":            {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenBytes = ptr.To[int32](minMaxTokenBytes) }), ""},
		"the largest token":             {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenBytes = ptr.To[int32](maxMaxTokenBytes) }), ""},
		"tokens that are too small":     {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenBytes = ptr.To[int32](minMaxTokenBytes - 1) }), "jwt.maxTokenBytes"},
		"tokens that are too large":     {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenBytes = ptr.To[int32](maxMaxTokenBytes + 1) }), "jwt.maxTokenBytes"},
		"the smallest body":             {limits(func(p *v1alpha1.JWTPolicy) { p.MaxBodyBytes = ptr.To[int32](minMaxBodyBytes) }), ""},
		"the largest body":              {limits(func(p *v1alpha1.JWTPolicy) { p.MaxBodyBytes = ptr.To[int32](maxMaxBodyBytes) }), ""},
		"bodies that are too small":     {limits(func(p *v1alpha1.JWTPolicy) { p.MaxBodyBytes = ptr.To[int32](minMaxBodyBytes - 1) }), "jwt.maxBodyBytes"},
		"bodies that are too large":     {limits(func(p *v1alpha1.JWTPolicy) { p.MaxBodyBytes = ptr.To[int32](maxMaxBodyBytes + 1) }), "jwt.maxBodyBytes"},
		"the most skew":                 {limits(func(p *v1alpha1.JWTPolicy) { p.ClockSkew = lasting(maxClockSkew) }), ""},
		"too much skew":                 {limits(func(p *v1alpha1.JWTPolicy) { p.ClockSkew = lasting(maxClockSkew + 1) }), "jwt.clockSkew"},
		"negative skew":                 {limits(func(p *v1alpha1.JWTPolicy) { p.ClockSkew = lasting(-1) }), "jwt.clockSkew"},
		"the longest life":              {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenLifetime = lasting(maxMaxTokenLifetime) }), ""},
		"too long a life":               {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenLifetime = lasting(maxMaxTokenLifetime + 1) }), "jwt.maxTokenLifetime"},
		"too short a life":              {limits(func(p *v1alpha1.JWTPolicy) { p.MaxTokenLifetime = lasting(minMaxTokenLifetime - 1) }), "jwt.maxTokenLifetime"},
		"the longest tunnel":            {tunnels(maxTunnelAge), ""},
		"the shortest tunnel":           {tunnels(minTunnelAge), ""},
		"too long a tunnel":             {tunnels(maxTunnelAge + 1), "jwt.tunnels.maxAge"},
		"too short a tunnel":            {tunnels(minTunnelAge - 1), "jwt.tunnels.maxAge"},
		"a media type":                  {limits(func(p *v1alpha1.JWTPolicy) { p.TokenTypes = []string{"application/at+jwt"} }), ""},
		"a type without a kind":         {limits(func(p *v1alpha1.JWTPolicy) { p.TokenTypes = []string{"/at+jwt"} }), "jwt.tokenTypes[0]"},
		"a type with a kind of two":     {limits(func(p *v1alpha1.JWTPolicy) { p.TokenTypes = []string{"a b/at+jwt"} }), "jwt.tokenTypes[0]"},
		"a type without a subtype":      {limits(func(p *v1alpha1.JWTPolicy) { p.TokenTypes = []string{"application/"} }), "jwt.tokenTypes[0]"},
		"a required claim without name": {limits(func(p *v1alpha1.JWTPolicy) { p.RequiredClaims = []string{"jti", ""} }), "jwt.requiredClaims"},

		"an issuer":                             {issuer(func(*v1alpha1.JWTIssuer) {}), ""},
		"an issuer without a name":              {issuer(func(i *v1alpha1.JWTIssuer) { i.Issuer, i.Keys = "", fetched }), "issuers[0].issuer: is missing"},
		"discovery by an issuer with a query":   {issuer(func(i *v1alpha1.JWTIssuer) { i.Issuer += "?a=b" }), "issuers[0].keys.type: Discovery"},
		"discovery by one with an empty query":  {issuer(func(i *v1alpha1.JWTIssuer) { i.Issuer += "?" }), "issuers[0].keys.type: Discovery"},
		"discovery in clear text":               {issuer(func(i *v1alpha1.JWTIssuer) { i.Issuer = "http://login.test" }), "issuers[0].keys.type: Discovery"},
		"keys of a Secret that is not named":    {issuer(func(i *v1alpha1.JWTIssuer) { i.Keys.Type = v1alpha1.IssuerKeysSecret }), "issuers[0].keys.secret: is missing"},
		"keys of an address that is not stated": {issuer(func(i *v1alpha1.JWTIssuer) { i.Keys.Type = v1alpha1.IssuerKeysRemoteJWKS }), "issuers[0].keys.remoteJWKS: is missing"},
		"keys of a type of the future":          {issuer(func(i *v1alpha1.JWTIssuer) { i.Keys.Type = "Oracle" }), "issuers[0].keys.type: \"Oracle\" is not supported"},
		"an issuer without algorithms":          {issuer(func(i *v1alpha1.JWTIssuer) { i.Algorithms = nil }), "issuers[0].algorithms: is missing"},
		"an issuer with a shared secret":        {issuer(func(i *v1alpha1.JWTIssuer) { i.Algorithms = []v1alpha1.Algorithm{"HS256"} }), "issuers[0].algorithms[0]: HMAC"},
		"an issuer with alg none":               {issuer(func(i *v1alpha1.JWTIssuer) { i.Algorithms = []v1alpha1.Algorithm{"none"} }), "issuers[0].algorithms[0]: \"none\" is not supported"},

		"a custom ID with a space":          {consumer(func(s *v1alpha1.ConsumerSpec) { s.CustomID = "crm 4711" }), ""},
		"a custom ID with a line break":     {consumer(func(s *v1alpha1.ConsumerSpec) { s.CustomID = "a\nb" }), "spec.customID"},
		"a custom ID beyond ASCII":          {consumer(func(s *v1alpha1.ConsumerSpec) { s.CustomID = "é" }), "spec.customID"},
		"a username with a space":           {consumer(func(s *v1alpha1.ConsumerSpec) { s.Username = "a b" }), "spec.username"},
		"a username beyond ASCII":           {consumer(func(s *v1alpha1.ConsumerSpec) { s.Username = "é" }), "spec.username"},
		"a username with DEL":               {consumer(func(s *v1alpha1.ConsumerSpec) { s.Username = "a\x7f" }), "spec.username"},
		"a group of two":                    {consumer(func(s *v1alpha1.ConsumerSpec) { s.Groups = []string{"a,b"} }), "spec.groups[0]"},
		"a group without name":              {consumer(func(s *v1alpha1.ConsumerSpec) { s.Groups = []string{""} }), "spec.groups[0]"},
		"an answer":                         {terminate(599), ""},
		"an answer beyond what there is":    {terminate(600), "terminate.statusCode"},
		"an answer that is none yet":        {terminate(199), "terminate.statusCode"},
		"an expression":                     {expression(v1alpha1.ClaimValidationRule{}), ""},
		"an expression with an operator":    {expression(v1alpha1.ClaimValidationRule{Operator: v1alpha1.ClaimExists}), "rules[0]: operator and values"},
		"an expression with values":         {expression(v1alpha1.ClaimValidationRule{Values: []string{"a"}}), "rules[0]: operator and values"},
		"a header":                          {header("X-Tier"), ""},
		"a header of two letters":           {header("X-"), "headers[0].header"},
		"a header without a name":           {header(""), "headers[0].header"},
		"a header with the prefix of none":  {header("Tier"), "headers[0].header"},
		"a header that tells who calls":     {header("X-Consumer-Id"), "headers[0].header"},
		"a namespace":                       {func(errs *problems) { newFromNamespaces("shop", "from", []string{"billing"}, errs) }, ""},
		"a namespace that there can't be":   {func(errs *problems) { newFromNamespaces("shop", "from", []string{"Billing"}, errs) }, "from[0]"},
		"a namespace that is no name alone": {func(errs *problems) { newFromNamespaces("shop", "from", []string{"a.b"}, errs) }, "from[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var errs problems
			tc.in(&errs)
			switch {
			case tc.says == "":
				if len(errs) > 0 {
					t.Errorf("problems %q, want none", errs.texts())
				}
			case len(errs) != 1 || !strings.HasPrefix(errs[0].text, tc.says):
				t.Errorf("problems %q, want one that begins with %q", errs.texts(), tc.says)
			}
		})
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ https, metadata bool }{
		"https://login.test/keys":      {true, true},
		"https://login.test:8443/?a=b": {true, true},
		"http://login.test/keys":       {},
		"https:///keys":                {},
		"https://:443/keys":            {},
		"https://me@login.test/keys":   {},
		"https://login.test/keys#a":    {},
		"https://login.test/keys#":     {true, false},
		"https:login.test":             {},
		"login.test/keys":              {},
		"https://login.test/a b":       {true, false},
		"https://login.test/a\"b":      {true, false},
		"https://login.test/a\\b":      {true, false},
		"https://login.test/é":         {true, false},
		"https://login.test/%zz":       {},
		"https://login.test/\x7f":      {},
		"":                             {},
	} {
		if _, got := httpsURL(text); got != want.https {
			t.Errorf("httpsURL(%q) = %t, want %t", text, got, want.https)
		}
		if got := isMetadataURL(text); got != want.metadata {
			t.Errorf("isMetadataURL(%q) = %t, want %t", text, got, want.metadata)
		}
	}
}

func TestIsQuotable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": true, "a realm, of !~": true, "a\"b": false, "a\\b": false, "a\nb": false, "a\x7f": false, "é": false,
	} {
		if got := isQuotable(text); got != want {
			t.Errorf("isQuotable(%q) = %t, want %t", text, got, want)
		}
	}
}

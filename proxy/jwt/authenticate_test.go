package jwt

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestTokens judges tokens of the one credential acme: two RSA keys, RS256, found by sub.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	rs := func(header, payload map[string]any) string { return mint(t, "RS256", w.newKey, header, payload) }
	claim := func(name string, value any) string { return rs(nil, claims(map[string]any{name: value})) }
	text := func(header, payload string) string { return sign(t, "RS256", w.newKey, header, payload) }
	good := rs(nil, claims(nil))
	parts := strings.Split(good, ".")
	seconds := now().Unix()
	usual := string(encode(t, claims(nil)))
	tests := map[string]struct {
		token string
		want  refusal.Reason
	}{
		"no kid":                           {good, accepted},
		"the kid of the first key":         {rs(map[string]any{"kid": "new"}, claims(nil)), accepted},
		"the kid of the second key":        {mint(t, "RS256", w.old, map[string]any{"kid": "old"}, claims(nil)), accepted},
		"no kid, the second key":           {mint(t, "RS256", w.old, nil, claims(nil)), accepted},
		"no typ":                           {rs(map[string]any{"typ": nil}, claims(nil)), accepted},
		"parameters that bring keys":       {rs(map[string]any{"jku": "https://example.com/", "jwk": map[string]any{}, "x5u": "x", "x5c": []string{"x"}}, claims(nil)), accepted},
		"unknown parameters and claims":    {rs(map[string]any{"zip": "DEF", "x": 1}, claims(map[string]any{"roles": []int{1}, "nested": map[string]any{"sub": "bob"}})), accepted},
		"an aud array":                     {claim("aud", []string{"other", "orders-api"}), accepted},
		"exp with a fraction":              {claim("exp", json.Number("1800000000.5")), accepted},
		"exp with an exponent":             {claim("exp", json.Number("18000003e2")), accepted},
		"nbf now":                          {claim("nbf", seconds), accepted},
		"iat now":                          {claim("iat", seconds), accepted},
		"no iat":                           {claim("iat", nil), accepted},
		"an iss, where none is asked for":  {claim("iss", "https://anyone.example"), accepted},
		"a cty that is not a nested token": {rs(map[string]any{"cty": "json"}, claims(nil)), accepted},

		"another's signature":            {mint(t, "RS256", w.old, map[string]any{"kid": "new"}, claims(nil)), refusal.SignatureInvalid},
		"a stranger's key":               {mint(t, "HS256", w.bobSecret, nil, claims(map[string]any{"sub": "acme"})), refusal.AlgorithmNotAllowed},
		"another's token and signature":  {parts[0] + "." + b64([]byte(strings.Replace(usual, "orders-api", "orders-apj", 1))) + "." + parts[2], refusal.SignatureInvalid},
		"the header of another token":    {strings.Split(rs(map[string]any{"x": 1}, claims(nil)), ".")[0] + "." + parts[1] + "." + parts[2], refusal.SignatureInvalid},
		"alg none, no signature":         {b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", refusal.TokenMalformed},
		"alg none, with a signature":     {b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], refusal.AlgorithmNotAllowed},
		"alg None":                       {b64([]byte(`{"alg":"None"}`)) + "." + parts[1] + "." + parts[2], refusal.AlgorithmNotAllowed},
		"RS to HS with the PEM as key":   {mint(t, "HS256", w.newPEM, nil, claims(nil)), refusal.AlgorithmNotAllowed},
		"RS to HS with the modulus":      {mint(t, "HS256", w.newKey.N.Bytes(), map[string]any{"kid": "new"}, claims(nil)), refusal.AlgorithmNotAllowed},
		"HS with an empty key":           {mint(t, "HS256", []byte{}, nil, claims(nil)), refusal.AlgorithmNotAllowed},
		"another algorithm, same key":    {mint(t, "PS256", w.newKey, nil, claims(nil)), refusal.AlgorithmNotAllowed},
		"another hash, same key":         {mint(t, "RS512", w.newKey, map[string]any{"kid": "new"}, claims(nil)), refusal.AlgorithmNotAllowed},
		"a key brought along":            {mint(t, "EdDSA", w.ed, map[string]any{"jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "AA"}}, claims(nil)), refusal.AlgorithmNotAllowed},
		"an unknown kid, a good key":     {rs(map[string]any{"kid": "newer"}, claims(nil)), refusal.KeyUnknown},
		"a kid of another case":          {rs(map[string]any{"kid": "New"}, claims(nil)), refusal.KeyUnknown},
		"an empty kid":                   {rs(map[string]any{"kid": ""}, claims(nil)), refusal.KeyUnknown},
		"kid null":                       {text(`{"alg":"RS256","kid":null}`, usual), refusal.TokenMalformed},
		"a number as kid":                {rs(map[string]any{"kid": 7}, claims(nil)), refusal.TokenMalformed},
		"no alg":                         {text(`{}`, usual), refusal.TokenMalformed},
		"a number as alg":                {text(`{"alg":5}`, usual), refusal.TokenMalformed},
		"alg twice":                      {text(`{"alg":"none","alg":"RS256"}`, usual), refusal.TokenMalformed},
		"Alg beside alg":                 {text(`{"Alg":"none","alg":"RS256"}`, usual), refusal.TokenMalformed},
		"crit":                           {rs(map[string]any{"crit": []string{"x"}, "x": 1}, claims(nil)), refusal.TokenMalformed},
		"crit null":                      {text(`{"alg":"RS256","crit":null}`, usual), refusal.TokenMalformed},
		"b64":                            {rs(map[string]any{"b64": true}, claims(nil)), refusal.TokenMalformed},
		"a nested token":                 {rs(map[string]any{"cty": "jwt"}, claims(nil)), refusal.TokenMalformed},
		"a nested token by media type":   {rs(map[string]any{"cty": "application/JWT"}, claims(nil)), refusal.TokenMalformed},
		"a number as cty":                {rs(map[string]any{"cty": 1}, claims(nil)), refusal.TokenMalformed},
		"a header that is an array":      {text(`[]`, usual), refusal.TokenMalformed},
		"a payload that is an array":     {text(`{"alg":"RS256"}`, `[]`), refusal.TokenMalformed},
		"a payload with text behind":     {text(`{"alg":"RS256"}`, usual+"x"), refusal.TokenMalformed},
		"a payload with a mark":          {text(`{"alg":"RS256"}`, "\xef\xbb\xbf"+usual), refusal.TokenMalformed},
		"a payload that is not UTF-8":    {text(`{"alg":"RS256"}`, `{"x":"`+"\xff"+`",`+usual[1:]), refusal.TokenMalformed},
		"a payload 4000 deep":            {text(`{"alg":"RS256"}`, `{"x":`+strings.Repeat("[", 4000)), refusal.TokenMalformed},
		"exp twice":                      {text(`{"alg":"RS256"}`, `{"exp":1,`+usual[1:]), refusal.TokenMalformed},
		"EXP beside exp":                 {text(`{"alg":"RS256"}`, `{"EXP":9999999999,`+usual[1:]), refusal.TokenMalformed},
		"two segments":                   {parts[0] + "." + parts[1], refusal.TokenMalformed},
		"four segments":                  {good + ".", refusal.TokenMalformed},
		"one segment":                    {"abc", refusal.TokenMalformed},
		"dots":                           {"..", refusal.TokenMalformed},
		"no header":                      {"." + parts[1] + "." + parts[2], refusal.TokenMalformed},
		"no payload":                     {parts[0] + ".." + parts[2], refusal.TokenMalformed},
		"a header that is not base64url": {"?" + good, refusal.TokenMalformed},
		"padding":                        {good + "==", refusal.TokenMalformed},
		"a payload with a bit more":      {parts[0] + "." + parts[1] + "x." + parts[2], refusal.TokenMalformed},

		"a sub of nobody":           {claim("sub", "nobody"), refusal.CredentialUnknown},
		"a sub of another case":     {claim("sub", "ACME"), refusal.CredentialUnknown},
		"an empty sub":              {claim("sub", ""), refusal.CredentialUnknown},
		"no sub":                    {claim("sub", nil), refusal.ClaimMissing},
		"a sub that is a number":    {claim("sub", 7), refusal.ClaimMissing},
		"another's sub, own key":    {rs(nil, claims(map[string]any{"sub": "bob"})), refusal.AlgorithmNotAllowed},
		"expired":                   {claim("exp", seconds-1), refusal.TokenExpired},
		"expiring now":              {claim("exp", seconds), refusal.TokenExpired},
		"exp zero":                  {claim("exp", 0), refusal.TokenExpired},
		"expired and forged":        {mint(t, "RS256", w.old, map[string]any{"kid": "new"}, claims(map[string]any{"exp": 1})), refusal.SignatureInvalid},
		"no exp":                    {claim("exp", nil), refusal.ClaimMissing},
		"exp as a string":           {claim("exp", "1800000300"), refusal.TokenMalformed},
		"exp null":                  {text(`{"alg":"RS256"}`, strings.Replace(usual, `"exp":1800000300`, `"exp":null`, 1)), refusal.TokenMalformed},
		"exp true":                  {claim("exp", true), refusal.TokenMalformed},
		"exp negative":              {claim("exp", -1), refusal.TokenMalformed},
		"exp in milliseconds":       {claim("exp", seconds*1000), refusal.TokenMalformed},
		"exp beyond all numbers":    {claim("exp", json.Number("1e400")), refusal.TokenMalformed},
		"exp beyond 64 bits":        {claim("exp", json.Number("18446744073709551617")), refusal.TokenMalformed},
		"nbf in the future":         {claim("nbf", seconds+1), refusal.TokenNotYetValid},
		"nbf as a string":           {claim("nbf", "1"), refusal.TokenMalformed},
		"iat in the future":         {claim("iat", seconds+1), refusal.TokenNotYetValid},
		"iat as an object":          {claim("iat", map[string]any{}), refusal.TokenMalformed},
		"iss as an array":           {claim("iss", []string{"a"}), refusal.TokenMalformed},
		"no aud":                    {claim("aud", nil), refusal.AudienceMismatch},
		"another aud":               {claim("aud", "other"), refusal.AudienceMismatch},
		"aud of another case":       {claim("aud", "Orders-API"), refusal.AudienceMismatch},
		"a longer aud":              {claim("aud", "orders-api-2"), refusal.AudienceMismatch},
		"an empty aud":              {claim("aud", ""), refusal.AudienceMismatch},
		"an aud array of none":      {claim("aud", []string{}), refusal.AudienceMismatch},
		"an aud array with numbers": {claim("aud", []any{"orders-api", 1}), refusal.TokenMalformed},
		"an aud object":             {claim("aud", map[string]any{"orders-api": true}), refusal.TokenMalformed},
		"bound to its sender":       {claim("cnf", map[string]any{"jkt": "x"}), refusal.BindingFailed},
		"bound to nothing":          {text(`{"alg":"RS256"}`, `{"cnf":null,`+usual[1:]), refusal.BindingFailed},
		"scope as a number":         {claim("scope", 1), refusal.TokenMalformed},
		"scp with a number":         {claim("scp", []any{1}), refusal.TokenMalformed},
		"a token above the limit":   {strings.Repeat("a", 8193), refusal.TokenTooLarge},
		"a million dots":            {strings.Repeat(".", 1_000_000), refusal.TokenTooLarge},
		"a token at the limit":      {strings.Repeat("a", 8192), refusal.TokenMalformed},
	}
	p := w.policy(t, nil)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, allowed := judge(t, p, bearer(tc.token))
			if got != tc.want {
				t.Fatalf("%s, want %s", word(got), word(tc.want))
			}
			if got != accepted {
				return
			}
			id := allowed.Identity()
			if id.Consumer.Username != "acme" || id.KeyID != "acme" || id.Credential.Name != "acme-orders" {
				t.Errorf("identity %+v", id)
			}
		})
	}
}

func TestIdentityCarriesTheConsumersFacts(t *testing.T) {
	w := newWorld(t)
	_, allowed := judge(t, w.policy(t, nil), bearer(mint(t, "RS256", w.newKey, nil, claims(nil))))
	want := Identity{Consumer: &w.acmeConsumer, Credential: w.acme.Key, KeyID: "acme"}
	if diff := cmp.Diff(want, allowed.Identity(), cmpopts.IgnoreUnexported(keyring.Consumer{})); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

func TestStatesOfCredentialAndConsumer(t *testing.T) {
	tests := map[string]struct {
		change func(*keyring.Entry)
		want   refusal.Reason
	}{
		"active":                     {func(*keyring.Entry) {}, accepted},
		"a suspended credential":     {func(e *keyring.Entry) { e.State = keyring.StateSuspended }, refusal.CredentialSuspended},
		"a consumer that is missing": {func(e *keyring.Entry) { e.Consumer = nil }, refusal.ConsumerUnknown},
		"a suspended consumer":       {func(e *keyring.Entry) { e.Consumer.State = keyring.StateSuspended }, refusal.ConsumerSuspended},
		"no usable key":              {func(e *keyring.Entry) { e.Keys = nil }, refusal.KeyUnknown},
		"the key was taken away":     {func(e *keyring.Entry) { e.Keys = e.Keys[1:] }, refusal.SignatureInvalid},
		"another keyID":              {func(e *keyring.Entry) { e.KeyID = "acme-2" }, refusal.CredentialUnknown},
		"its issuer":                 {func(e *keyring.Entry) { e.Issuer = "https://acme.example" }, accepted},
		"another issuer":             {func(e *keyring.Entry) { e.Issuer = "https://acme.example/" }, refusal.IssuerUnknown},
		"its audience":               {func(e *keyring.Entry) { e.Audiences = []string{"x", "orders-api"} }, accepted},
		"another audience":           {func(e *keyring.Entry) { e.Audiences = []string{"x"} }, refusal.AudienceMismatch},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.policy(t, nil)
			tc.change(&w.acme)
			w.set(&w.acme)
			token := mint(t, "RS256", w.newKey, nil, claims(map[string]any{"iss": "https://acme.example"}))
			if got, _ := judge(t, p, bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
	t.Run("a credential with an issuer refuses tokens without one", func(t *testing.T) {
		w := newWorld(t)
		w.acme.Issuer = "https://acme.example"
		w.set(&w.acme)
		if got, _ := judge(t, w.policy(t, nil), bearer(mint(t, "RS256", w.newKey, nil, claims(nil)))); got != refusal.IssuerUnknown {
			t.Errorf("%s, want issuer_unknown", word(got))
		}
	})
	t.Run("a deleted credential", func(t *testing.T) {
		w := newWorld(t)
		p := w.policy(t, nil)
		w.ring.Delete(w.acme.Key)
		if got, _ := judge(t, p, bearer(mint(t, "RS256", w.newKey, nil, claims(nil)))); got != refusal.CredentialUnknown {
			t.Errorf("%s, want credential_unknown", word(got))
		}
	})
}

func TestLookup(t *testing.T) {
	w := newWorld(t)
	// carol has the kid "new" too, is younger than acme, and signs with the old key.
	carol := w.acme
	carol.Key.Name, carol.KeyID, carol.Created = "carol", "carol", time.Unix(300, 0)
	carol.Labels = map[string]string{"tier": "internal"}
	carol.Keys = keyring.Keys(parseKey(t, spki(t, w.old.Public()), "new", jose.RS256))
	w.set(&carol)
	byKID := func(cfg *routing.JWT) { cfg.Lookup = routing.Lookup{Type: routing.LookupKID, Name: "kid"} }
	byClaim := func(name string) func(*routing.JWT) {
		return func(cfg *routing.JWT) { cfg.Lookup.Name = name }
	}
	selecting := func(values ...string) []routing.LabelRequirement {
		return []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelIn, Values: values}}
	}
	kid := func(key any, kid any) string {
		return mint(t, "RS256", key, map[string]any{"kid": kid}, claims(map[string]any{"sub": "x"}))
	}
	tests := map[string]struct {
		change func(*routing.JWT)
		token  string
		want   refusal.Reason
		who    string
	}{
		"by iss": {byClaim("iss"), mint(t, "RS256", w.newKey, nil, claims(map[string]any{"iss": "acme", "sub": "x"})), accepted, "acme"},
		"by a claim of their own": {
			byClaim("https://example.com/client"), mint(t, "RS256", w.newKey, nil, claims(map[string]any{"https://example.com/client": "acme"})), accepted, "acme",
		},
		"by a claim that is in a nested object": {
			byClaim("client"), mint(t, "RS256", w.newKey, nil, claims(map[string]any{"x": map[string]any{"client": "acme"}})), refusal.ClaimMissing, "",
		},
		"by a claim that is a date":      {byClaim("exp"), mint(t, "RS256", w.newKey, nil, claims(nil)), refusal.ClaimMissing, ""},
		"by kid":                         {byKID, kid(w.old, "old"), accepted, "acme-orders"},
		"by a kid of two: the oldest":    {byKID, kid(w.newKey, "new"), accepted, "acme-orders"},
		"by a kid of two: not the other": {byKID, kid(w.old, "new"), refusal.SignatureInvalid, ""},
		"by a kid of two: the selected one": {
			func(cfg *routing.JWT) { byKID(cfg); cfg.Selector = selecting("internal") }, kid(w.old, "new"), accepted, "carol",
		},
		"by a kid of two: none selected": {
			func(cfg *routing.JWT) { byKID(cfg); cfg.Selector = selecting("gold") }, kid(w.old, "new"), refusal.CredentialUnknown, "",
		},
		"by kid, unknown":     {byKID, kid(w.old, "older"), refusal.CredentialUnknown, ""},
		"by kid, none":        {byKID, mint(t, "RS256", w.newKey, nil, claims(nil)), refusal.CredentialUnknown, ""},
		"by kid, empty":       {byKID, kid(w.newKey, ""), refusal.CredentialUnknown, ""},
		"selected":            {func(cfg *routing.JWT) { cfg.Selector = selecting("gold", "partner") }, mint(t, "RS256", w.newKey, nil, claims(nil)), accepted, "acme"},
		"not selected":        {func(cfg *routing.JWT) { cfg.Selector = selecting("gold") }, mint(t, "RS256", w.newKey, nil, claims(nil)), refusal.CredentialUnknown, ""},
		"of another place":    {func(cfg *routing.JWT) { cfg.Namespace = "bank" }, mint(t, "RS256", w.newKey, nil, claims(nil)), refusal.CredentialUnknown, ""},
		"a secret, by name":   {nil, mint(t, "HS256", w.bobSecret, nil, claims(map[string]any{"sub": "bob"})), accepted, "bob"},
		"a secret, a kid":     {nil, mint(t, "HS256", w.bobSecret, map[string]any{"kid": "k"}, claims(map[string]any{"sub": "bob"})), refusal.KeyUnknown, ""},
		"a secret, empty kid": {nil, mint(t, "HS256", w.bobSecret, map[string]any{"kid": ""}, claims(map[string]any{"sub": "bob"})), refusal.KeyUnknown, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, allowed := judge(t, w.policy(t, tc.change), bearer(tc.token))
			if got != tc.want {
				t.Fatalf("%s, want %s", word(got), word(tc.want))
			}
			if who := allowed.Identity().Credential.Name; got == accepted && who != tc.who && allowed.Identity().KeyID != tc.who {
				t.Errorf("credential %q, want %q", who, tc.who)
			}
		})
	}
}

// TestTooManyKeysNeedAKID bounds what one token may cost.
func TestTooManyKeysNeedAKID(t *testing.T) {
	w := newWorld(t)
	key := w.acme.Keys[1]
	w.acme.Keys = w.acme.Keys[:1]
	for len(w.acme.Keys) < maxTrials {
		w.acme.Keys = append([]keyring.Key{key}, w.acme.Keys...)
	}
	w.set(&w.acme)
	p := w.policy(t, nil)
	anonymous := bearer(mint(t, "RS256", w.newKey, nil, claims(nil)))
	if got, _ := judge(t, p, anonymous); got != accepted {
		t.Errorf("%d keys: %s", maxTrials, word(got))
	}
	w.acme.Keys = append(w.acme.Keys, key)
	w.set(&w.acme)
	if got, _ := judge(t, p, anonymous); got != refusal.KeyUnknown {
		t.Errorf("%d keys: %s, want key_unknown", maxTrials+1, word(got))
	}
	if got, _ := judge(t, p, bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(nil)))); got != accepted {
		t.Errorf("with a kid: %s", word(got))
	}
}

func TestClockSkewAndExpiration(t *testing.T) {
	w := newWorld(t)
	skewed := func(cfg *routing.JWT) { cfg.ClockSkew = 30 * time.Second }
	optional := func(cfg *routing.JWT) { cfg.Expiration = routing.ExpirationOptional }
	seconds := now().Unix()
	for name, tc := range map[string]struct {
		change func(*routing.JWT)
		claims map[string]any
		want   refusal.Reason
	}{
		"expired within the skew":         {skewed, map[string]any{"exp": seconds - 29}, accepted},
		"expired at the end of the skew":  {skewed, map[string]any{"exp": seconds - 30}, refusal.TokenExpired},
		"nbf within the skew":             {skewed, map[string]any{"nbf": seconds + 30}, accepted},
		"nbf behind the skew":             {skewed, map[string]any{"nbf": seconds + 31}, refusal.TokenNotYetValid},
		"iat within the skew":             {skewed, map[string]any{"iat": seconds + 30}, accepted},
		"iat behind the skew":             {skewed, map[string]any{"iat": seconds + 31}, refusal.TokenNotYetValid},
		"no exp where none is needed":     {optional, map[string]any{"exp": nil}, accepted},
		"expired where no exp is needed":  {optional, map[string]any{"exp": seconds - 1}, refusal.TokenExpired},
		"a bad exp where none is needed":  {optional, map[string]any{"exp": "soon"}, refusal.TokenMalformed},
		"nbf of the year 1970":            {nil, map[string]any{"nbf": 0, "iat": 0}, accepted},
		"exp in the last second of times": {nil, map[string]any{"exp": 253402300799}, accepted},
	} {
		t.Run(name, func(t *testing.T) {
			token := mint(t, "RS256", w.newKey, nil, claims(tc.claims))
			if got, _ := judge(t, w.policy(t, tc.change), bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}

func TestAudiencesOfEveryLevelMustBeMet(t *testing.T) {
	for name, tc := range map[string]struct {
		policy, credential []string
		match              routing.AudienceMatch
		aud                any
		want               refusal.Reason
	}{
		"the policy's":                          {[]string{"a", "b"}, nil, routing.AudienceMatchAny, "b", accepted},
		"the credential's":                      {nil, []string{"a"}, routing.AudienceMatchAny, "a", accepted},
		"one of each":                           {[]string{"a"}, []string{"b"}, routing.AudienceMatchAny, []string{"a", "b"}, accepted},
		"one for both":                          {[]string{"a", "c"}, []string{"c"}, routing.AudienceMatchAny, "c", accepted},
		"the credential does not widen":         {[]string{"a"}, []string{"b"}, routing.AudienceMatchAny, "b", refusal.AudienceMismatch},
		"the policy does not widen":             {[]string{"a"}, []string{"b"}, routing.AudienceMatchAny, "a", refusal.AudienceMismatch},
		"none stated":                           {nil, nil, routing.AudienceMatchAny, "a", refusal.AudienceMismatch},
		"none stated, none in the token":        {nil, nil, routing.AudienceMatchAny, nil, refusal.AudienceMismatch},
		"ignored":                               {nil, nil, routing.AudienceIgnore, "a", accepted},
		"ignored, none in the token":            {nil, nil, routing.AudienceIgnore, nil, accepted},
		"ignored, the credential's met":         {nil, []string{"b"}, routing.AudienceIgnore, "b", accepted},
		"ignored, the credential's not met":     {nil, []string{"b"}, routing.AudienceIgnore, "a", refusal.AudienceMismatch},
		"ignored although the policy has some":  {[]string{"a"}, nil, routing.AudienceIgnore, "b", accepted},
		"ignored, but a number is no audience":  {nil, nil, routing.AudienceIgnore, 1, refusal.TokenMalformed},
		"ignored, the credential's, none there": {nil, []string{"b"}, routing.AudienceIgnore, nil, refusal.AudienceMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.acme.Audiences = tc.credential
			w.set(&w.acme)
			p := w.policy(t, func(cfg *routing.JWT) { cfg.Audiences, cfg.AudienceMatch = tc.policy, tc.match })
			token := mint(t, "RS256", w.newKey, nil, claims(map[string]any{"aud": tc.aud}))
			if got, _ := judge(t, p, bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestMonotonicClockIsNotUsed: a clock that was set back and forth is judged by what it says now.
func TestMonotonicClockIsNotUsed(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, nil)
	wall := time.Now()
	token := mint(t, "RS256", w.newKey, nil, jwt.MapClaims{"sub": "acme", "aud": "orders-api", "exp": wall.Add(time.Minute).Unix()})
	for name, tc := range map[string]struct {
		at   time.Time
		want bool
	}{
		"now": {wall, true}, "an hour back": {wall.Add(-time.Hour), true}, "an hour forth": {wall.Add(time.Hour), false},
	} {
		if _, refused := p.Authenticate(t.Context(), bearer(token), tc.at); (refused == nil) != tc.want {
			t.Errorf("%s: refused %v", name, refused)
		}
	}
}

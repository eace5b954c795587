package compile_test

import (
	"encoding/pem"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// enumNames are the names of enums, by value.
func enumNames() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[routing.Insecure]():         {"Refuse", "Redirect", "Serve"},
		reflect.TypeFor[routing.PathMatchType]():    {"Exact", "RegularExpression", "PathPrefix"},
		reflect.TypeFor[routing.HeaderMatchType]():  {"Exact", "RegularExpression"},
		reflect.TypeFor[routing.Mode]():             {"Required", "Optional"},
		reflect.TypeFor[routing.Enforcement]():      {"Enforce", "DryRun"},
		reflect.TypeFor[routing.LabelOperator]():    {"In", "NotIn", "Exists", "DoesNotExist"},
		reflect.TypeFor[routing.LookupType]():       {"Claim", "KID"},
		reflect.TypeFor[routing.AudienceMatch]():    {"MatchAny", "Ignore"},
		reflect.TypeFor[routing.TokenSourceType]():  {"Authorization", "Header", "Cookie", "Query", "FormBody", "JSONBody"},
		reflect.TypeFor[routing.Expiration]():       {"Required", "Optional"},
		reflect.TypeFor[routing.ErrorBody]():        {"ProblemDetails", "None"},
		reflect.TypeFor[routing.ClaimEncoding]():    {"CommaSeparated", "JSON"},
		reflect.TypeFor[routing.ClaimOperator]():    {"In", "NotIn", "Contains", "ContainsAny", "Exists", "DoesNotExist"},
		reflect.TypeFor[routing.ExpiryAction]():     {"Close", "Keep"},
		reflect.TypeFor[routing.SenderConstraint](): {"Refuse", "Ignore"},
		reflect.TypeFor[routing.ScopeMatch]():       {"All", "Any"},
		reflect.TypeFor[routing.TokenForwarding]():  {"Strip", "Preserve"},
		reflect.TypeFor[routing.Detail]():           {"Standard", "Reason", "None"},
		reflect.TypeFor[routing.HostPolicy]():       {"Preserve", "Backend"},
		reflect.TypeFor[routing.UpstreamProtocol](): {"HTTP", "HTTPS", "H2C"},
		reflect.TypeFor[keyring.State]():            {"Suspended", "Active"},
		reflect.TypeFor[routing.CredentialUse]():    {"Taken", "Refused"},
		reflect.TypeFor[routing.ConsumerMapping]():  {"Required", "Optional"},
		reflect.TypeFor[compile.Serving]():          {"Nothing", "All", "Broken"},
	}
}

// view turns compiled values into what a golden file shows: names instead of numbers, no empty fields but enums, and
// nothing secret.
func view(v reflect.Value) any {
	if names, ok := enumNames()[v.Type()]; ok {
		return names[v.Uint()]
	}
	switch value := v.Interface().(type) {
	case routing.ObjectKey:
		return value.Namespace + "/" + value.Name
	case time.Duration:
		return value.String()
	case time.Time:
		return nonEmpty(value.IsZero(), value.UTC().Format(time.RFC3339))
	case keyring.Names:
		return nonEmpty(len(value) == 0, slices.Sorted(maps.Keys(value)))
	case keyring.Revocation:
		if reflect.DeepEqual(value, keyring.Revocation{}) {
			return nil
		}
	case keyring.Key:
		shown := fmt.Sprintf("kid %q for %v", value.KID(), value.Algorithms())
		if !value.NotBefore.IsZero() {
			shown += " from " + value.NotBefore.UTC().Format(time.RFC3339)
		}
		if !value.NotAfter.IsZero() {
			shown += " until " + value.NotAfter.UTC().Format(time.RFC3339)
		}
		return shown
	case routing.RemoteKeys:
		return nonEmpty(value.IsZero(), remoteView(value))
	case routing.KeyMaterial:
		return nonEmpty(len(value) == 0, "keys of a Secret")
	case routing.PrivateKeyPEM:
		return nonEmpty(len(value) == 0, "a private key")
	case []byte:
		return nonEmpty(len(value) == 0, describePEM(value))
	case routing.UpstreamTLS:
		if value.RootCAs == "" {
			return "verified by the system's roots"
		}
		return "verified by " + describePEM([]byte(value.RootCAs))
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return view(v.Elem())
	case reflect.Slice:
		var list []any
		for i := range v.Len() {
			list = append(list, view(v.Index(i)))
		}
		return nonEmpty(len(list) == 0, list)
	case reflect.Map:
		fields := map[string]any{}
		for _, key := range v.MapKeys() {
			fields[fmt.Sprint(view(key))] = view(v.MapIndex(key))
		}
		return nonEmpty(len(fields) == 0, fields)
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // worked out of the others
			}
			if shown := view(v.Field(i)); shown != nil {
				fields[fieldName(v.Type().Field(i).Name)] = shown
			}
		}
		return fields
	case reflect.String:
		return nonEmpty(v.Len() == 0, v.String())
	default:
		return v.Interface()
	}
}

func remoteView(r routing.RemoteKeys) string {
	trust := "the system's roots"
	if r.RootCAs != "" {
		trust = describePEM([]byte(r.RootCAs))
	}
	if r.Issuer != "" {
		return fmt.Sprintf("discovered at %s, verified by %s", r.Issuer, trust)
	}
	return fmt.Sprintf("fetched from %s, verified by %s", r.URI, trust)
}

func nonEmpty(empty bool, v any) any {
	if empty {
		return nil
	}
	return v
}

func describePEM(data []byte) string {
	var types []string
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		types = append(types, block.Type)
	}
	if len(types) == 0 {
		return "nothing"
	}
	return "PEM: " + strings.Join(types, ", ")
}

// fieldName writes a field as YAML would: Host as host, URLs as urls, UID as uid.
func fieldName(name string) string {
	switch name {
	case "ACLs", "JWT", "TLS", "UID", "URLs":
		return strings.ToLower(name)
	default:
		return strings.ToLower(name[:1]) + name[1:]
	}
}

// configView is config.golden.yaml.
func (o *output) configView(t testing.TB) string {
	t.Helper()
	shown, ok := view(reflect.ValueOf(o.config)).(map[string]any)
	if !ok {
		t.Fatal("the view of a Config is no map")
	}
	if identities := view(reflect.ValueOf(o.identities)); identities != nil {
		shown["identities"] = identities
	}
	if len(o.credentials) > 0 {
		shown["credentials"] = view(reflect.ValueOf(o.credentials))
	}
	if len(o.endpoints) > 0 {
		shown["endpoints"] = view(reflect.ValueOf(o.endpoints))
	}
	return marshal(t, shown)
}

// reportView is report.golden.yaml.
func (o *output) reportView(t testing.TB) string {
	t.Helper()
	shown := map[string]any{}
	for kind, verdicts := range map[string]map[routing.ObjectKey]compile.Verdict{
		"pipelines":        o.report.Pipelines,
		"serviceEndpoints": o.report.ServiceEndpoints,
		"consumers":        o.report.Consumers,
		"credentials":      o.credentialVerdicts,
	} {
		if len(verdicts) > 0 {
			shown[kind] = verdictViews(verdicts)
		}
	}
	return marshal(t, shown)
}

func verdictViews(verdicts map[routing.ObjectKey]compile.Verdict) map[string]any {
	views := map[string]any{}
	for key, v := range verdicts {
		conditions := map[string]any{}
		for _, c := range v.Conditions {
			conditions[string(c.Type)] = map[string]any{
				"is":      fmt.Sprintf("%s (%s)", c.Status, c.Reason),
				"message": strings.Split(c.Message, ". "),
			}
		}
		one := map[string]any{"serving": view(reflect.ValueOf(v.Serving)), "conditions": conditions}
		if len(v.Keys) > 0 {
			one["keys"] = keyViews(v.Keys)
		}
		if v.Broken != "" {
			one["broken"] = v.Broken
		}
		views[key.Namespace+"/"+key.Name] = one
	}
	return views
}

// keyViews shows a key in one line; its bounds are in the Config.
func keyViews(keys []compile.KeyReport) []string {
	lines := make([]string, len(keys))
	for i, k := range keys {
		lines[i] = fmt.Sprintf("%s: %s %s for %v from %s", k.Name, k.State, k.Thumbprint, k.Algorithms, k.Source)
		if k.Unusable != "" {
			lines[i] = fmt.Sprintf("%s: %s from %s is no key: %s", k.Name, k.Thumbprint, k.Source, k.Unusable)
		}
	}
	return lines
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

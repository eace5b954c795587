package compile

import (
	"fmt"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// draftPolicies is what happens to the requests of a Pipeline: an optional token policy, ACLs behind it, and one answer.
type draftPolicies struct {
	jwt  *routing.JWT
	acls []routing.ACL
	// jwtPolicy is what jwt comes from, jwtField where it is.
	jwtPolicy *v1alpha1.JWTPolicy
	jwtField  string
	proxy     *routing.Proxy
	terminate *routing.Terminate
	// proxyField is where proxy comes from.
	proxyField string
	// hostDefault says that proxy.host is absent: the ServiceEndpoint decides.
	hostDefault bool
	// audiencesUnstated is the field of a token policy that asks for an audience and states none.
	audiencesUnstated string
}

// newPolicies compiles the policies. The API server has checked their order and members already; they are checked again
// since a Pipeline whose policies are not certain must not be served.
func newPolicies(p *v1alpha1.Pipeline, errs *problems) draftPolicies {
	var drafts draftPolicies
	answered := false
	for i := range p.Spec.Policies {
		policy := &p.Spec.Policies[i]
		field := fmt.Sprintf("spec.policies[%d]", i)
		if answered {
			errs.invalid("%s: nothing comes after a policy of type Proxy or Terminate; write that policy last and once", field)
		}
		switch policy.Type {
		case v1alpha1.PolicyJWT:
			if len(drafts.acls) > 0 {
				errs.invalid("%s: comes behind a policy of type ACL, which needs its caller; move it to the front", field)
			}
			if drafts.jwt != nil {
				errs.invalid("%s: a second policy of type JWT; merge the two", field)
			}
			if checkMember(field, policy, errs) {
				drafts.newJWT(p, field+".jwt", policy.JWT, errs)
			}
		case v1alpha1.PolicyACL:
			if drafts.jwt == nil {
				errs.invalid("%s: only the caller of a verified token has groups; write a policy of type JWT in front of it", field)
			}
			if checkMember(field, policy, errs) {
				drafts.acls = append(drafts.acls, newACL(field+".acl", policy.ACL, errs))
			}
		case v1alpha1.PolicyProxy:
			answered = true
			if checkMember(field, policy, errs) {
				drafts.newProxy(p, field+".proxy", policy.Proxy, errs)
			}
		case v1alpha1.PolicyTerminate:
			answered = true
			if checkMember(field, policy, errs) {
				drafts.terminate = newTerminate(field+".terminate", policy.Terminate, errs)
			}
		default:
			errs.add(v1alpha1.ReasonUnsupportedValue, "%s.type: %s is not supported; write JWT, ACL, Proxy or Terminate",
				field, quote(policy.Type))
		}
	}
	if !answered {
		errs.invalid("spec.policies: nothing answers the request; write a policy of type Proxy or Terminate last")
	}
	if drafts.jwt == nil {
		for i := range p.Spec.APIEndpoints {
			if len(p.Spec.APIEndpoints[i].Scopes) > 0 {
				errs.invalid("spec.apiEndpoints[%d].scopes: only a verified token has scopes; "+
					"write a policy of type JWT, or leave scopes out", i)
			}
		}
	}
	return drafts
}

func (d *draftPolicies) newJWT(p *v1alpha1.Pipeline, field string, policy *v1alpha1.JWTPolicy, errs *problems) {
	d.jwtPolicy, d.jwtField = policy, field
	d.jwt = newJWT(p, field, policy, errs)
	if d.jwt.Credentials == routing.CredentialsTaken && len(d.jwt.Audiences) == 0 && d.jwt.AudienceMatch == routing.AudienceMatchAny {
		d.audiencesUnstated = field
	}
}

// checkMember reports whether the member that the type asks for is there; others are a problem.
func checkMember(field string, policy *v1alpha1.Policy, errs *problems) bool {
	found := false
	for _, member := range []struct {
		of   v1alpha1.PolicyType
		name string
		set  bool
	}{
		{v1alpha1.PolicyJWT, "jwt", policy.JWT != nil},
		{v1alpha1.PolicyACL, "acl", policy.ACL != nil},
		{v1alpha1.PolicyProxy, "proxy", policy.Proxy != nil},
		{v1alpha1.PolicyTerminate, "terminate", policy.Terminate != nil},
	} {
		switch {
		case member.of == policy.Type && member.set:
			found = true
		case member.of == policy.Type:
			errs.invalid("%s.%s: is missing; a policy of type %s needs it", field, member.name, policy.Type)
		case member.set:
			errs.invalid("%s.%s: does not belong to a policy of type %s; write another policy for it",
				field, member.name, policy.Type)
		}
	}
	return found
}

func newACL(field string, acl *v1alpha1.ACLPolicy, errs *problems) routing.ACL {
	if len(acl.AllowGroups) == 0 && len(acl.DenyGroups) == 0 {
		errs.invalid("%s: names no group; write allowGroups, denyGroups or both", field)
	}
	for _, list := range []struct {
		name   string
		groups []string
	}{{"allowGroups", acl.AllowGroups}, {"denyGroups", acl.DenyGroups}} {
		for i, group := range list.groups {
			if !isGroup(group) {
				errs.invalid("%s.%s[%d]: %s can't be a Consumer's group; write visible ASCII characters without commas",
					field, list.name, i, quote(group))
			}
		}
	}
	return routing.ACL{AllowGroups: stated(acl.AllowGroups), DenyGroups: stated(acl.DenyGroups)}
}

func (d *draftPolicies) newProxy(p *v1alpha1.Pipeline, field string, proxy *v1alpha1.ProxyPolicy, errs *problems) {
	if proxy.ServiceEndpointRef.Name == "" {
		errs.invalid("%s.serviceEndpointRef.name: is missing; write the name of a ServiceEndpoint", field)
	}
	d.proxyField = field
	d.hostDefault = proxy.Host == ""
	d.proxy = &routing.Proxy{
		Upstream: routing.ObjectKey{Namespace: p.Namespace, Name: proxy.ServiceEndpointRef.Name},
		Host: choose(errs, field+".host", proxy.Host,
			choice[v1alpha1.HostPolicy, routing.HostPolicy]{v1alpha1.HostPreserve, routing.HostPreserve},
			choice[v1alpha1.HostPolicy, routing.HostPolicy]{v1alpha1.HostBackend, routing.HostBackend},
		),
	}
}

// defaultContentType is that of a Terminate policy's body.
const defaultContentType = "text/plain; charset=utf-8"

func newTerminate(field string, terminate *v1alpha1.TerminatePolicy, errs *problems) *routing.Terminate {
	if terminate.StatusCode < 200 || terminate.StatusCode > 599 {
		errs.invalid("%s.statusCode: %d is not the status of a final response; write 200 to 599", field, terminate.StatusCode)
	}
	draft := &routing.Terminate{
		StatusCode:  int(terminate.StatusCode),
		Body:        terminate.Body,
		ContentType: terminate.ContentType,
	}
	if draft.Body != "" && draft.ContentType == "" {
		draft.ContentType = defaultContentType
	}
	return draft
}

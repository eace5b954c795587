package compile

import (
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/expr"
	"github.com/ostiary/ostiary/proxy/jsonpointer"
	"github.com/ostiary/ostiary/proxy/routing"
)

// newClaimRules compiles the conditions on claims. One that can't be understood is a problem: left out, it would let
// tokens through.
func newClaimRules(field string, claimRules []v1alpha1.ClaimValidationRule, errs *problems) []routing.ClaimRule {
	var drafts []routing.ClaimRule
	for i := range claimRules {
		rule := &claimRules[i]
		at := fmt.Sprintf("%s[%d]", field, i)
		if rule.Message != "" && !isQuotable(rule.Message) {
			errs.invalid("%s.message: %s can't be sent; write printable ASCII without quotes and backslashes", at, quote(rule.Message))
		}
		draft := routing.ClaimRule{Claim: rule.Claim, Expression: rule.Expression, Message: rule.Message}
		switch {
		case (rule.Claim == "") == (rule.Expression == ""):
			errs.invalid("%s: write either claim with operator, or expression", at)
		case rule.Claim == "":
			newClaimExpression(at, rule, errs)
		default:
			newClaimOperator(at, rule, &draft, errs)
		}
		drafts = append(drafts, draft)
	}
	return drafts
}

func newClaimExpression(at string, rule *v1alpha1.ClaimValidationRule, errs *problems) {
	if rule.Operator != "" || len(rule.Values) > 0 {
		errs.invalid("%s: operator and values belong to claim; leave them out, or write them into the expression", at)
	}
	if _, err := expr.Compile(rule.Expression, expr.ScopeClaims); err != nil {
		errs.invalid("%s.expression: %s", at, err)
	}
}

func newClaimOperator(at string, rule *v1alpha1.ClaimValidationRule, draft *routing.ClaimRule, errs *problems) {
	checkPointer(at+".claim", rule.Claim, errs)
	if rule.Operator == "" {
		errs.invalid("%s.operator: is missing; write In, NotIn, Contains, ContainsAny, Exists or DoesNotExist", at)
		return
	}
	known := len(*errs)
	draft.Operator = choose(errs, at+".operator", rule.Operator,
		choice[v1alpha1.ClaimOperator, routing.ClaimOperator]{v1alpha1.ClaimIn, routing.ClaimIn},
		choice[v1alpha1.ClaimOperator, routing.ClaimOperator]{v1alpha1.ClaimNotIn, routing.ClaimNotIn},
		choice[v1alpha1.ClaimOperator, routing.ClaimOperator]{v1alpha1.ClaimContains, routing.ClaimContains},
		choice[v1alpha1.ClaimOperator, routing.ClaimOperator]{v1alpha1.ClaimContainsAny, routing.ClaimContainsAny},
		choice[v1alpha1.ClaimOperator, routing.ClaimOperator]{v1alpha1.ClaimExists, routing.ClaimExists},
		choice[v1alpha1.ClaimOperator, routing.ClaimOperator]{v1alpha1.ClaimDoesNotExist, routing.ClaimDoesNotExist},
	)
	if len(*errs) > known {
		return
	}
	draft.Values = slices.Clone(rule.Values)
	switch presence := draft.Operator == routing.ClaimExists || draft.Operator == routing.ClaimDoesNotExist; {
	case presence && len(rule.Values) > 0:
		errs.invalid("%s.values: operator %s takes none; leave them out", at, rule.Operator)
	case !presence && len(rule.Values) == 0:
		errs.invalid("%s.values: operator %s needs at least one", at, rule.Operator)
	}
}

// checkPointer checks a JSON Pointer.
func checkPointer(field, pointer string, errs *problems) {
	if _, err := jsonpointer.Parse(pointer); err != nil {
		errs.invalid("%s: %s is not a JSON Pointer such as /realm_access/roles: %s", field, quote(pointer), err)
	}
}

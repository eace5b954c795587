package controllers

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
)

// useView is what is known of the use of a credential's keys.
type useView struct {
	// old is what the status says.
	old []v1alpha1.KeyStatus
	// latest is when a key was last used as far as the replicas told; zero: they told of no use.
	latest func(thumbprint string) time.Time
}

// isLeaving reports whether a key verifies tokens and is on its way out: the use of such keys is reported.
func isLeaving(phase v1alpha1.KeyPhase) bool {
	return phase == v1alpha1.KeyPhaseRetiring || phase == v1alpha1.KeyPhaseRetained
}

// listed is what the status says of a key; zero: nothing.
func (u useView) listed(thumbprint string) time.Time {
	i := slices.IndexFunc(u.old, func(k v1alpha1.KeyStatus) bool { return k.Thumbprint == thumbprint })
	if i < 0 || u.old[i].LastUsedTime == nil {
		return time.Time{}
	}
	return u.old[i].LastUsedTime.Time
}

// last is when a key was last used, as far as anyone knows.
func (u useView) last(thumbprint string) time.Time {
	last := u.listed(thumbprint)
	if told := u.latest(thumbprint); told.After(last) {
		last = told
	}
	return last
}

// shown is what the status is to say of a key at a moment: it says another time once an hour, however many replicas tell.
func (u useView) shown(thumbprint string, now time.Time) *metav1.Time {
	shown := u.listed(thumbprint)
	if shown.IsZero() || !now.Before(shown.Add(useRenewal)) {
		shown = u.last(thumbprint)
	}
	if shown.IsZero() {
		return nil
	}
	t := metav1.NewTime(shown).Rfc3339Copy()
	return &t
}

// due is when the status is to say another time; zero: there is none.
func (u useView) due(thumbprint string) time.Time {
	if listed := u.listed(thumbprint); !listed.IsZero() && u.last(thumbprint).After(listed) {
		return listed.Add(useRenewal)
	}
	return time.Time{}
}

// end is when a key that is in use no longer is, unless it is used again; zero: no use is known.
func (u useView) end(thumbprint string) time.Time {
	if last := u.last(thumbprint); !last.IsZero() {
		return last.Add(useRenewal + useLag)
	}
	return time.Time{}
}

// leavingInUse lists the items of spec.keys that have a key on its way out that is in use. One that another item keeps stays.
func (v *keyView) leavingInUse() []string {
	stays := func(thumbprint string) bool {
		return slices.ContainsFunc(v.verdict.Keys, func(k compile.KeyReport) bool {
			return k.Thumbprint == thumbprint && v.phase(&k) == v1alpha1.KeyPhaseActive
		})
	}
	var names []string
	for i := range v.verdict.Keys {
		k := &v.verdict.Keys[i]
		if isLeaving(v.phase(k)) && v.now.Before(v.uses.end(k.Thumbprint)) && !stays(k.Thumbprint) && !slices.Contains(names, k.Name) {
			names = append(names, k.Name)
		}
	}
	return names
}

package history

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Policy says which builds make a disk worth keeping.
type Policy string

const (
	Auto    Policy = "auto"     // AllOK
	AllOK   Policy = "all-ok"   // at least one build, and every one succeeded
	AnyOK   Policy = "any-ok"   // at least one build succeeded
	NoCrash Policy = "no-crash" // at least one build, none lost, and the daemon lived
	Always  Policy = "always"   // whatever happened, if the databases are sound
	Never   Policy = "never"
)

// Policies are the values of --commit.
var Policies = []string{string(Auto), string(AllOK), string(AnyOK), string(NoCrash), string(Always), string(Never)}

// ParsePolicy reads a value of --commit; "" means Auto.
func ParsePolicy(s string) (Policy, error) {
	if s == "" {
		return Auto, nil
	}
	if !slices.Contains(Policies, s) {
		err := fmt.Errorf("unknown commit policy %q", s)
		if near := fault.Nearest(s, Policies); near != "" {
			return "", fault.Hint(err, "did you mean %s", near)
		}
		return "", fault.Hint(err, "policies: %s", strings.Join(Policies, ", "))
	}
	return Policy(s), nil
}

// Facts are what a policy decides by.
type Facts struct {
	Builds   disk.Tally // none of them running any more
	ReadOnly bool       // the builder was started to keep nothing
	Because  string     // why, if the user has not said so
	Crash    string     // how the daemon died by itself; "" if it did not
	Unseen   string     // why there may be builds that nobody knows of; "" if there are none
}

// Decide says whether the disk is to be committed, and why, in words for the
// user. Sound databases are the caller's business.
func (p Policy) Decide(f Facts) (commit bool, reason string) {
	switch {
	case f.ReadOnly && f.Because != "":
		return false, "the builder is read-only: " + f.Because
	case f.ReadOnly:
		return false, "the builder is read-only"
	case p == Never:
		return false, "the policy is never"
	case p == Always:
		return true, "the policy is always"
	case f.Unseen != "":
		return false, f.Unseen + ", so builds may have gone unseen"
	case f.Builds.Total() == 0 && f.Crash != "":
		return false, f.Crash
	case f.Builds.Total() == 0:
		return false, "nothing was built"
	}
	switch p {
	case AnyOK:
		return f.Builds.OK > 0, outcomes(f.Builds)
	case NoCrash:
		return f.Builds.Lost == 0 && f.Crash == "", because(f, f.Builds.Lost > 0)
	case Auto, AllOK:
		all := f.Builds.OK == f.Builds.Total()
		return all && f.Crash == "", because(f, !all)
	}
	return false, fmt.Sprintf("unknown policy %q", string(p))
}

// because names the crash, if there was one, and the builds.
func because(f Facts, buildsMatter bool) string {
	switch {
	case f.Crash != "" && buildsMatter:
		return f.Crash + "; " + outcomes(f.Builds)
	case f.Crash != "":
		return f.Crash
	}
	return outcomes(f.Builds)
}

// outcomes is such as "2 of 3 builds succeeded, 1 failed".
func outcomes(t disk.Tally) string {
	noun := "builds"
	if t.Total() == 1 {
		noun = "build"
	}
	s := fmt.Sprintf("%d of %d %s succeeded", t.OK, t.Total(), noun)
	for _, o := range []struct {
		n    int
		word Outcome
	}{{t.Failed, Failed}, {t.Cancelled, Cancelled}, {t.Lost, Lost}} {
		if o.n > 0 {
			s += fmt.Sprintf(", %d %s", o.n, o.word)
		}
	}
	return s
}

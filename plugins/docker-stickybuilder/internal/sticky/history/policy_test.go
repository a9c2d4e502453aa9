package history

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// The whole table: for each situation, which policies commit.
func TestDecide(t *testing.T) {
	const crash = "buildkitd died: signal: killed"
	for _, c := range []struct {
		name    string
		facts   Facts
		commits string // of all-ok any-ok no-crash always never
		reason  string // of all-ok, in part
	}{
		{"nothing built", Facts{}, "always", "nothing was built"},
		{"one ok", Facts{Builds: disk.Tally{OK: 1}}, "all-ok any-ok no-crash always", "1 of 1 build succeeded"},
		{"three ok", Facts{Builds: disk.Tally{OK: 3}}, "all-ok any-ok no-crash always", "3 of 3 builds succeeded"},
		{"one failed", Facts{Builds: disk.Tally{Failed: 1}}, "no-crash always", "0 of 1 build succeeded, 1 failed"},
		{"mixed", Facts{Builds: disk.Tally{OK: 2, Failed: 1}}, "any-ok no-crash always", "2 of 3 builds succeeded, 1 failed"},
		{"bake cancels a sibling", Facts{Builds: disk.Tally{Failed: 1, Cancelled: 1}}, "no-crash always", "1 failed, 1 cancelled"},
		{"cancelled, then ok", Facts{Builds: disk.Tally{OK: 1, Cancelled: 1}}, "any-ok no-crash always", "1 of 2 builds succeeded, 1 cancelled"},
		{"lost, then ok", Facts{Builds: disk.Tally{OK: 1, Lost: 1}}, "any-ok always", "1 lost"},
		{"cut off at the deadline", Facts{Builds: disk.Tally{Lost: 1}}, "always", "1 lost"},
		{"died in a build", Facts{Builds: disk.Tally{OK: 1, Lost: 1}, Crash: crash}, "any-ok always", "died: signal: killed; 1 of 2"},
		{"died idle after ok", Facts{Builds: disk.Tally{OK: 1}, Crash: crash}, "any-ok always", crash},
		{"died before any build", Facts{Crash: crash}, "always", crash},
		{"supervisor died", Facts{Builds: disk.Tally{OK: 1}, Unseen: "the supervisor died"}, "always", "the supervisor died, so builds may have gone unseen"},
		{"read-only", Facts{Builds: disk.Tally{OK: 1}, ReadOnly: true}, "", "read-only"},
	} {
		for _, p := range Policies {
			want := strings.Contains(" "+c.commits+" ", " "+p+" ")
			if p == string(Auto) {
				want = strings.Contains(" "+c.commits+" ", " "+string(AllOK)+" ")
			}
			got, reason := Policy(p).Decide(c.facts)
			if got != want {
				t.Errorf("%s, %s: commit %v, want %v (%s)", c.name, p, got, want, reason)
			}
			if reason == "" {
				t.Errorf("%s, %s: no reason", c.name, p)
			}
			if p == string(AllOK) && !strings.Contains(reason, c.reason) {
				t.Errorf("%s: reason %q, want %q in it", c.name, reason, c.reason)
			}
		}
	}
	if commit, _ := Policy("of the future").Decide(Facts{Builds: disk.Tally{OK: 1}}); commit {
		t.Error("an unknown policy commits")
	}
}

func TestParsePolicy(t *testing.T) {
	for in, want := range map[string]Policy{"": Auto, "auto": Auto, "any-ok": AnyOK} {
		if got, err := ParsePolicy(in); got != want || err != nil {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	if _, err := ParsePolicy("anyok"); err == nil || fault.HintOf(err) != "did you mean any-ok" {
		t.Errorf("%v: %s", err, fault.HintOf(err))
	}
	if _, err := ParsePolicy("completely-different"); err == nil || !strings.Contains(fault.HintOf(err), "no-crash") {
		t.Errorf("%v: %s", err, fault.HintOf(err))
	}
}

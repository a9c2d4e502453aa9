package disk

import (
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestID(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("", 3600))
	id := NewID(at, []byte("jklmnopq"))
	if id != "20260102T020405Z-a5bf56a6b6c6" || !ValidID(id) {
		t.Errorf("%s", id)
	}
	for _, d := range []time.Duration{time.Microsecond, time.Millisecond, time.Second, time.Hour} {
		if later := NewID(at.Add(d), make([]byte, 6)); later <= id {
			t.Errorf("%s sorts before %s", later, id)
		}
	}
	for _, bad := range []string{"", "..", "../../etc", id + "/..", id + "\n", strings.ToUpper(id)} {
		if ValidID(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestParseSpec(t *testing.T) {
	for _, c := range []struct{ in, want, says, hint string }{
		{"dir:/mnt/cache", "dir:/mnt/cache", "", ""},
		{"dir:relative/a:b", "dir:relative/a:b", "", ""},
		{"dri:/mnt", "", `unknown scheme "dri"`, "did you mean dir:/mnt"},
		{"oci:registry/repo", "oci:registry/repo", "", ""},
		{"none", "none", "", ""},
		{"volume:build_cache.1-x", "volume:build_cache.1-x", "", ""},
		{"volume:", "", "no name of a volume", "write volume:NAME"},
		{"volume:x", "", "no name of a volume", "at least two"},
		{"volume:/mnt", "", "no name of a volume", ""},
		{"volume:../x", "", "no name of a volume", ""},
		{"volume:" + strings.Repeat("v", 201), "", "no name of a volume", ""},
		{"volum:x", "", "unknown scheme", "did you mean volume:x"},
		{"none:", "", "no such disk", "did you mean none"},
		{"none:x", "", "no such disk", "did you mean none"},
		{"nnoe", "", "no such disk", "did you mean none"},
		{"oci:", "", "repository is missing", "oci:REGISTRY/REPO"},
		{"icu:registry/repo", "", `unknown scheme "icu"`, ""},
		{"gopher:x/y", "", `unknown scheme "gopher"`, "known schemes: dir:, oci:"},
		{"/mnt/cache", "", "scheme is missing", "did you mean dir:/mnt/cache"},
		{"/mnt/a:b", "", "scheme is missing", "did you mean dir:/mnt/a:b"},
		{"dir:~/pool", "", "the shell left the ~", "write dir:$HOME/pool"},
		{"dir:~", "", "the shell left the ~", "write dir:$HOME"},
		{"dir:", "", "path is missing", "name a directory"},
		{"", "", "scheme is missing", ""},
	} {
		got, err := ParseSpec(c.in)
		if c.want != "" {
			if err != nil || got.String() != c.want {
				t.Errorf("%q: %v, %v", c.in, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%q: %v (hint %q)", c.in, err, fault.HintOf(err))
		}
	}
}

func TestKeys(t *testing.T) {
	for _, good := range []string{"k", "github.com/acme/app@feature/ünï x", "../../x", strings.Repeat("k", 512)} {
		if err := CheckKey(good); err != nil || CleanKey(good) != good {
			t.Errorf("%q: %v, cleaned %q", good, err, CleanKey(good))
		}
	}
	seen := map[string]bool{}
	for _, bad := range []string{"a\nb", "\xff\xfe", "\x1b[31mred", "x\u202ey", strings.Repeat("k", 513), strings.Repeat("ü", 400), strings.Repeat("ü", 400) + "x"} {
		if err := CheckKey(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
		clean := CleanKey(bad)
		if err := CheckKey(clean); err != nil || seen[clean] {
			t.Errorf("%q cleaned is %q: %v", bad, clean, err)
		}
		seen[clean] = true
	}
	for _, empty := range []string{"", "  "} {
		if CheckKey(empty) == nil {
			t.Errorf("%q is taken", empty)
		}
	}
}

func TestTally(t *testing.T) {
	if n := (Tally{OK: 1, Failed: 2, Cancelled: 4, Lost: 8, Running: 16, TotalSteps: 99}).Total(); n != 31 {
		t.Error(n)
	}
}

package daemon

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"
)

// Whatever the bound, BuildKit's own count stays below it, and a weekend costs no
// cache mount.
func TestGCKeepsToTheBound(t *testing.T) {
	for _, bound := range []int64{0, 300e6, 50 << 30, 4 << 40} {
		text, _, err := Config(nil, "", places, bound)
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if c.History == nil || c.History.MaxAge.Hours() != 24 {
			t.Errorf("%d: history %+v", bound, c.History)
		}
		capped := 0
		for _, p := range c.Workers.OCI.GCPolicy {
			if slices.Contains(p.Filters, "type==exec.cachemount") && (p.KeepDuration.Hours() < 7*24 || bound > 0 && p.MaxUsedSpace.Bytes < bound/2) {
				t.Errorf("%d: cache mounts: %+v", bound, p)
			}
			if len(p.Filters) > 0 {
				continue
			}
			if p.MinFreeSpace.Percentage != 5 {
				t.Errorf("%d: %+v", bound, p)
			}
			if p.MaxUsedSpace.Bytes > 0 && p.MaxUsedSpace.Bytes < bound && p.ReservedSpace.Bytes < p.MaxUsedSpace.Bytes {
				capped++
			}
		}
		if want := map[bool]int{true: 3}[bound > 0]; capped != want {
			t.Errorf("%d: %d policies have a cap, want %d", bound, capped, want)
		}
	}
}

func TestSetsGC(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "[worker.oci]\nmax-parallelism = 3\n": false, "[worker.oci]\ngc = false\n": true, "[Worker.OCI]\nMaxUsedSpace = '1GB'\n": true, "broken": false,
	} {
		if got := SetsGC([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

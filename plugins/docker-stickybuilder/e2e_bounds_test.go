package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every job builds something new. The disk stays within its bound, and what every
// job uses stays on it, its cache mount too.
func TestTheDiskIsBounded(t *testing.T) {
	t.Run("by garbage collection", func(t *testing.T) { _ = churn(t) })
	t.Run("before the commit", func(t *testing.T) {
		config := filepath.Join(t.TempDir(), "buildkitd.toml")
		if err := os.WriteFile(config, []byte("[worker.oci]\ngc = false\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if pruned := churn(t, "--config", config); pruned == 0 {
			t.Error("nothing was ever pruned: the bound was not tested")
		}
	})
}

// churn returns how many bytes were pruned before commits.
func churn(t *testing.T, args ...string) (pruned int64) {
	t.Helper()
	const (
		bound  = 200 << 20
		rounds = 5
	)
	j := newJob(t)
	j.write("churn.Dockerfile", "FROM scratch\nCOPY tool /tool\nARG N\nRUN [\"/tool\",\"write\",\"/big\",\"60000000\"]\n")
	j.write("mount.Dockerfile", "FROM scratch\nCOPY tool /tool\nARG N\nRUN --mount=type=cache,target=/c [\"/tool\",\"count\",\"/c/n\"]\n")
	type bounded struct {
		report
		Bytes, PrunedBytes int64
	}
	for round := range rounds {
		j.upNamed("sticky", append(args, "--max-size", "200MB")...)
		j.mustBuild()
		n := fmt.Sprint("N=", round)
		j.mustBuild("-f", "churn.Dockerfile", "--build-arg", n)
		if round == rounds-1 {
			// The mount has been along since the first round, in which two builds used it.
			out, err := j.cmd(j.buildx, "build", ".", "-f", "mount.Dockerfile", "--build-arg", n).CombinedOutput()
			if want := fmt.Sprint("count ", rounds+1); err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%v, want %s:\n%s", err, want, out)
			}
		} else {
			j.mustBuild("-f", "mount.Dockerfile", "--build-arg", n)
		}
		var r bounded
		j.sticky(&r, "down")
		if r.Decision != "commit" || r.Bytes > bound { // on a busy machine it may not be told
			t.Fatalf("round %d: %+v", round, r)
		}
		if round > 0 && r.Builds[0].CachedSteps != r.Builds[0].TotalSteps {
			t.Errorf("round %d: what every job uses was pruned: %+v", round, r.Builds[0])
		}
		pruned += r.PrunedBytes
		var disk struct {
			Generations []struct {
				ID    string
				Bytes int64
			}
		}
		j.sticky(&disk, "disk", "inspect", "--disk", "dir:"+j.pool, "--key", "k")
		if g := disk.Generations[0]; g.ID != r.Generation || g.Bytes == 0 || g.Bytes > bound*105/100 {
			t.Errorf("round %d: the generation holds %d bytes", round, g.Bytes)
		}
	}
	j.nothingLeft()
	return pruned
}

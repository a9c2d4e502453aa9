package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clearCI makes sure that no CI system is seen that runs this test.
func clearCI(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if slices.ContainsFunc([]string{"GITHUB_", "CI_", "SYSTEM_PULLREQUEST_", "BUILDKITE_", "CHANGE_", "CIRCLE_", "TRAVIS_"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			t.Setenv(name, "")
		}
	}
}

func TestSurroundingsInCI(t *testing.T) {
	dir := t.TempDir()
	event := filepath.Join(dir, "event.json")
	if err := os.WriteFile(event, []byte(`{"repository":{"default_branch":"main"},"pull_request":{"number":7,"head":{"ref":"main","repo":{"full_name":"eve/app"}},"base":{"ref":"next"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env       map[string]string
		key, ref  string
		bases     []string
		untrusted bool
	}{
		"github push":         {map[string]string{"GITHUB_REPOSITORY": "acme/app", "GITHUB_REF_NAME": "main"}, "acme/app", "main", nil, false},
		"github pull request": {map[string]string{"GITHUB_REPOSITORY": "acme/app", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": event}, "acme/app", "pull/7", []string{"next", "main"}, true},
		"gitlab":              {map[string]string{"CI_PROJECT_PATH": "acme/app", "CI_COMMIT_REF_NAME": "a\nb", "CI_DEFAULT_BRANCH": "main"}, "acme/app", "a\uFFFDb", []string{"main"}, false},
		"a fork on jenkins":   {map[string]string{"CHANGE_ID": "7", "CHANGE_FORK": "eve", "CHANGE_TARGET": "main"}, filepath.ToSlash(dir), "pull/7", []string{"main"}, true},
		"no branch":           {map[string]string{"CI_PROJECT_PATH": "acme/app"}, "acme/app", "", nil, false},
		"nothing":             {nil, filepath.ToSlash(dir), "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			clearCI(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if got := lookAt(t.Context(), dir); got.key != c.key || got.ref != c.ref || !slices.Equal(got.bases, c.bases) || (got.untrusted != "") != c.untrusted {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestSurroundingsFromGit(t *testing.T) {
	clearCI(t)
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	check := func(what, key, ref string, bases ...string) {
		t.Helper()
		if got := lookAt(t.Context(), dir); got.key != key || got.ref != ref || !slices.Equal(got.bases, bases) || got.untrusted != "" {
			t.Errorf("%s: %+v", what, got)
		}
	}
	run("init", "--quiet", "--initial-branch", "feature/x")
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	check("without a remote", real, "feature/x")
	run("remote", "add", "origin", "https://token@example.com/acme/app.git")
	check("with a remote", "example.com/acme/app", "feature/x")
	run("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--allow-empty", "--message", "x")
	run("update-ref", "refs/remotes/origin/trunk", "HEAD")
	run("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
	check("with a default branch", "example.com/acme/app", "feature/x", "trunk")
	run("checkout", "--quiet", "--detach")
	check("detached", "example.com/acme/app", "", "trunk")
}

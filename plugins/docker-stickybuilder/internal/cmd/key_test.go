package cmd

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func clearCI(t *testing.T) {
	t.Helper()
	for _, ci := range ciVariables {
		t.Setenv(ci.repository, "")
		for _, b := range ci.branch {
			t.Setenv(b, "")
		}
	}
}

func TestRepositoryName(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/acme/app.git":                   "github.com/acme/app",
		"https://x-access-token:s3cret@github.com/acme/app": "github.com/acme/app",
		"git@github.com:acme/app.git":                       "github.com/acme/app",
		"ssh://git@github.com:22/acme/app/":                 "github.com/acme/app",
		"/srv/git/app.git":                                  "/srv/git/app",
		"../app":                                            "../app",
		"":                                                  "",
	} {
		if got := repositoryName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestDefaultKeyInCI(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"github push":         {map[string]string{"GITHUB_REPOSITORY": "acme/app", "GITHUB_REF_NAME": "main"}, "acme/app@main"},
		"github pull request": {map[string]string{"GITHUB_REPOSITORY": "acme/app", "GITHUB_REF_NAME": "7/merge", "GITHUB_HEAD_REF": "fix"}, "acme/app@fix"},
		"gitlab":              {map[string]string{"CI_PROJECT_PATH": "acme/app", "CI_COMMIT_REF_NAME": "main"}, "acme/app@main"},
		"no branch":           {map[string]string{"CI_PROJECT_PATH": "acme/app"}, "acme/app"},
		"nothing":             {nil, dir},
	} {
		t.Run(name, func(t *testing.T) {
			clearCI(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if got := defaultKey(t.Context(), dir); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestDefaultKeyFromGit(t *testing.T) {
	clearCI(t)
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	run("init", "--quiet", "--initial-branch", "trunk")
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := defaultKey(t.Context(), dir); got != real+"@trunk" {
		t.Errorf("without a remote: %q", got)
	}
	run("remote", "add", "origin", "https://token@example.com/acme/app.git")
	if got := defaultKey(t.Context(), dir); got != "example.com/acme/app@trunk" {
		t.Errorf("with a remote: %q", got)
	}
	run("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--allow-empty", "--message", "x")
	run("checkout", "--quiet", "--detach")
	if got := defaultKey(t.Context(), dir); got != "example.com/acme/app" {
		t.Errorf("detached: %q", got)
	}
}

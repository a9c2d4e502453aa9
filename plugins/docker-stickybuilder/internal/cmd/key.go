package cmd

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ciVariables are, for each CI system, the variables that hold the repository and
// the branch; the first branch variable that is set counts.
var ciVariables = []struct {
	repository string
	branch     []string
}{
	{"GITHUB_REPOSITORY", []string{"GITHUB_HEAD_REF", "GITHUB_REF_NAME"}},
	{"CI_PROJECT_PATH", []string{"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_REF_NAME"}}, // GitLab
}

// defaultKey is what jobs share a disk by unless they say otherwise: repository
// and branch, from the CI system or from git, or else the directory.
func defaultKey(ctx context.Context, dir string) string {
	for _, ci := range ciVariables {
		if repository := os.Getenv(ci.repository); repository != "" {
			for _, v := range ci.branch {
				if branch := os.Getenv(v); branch != "" {
					return repository + "@" + branch
				}
			}
			return repository
		}
	}
	repository := repositoryName(git(ctx, dir, "config", "--get", "remote.origin.url"))
	if repository == "" {
		repository = git(ctx, dir, "rev-parse", "--show-toplevel")
	}
	if repository == "" {
		return filepath.ToSlash(dir)
	}
	if branch := git(ctx, dir, "symbolic-ref", "--quiet", "--short", "HEAD"); branch != "" {
		return repository + "@" + branch
	}
	return repository
}

// git returns the first line that git prints, "" if there is none.
func git(ctx context.Context, dir string, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// repositoryName makes of a remote's URL "host/path": the same for ssh and https,
// and without the credentials that CI systems like to put there.
func repositoryName(remote string) string {
	remote = strings.TrimSuffix(strings.TrimRight(remote, "/"), ".git")
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		return u.Hostname() + "/" + strings.Trim(u.Path, "/")
	}
	// user@host:path
	if host, path, ok := strings.Cut(remote, ":"); ok && !strings.Contains(host, "/") {
		if _, after, ok := strings.Cut(host, "@"); ok {
			host = after
		}
		return host + "/" + strings.Trim(path, "/")
	}
	return remote
}

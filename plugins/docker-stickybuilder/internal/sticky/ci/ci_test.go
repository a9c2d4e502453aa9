package ci

import (
	"os"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	type env = map[string]string
	github := func(more env) env {
		e := env{"GITHUB_REPOSITORY": "acme/app", "GITHUB_REF_NAME": "main", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_TYPE": "branch"}
		for k, v := range more {
			e[k] = v
		}
		return e
	}
	pull := func(name string) env {
		return github(env{"GITHUB_EVENT_NAME": name, "GITHUB_REF_NAME": "7/merge", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": "main", "GITHUB_BASE_REF": "main"})
	}
	gitlab := func(more env) env {
		e := env{"CI_PROJECT_PATH": "acme/app", "CI_DEFAULT_BRANCH": "trunk", "CI_COMMIT_REF_NAME": "fix"}
		for k, v := range more {
			e[k] = v
		}
		return e
	}
	const repo = `"repository":{"default_branch":"main"}`
	for name, c := range map[string]struct {
		env       env
		event     string
		ref, base string
		def       string
		untrusted string // part of it
	}{
		"nothing":                       {env: env{"CI": "true"}},
		"github push":                   {github(nil), `{` + repo + `}`, "main", "", "main", ""},
		"github push without its event": {github(nil), "", "main", "", "", ""},
		"github tag":                    {github(env{"GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"}), `{` + repo + `}`, "tags/v1", "", "main", ""},
		"github merge queue":            {github(env{"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF_NAME": "gh-readonly-queue/main/pr-7-0123abc"}), `{` + repo + `}`, "gh-readonly-queue/main", "", "main", ""},
		"github pull request of the repository": {
			pull("pull_request"),
			`{` + repo + `,"pull_request":{"number":7,"head":{"ref":"fix","repo":{"full_name":"Acme/app","fork":true}},"base":{"ref":"next"}}}`, "fix", "next", "main", "",
		},
		// A fork may call its branch as it likes, also like ours.
		"github pull request of a fork": {
			pull("pull_request"),
			`{` + repo + `,"pull_request":{"number":7,"head":{"ref":"main","repo":{"full_name":"eve/app","fork":true}},"base":{"ref":"main"}}}`, "pull/7", "main", "main", "pull request 7 comes from the fork eve/app",
		},
		"github pull request of a deleted fork": {
			pull("pull_request"),
			`{` + repo + `,"pull_request":{"number":7,"head":{"ref":"main","repo":null},"base":{"ref":"main"}}}`, "pull/7", "main", "main", "is gone",
		},
		"github pull request without its event":  {pull("pull_request"), "", "pull/7", "main", "", "cannot be told: reading the event: "},
		"github pull request with half an event": {pull("pull_request"), `{"pull_`, "pull/7", "main", "", "cannot be told"},
		// It runs on the base branch with its rights, and often builds the fork's code.
		"github pull_request_target of a fork": {
			github(env{"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_HEAD_REF": "main", "GITHUB_BASE_REF": "main"}),
			`{` + repo + `,"pull_request":{"number":7,"head":{"ref":"main","repo":{"full_name":"eve/app"}},"base":{"ref":"main"}}}`, "pull/7", "main", "main", "fork eve/app",
		},
		"github pull_request_target without its event": {github(env{"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_HEAD_REF": "main"}), "", "pull/main", "", "", "cannot be told"},
		"github review of a fork": {
			pull("pull_request_review"),
			`{"pull_request":{"number":7,"head":{"ref":"x","repo":{"full_name":"eve/app"}},"base":{"ref":"main"}}}`, "pull/7", "main", "", "fork eve/app",
		},
		"github workflow_run of a fork": {
			github(env{"GITHUB_EVENT_NAME": "workflow_run"}),
			`{` + repo + `,"workflow_run":{"event":"pull_request","head_branch":"main","head_repository":{"full_name":"eve/app"},"pull_requests":[]}}`, "eve:main", "", "main", "fork eve/app",
		},
		"github workflow_run of a branch": {
			github(env{"GITHUB_EVENT_NAME": "workflow_run"}),
			`{` + repo + `,"workflow_run":{"event":"push","head_branch":"fix","head_repository":{"full_name":"acme/app"}}}`, "fix", "", "main", "",
		},
		"github workflow_run of a workflow_run": {
			github(env{"GITHUB_EVENT_NAME": "workflow_run"}),
			`{` + repo + `,"workflow_run":{"event":"workflow_run","head_branch":"main","head_repository":{"full_name":"acme/app"}}}`, "workflow_run", "", "main", "cannot be told",
		},
		"github workflow_run of a comment": {
			github(env{"GITHUB_EVENT_NAME": "workflow_run"}),
			`{` + repo + `,"workflow_run":{"event":"issue_comment","head_branch":"main","head_repository":{"full_name":"acme/app"}}}`, "issue_comment", "", "main", "cannot be told",
		},
		"github workflow_run of what is gone":   {github(env{"GITHUB_EVENT_NAME": "workflow_run"}), `{"workflow_run":{"head_branch":"x"}}`, "unknown:x", "", "", "is gone"},
		"github workflow_run without its event": {github(env{"GITHUB_EVENT_NAME": "workflow_run"}), "", "workflow_run", "", "", "cannot be told"},
		"github comment on a pull request":      {github(env{"GITHUB_EVENT_NAME": "issue_comment"}), `{` + repo + `,"issue":{"number":7,"pull_request":{"url":"x"}}}`, "pull/7", "", "main", "a comment on pull request 7"},
		"github comment on an issue":            {github(env{"GITHUB_EVENT_NAME": "issue_comment"}), `{` + repo + `,"issue":{"number":7}}`, "main", "", "main", ""},

		"azure fork":             {env{"SYSTEM_PULLREQUEST_ISFORK": "True", "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "7", "SYSTEM_PULLREQUEST_TARGETBRANCHNAME": "main", "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": "https://x:secret@github.com/eve/app"}, "", "pull/7", "main", "", "7 comes from the fork github.com/eve/app"},
		"azure pull request":     {env{"SYSTEM_PULLREQUEST_ISFORK": "False", "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "7"}, "", "", "", "", ""},
		"buildkite fork":         {env{"BUILDKITE_PULL_REQUEST": "7", "BUILDKITE_PULL_REQUEST_REPO": "git://github.com/eve/app.git", "BUILDKITE_REPO": "git@github.com:acme/app.git", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main"}, "", "pull/7", "main", "", "fork github.com/eve/app"},
		"buildkite pull request": {env{"BUILDKITE_PULL_REQUEST": "7", "BUILDKITE_PULL_REQUEST_REPO": "git://github.com/acme/app.git", "BUILDKITE_REPO": "git@github.com:acme/app.git"}, "", "", "", "", ""},
		"buildkite push":         {env{"BUILDKITE_PULL_REQUEST": "false", "BUILDKITE_PULL_REQUEST_REPO": "", "BUILDKITE_REPO": "git@github.com:acme/app.git"}, "", "", "", "", ""},
		"jenkins fork":           {env{"CHANGE_ID": "7", "CHANGE_FORK": "eve/app", "CHANGE_TARGET": "main"}, "", "pull/7", "main", "", "fork eve/app"},
		"jenkins pull request":   {env{"CHANGE_ID": "7", "CHANGE_TARGET": "main"}, "", "", "", "", ""},
		"circleci fork":          {env{"CIRCLE_PR_NUMBER": "7", "CIRCLE_PR_USERNAME": "eve", "CIRCLE_PR_REPONAME": "app"}, "", "pull/7", "", "", "fork eve/app"},
		"travis fork":            {env{"TRAVIS_PULL_REQUEST": "7", "TRAVIS_PULL_REQUEST_SLUG": "eve/app", "TRAVIS_REPO_SLUG": "acme/app", "TRAVIS_BRANCH": "main"}, "", "pull/7", "main", "", "fork eve/app"},
		"travis pull request":    {env{"TRAVIS_PULL_REQUEST": "7", "TRAVIS_PULL_REQUEST_SLUG": "acme/app", "TRAVIS_REPO_SLUG": "acme/app"}, "", "", "", "", ""},
		"travis push":            {env{"TRAVIS_PULL_REQUEST": "false", "TRAVIS_REPO_SLUG": "acme/app", "TRAVIS_BRANCH": "main"}, "", "", "", "", ""},

		"gitlab push": {gitlab(env{"CI_COMMIT_BRANCH": "fix"}), "", "fix", "", "trunk", ""},
		"gitlab tag":  {gitlab(env{"CI_COMMIT_TAG": "v1", "CI_COMMIT_REF_NAME": "v1"}), "", "tags/v1", "", "trunk", ""},
		"gitlab merge request": {gitlab(env{
			"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1", "CI_MERGE_REQUEST_PROJECT_ID": "1",
			"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "next",
		}), "", "fix", "next", "trunk", ""},
		"gitlab merge request of a fork": {gitlab(env{
			"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2", "CI_MERGE_REQUEST_PROJECT_ID": "1",
			"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "eve/app", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "trunk",
		}), "", "merge-requests/7", "", "trunk", "merge request 7 comes from the fork eve/app"},
		"gitlab merge request that says little": {gitlab(env{"CI_PIPELINE_SOURCE": "merge_request_event"}), "", "merge-requests/", "", "trunk", "cannot be told"},
		"gitlab external pull request of a fork": {gitlab(env{
			"CI_EXTERNAL_PULL_REQUEST_IID": "7", "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": "eve/app",
			"CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY": "acme/app", "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME": "trunk",
		}), "", "pull/7", "", "trunk", "fork eve/app"},
		"gitlab external pull request": {gitlab(env{
			"CI_EXTERNAL_PULL_REQUEST_IID": "7", "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": "acme/app",
			"CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY": "acme/app", "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME": "fix", "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME": "trunk",
		}), "", "fix", "trunk", "trunk", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.event != "" {
				c.env["GITHUB_EVENT_PATH"] = "event.json"
			}
			j := Detect(Source{Getenv: func(n string) string { return c.env[n] }, ReadFile: func(path string) ([]byte, error) {
				if path != "event.json" {
					return nil, os.ErrNotExist
				}
				return []byte(c.event), nil
			}})
			if j.Ref != c.ref || j.Base != c.base || j.Default != c.def {
				t.Errorf("%+v", j)
			}
			if (j.Untrusted == "") != (c.untrusted == "") || !strings.Contains(j.Untrusted, c.untrusted) {
				t.Errorf("untrusted: %q", j.Untrusted)
			}
			if (j.System == "github" || j.System == "gitlab") && j.Repository != "acme/app" {
				t.Errorf("repository %q", j.Repository)
			}
		})
	}
}

// Whatever an event says, it does not crash and a fork is not trusted.
func FuzzGitHubEvent(f *testing.F) {
	f.Add([]byte(`{"pull_request":{"number":1,"head":{"repo":{"full_name":"eve/app"}}}}`), "pull_request")
	f.Add([]byte(`{"workflow_run":null,"pull_request":[]}`), "workflow_run")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		j := Detect(Source{Getenv: func(n string) string {
			return map[string]string{"GITHUB_REPOSITORY": "acme/app", "GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": "x"}[n]
		}, ReadFile: func(string) ([]byte, error) { return text, nil }})
		if (name == "pull_request" || name == "pull_request_target" || name == "workflow_run") && j.Untrusted == "" && !strings.Contains(strings.ToLower(string(text)), "app") && !strings.Contains(string(text), `\u`) {
			t.Errorf("%s: %s: %+v", name, text, j)
		}
	})
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
		if got := RepositoryName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

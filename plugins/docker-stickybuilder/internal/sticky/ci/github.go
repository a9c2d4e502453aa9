package ci

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An event is the part of GitHub's webhook payload that matters here; see
// docs.github.com/en/webhooks/webhook-events-and-payloads.
type event struct {
	Repository struct {
		DefaultBranch string `json:"default_branch"`
	} `json:"repository"`
	PullRequest *struct {
		Number int  `json:"number"`
		Head   side `json:"head"`
		Base   side `json:"base"`
	} `json:"pull_request"`
	WorkflowRun *struct {
		Event          string      `json:"event"` // that has started it
		HeadBranch     string      `json:"head_branch"`
		HeadRepository *repository `json:"head_repository"`
	} `json:"workflow_run"`
	Issue *struct {
		Number      int              `json:"number"`
		PullRequest *json.RawMessage `json:"pull_request"`
	} `json:"issue"`
}

type side struct {
	Ref  string      `json:"ref"`
	Repo *repository `json:"repo"` // null once the fork is deleted
}

type repository struct {
	FullName string `json:"full_name"`
}

// payload reads the event; err says why nothing is known of it.
func payload(s Source) (e event, err error) {
	path := s.Getenv("GITHUB_EVENT_PATH")
	if path == "" {
		return e, errors.New("GITHUB_EVENT_PATH is not set")
	}
	text, err := s.ReadFile(path)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

// github reads GITHUB_*. What a workflow runs for is not always what GITHUB_REF
// says: pull_request_target, workflow_run and issue_comment run on the default
// branch, with its rights, and commonly build what a pull request proposes.
func github(s Source) Job {
	e, err := payload(s)
	j := Job{System: "github", Repository: s.Getenv("GITHUB_REPOSITORY"), Default: e.Repository.DefaultBranch, Ref: githubRef(s)}
	name := s.Getenv("GITHUB_EVENT_NAME")
	switch {
	case e.PullRequest != nil:
		j.Base = first(e.PullRequest.Base.Ref, s.Getenv("GITHUB_BASE_REF"))
		what := "pull request " + strconv.Itoa(e.PullRequest.Number)
		if j.foreign(what, e.PullRequest.Head.Repo); j.Untrusted != "" {
			j.Ref = "pull/" + strconv.Itoa(e.PullRequest.Number)
		} else {
			j.Ref = first(e.PullRequest.Head.Ref, j.Ref)
		}
	case strings.HasPrefix(name, "pull_request"):
		j.Base = s.Getenv("GITHUB_BASE_REF")
		j.Ref = first(pullRef(s.Getenv("GITHUB_REF")), "pull/"+s.Getenv("GITHUB_HEAD_REF"))
		j.Untrusted = "it builds a pull request, and whether that is a fork's cannot be told" + because(err)
	case e.WorkflowRun != nil:
		run := e.WorkflowRun
		if run.Event == "workflow_run" || run.Event == "issue_comment" {
			// These run on the default branch, whoever has caused them.
			j.Ref = run.Event
			j.Untrusted = "it follows a workflow that " + run.Event + " has started, and whose code that has built cannot be told"
		} else if j.foreign("the workflow that this one follows", run.HeadRepository); j.Untrusted == "" {
			j.Ref = first(run.HeadBranch, j.Ref)
		} else {
			// As GitHub labels the heads of pull requests.
			j.Ref = owner(run.HeadRepository) + ":" + run.HeadBranch
		}
	case name == "workflow_run":
		j.Ref = "workflow_run"
		j.Untrusted = "it follows another workflow, and whose code that has built cannot be told" + because(err)
	case e.Issue != nil && e.Issue.PullRequest != nil:
		j.Ref = "pull/" + strconv.Itoa(e.Issue.Number)
		j.Untrusted = fmt.Sprintf("a comment on pull request %d has started it, and whether that is a fork's cannot be told", e.Issue.Number)
	}
	return j
}

// foreign says why what comes from head is not the repository's own. Whether head
// is a fork of something is not the question: the repository may be one, too.
func (j *Job) foreign(what string, head *repository) {
	switch {
	case head == nil || head.FullName == "":
		j.Untrusted = what + " comes from a repository that is gone"
	case !same(head.FullName, j.Repository):
		j.Untrusted = what + " comes from the fork " + head.FullName
	}
}

func owner(r *repository) string {
	if r == nil {
		return "unknown"
	}
	name, _, _ := strings.Cut(r.FullName, "/")
	return name
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": reading the event: " + err.Error()
}

// githubRef is the branch or tag that the workflow runs on.
func githubRef(s Source) string {
	name := s.Getenv("GITHUB_REF_NAME")
	switch {
	case name == "":
		return ""
	case s.Getenv("GITHUB_REF_TYPE") == "tag":
		return "tags/" + name
	case strings.HasPrefix(name, "gh-readonly-queue/"):
		// Every entry of a merge queue has a branch of its own, gh-readonly-queue/
		// BASE/pr-7-SHA; what follows in the queue is what profits.
		if i := strings.LastIndexByte(name, '/'); strings.HasPrefix(name[i:], "/pr-") {
			return name[:i]
		}
	}
	return first(pullRef(s.Getenv("GITHUB_REF")), name)
}

// pullRef makes "pull/7" of "refs/pull/7/merge", and "" of what is no such ref.
func pullRef(ref string) string {
	rest, ok := strings.CutPrefix(ref, "refs/pull/")
	if !ok {
		return ""
	}
	number, _, _ := strings.Cut(rest, "/")
	return "pull/" + number
}

// Escape makes text fit for the message of a workflow command such as ::warning::.
func Escape(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

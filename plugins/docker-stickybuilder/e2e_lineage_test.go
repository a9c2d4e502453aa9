package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type lineageUp struct {
	upped
	Key, Ref, Origin, Because string
	ReadOnly                  bool
}

// A branch begins with what its base has; a fork's pull request only reads.
func TestBranchesAndForks(t *testing.T) {
	j := newJob(t)
	up := func(args ...string) (u lineageUp) {
		t.Helper()
		j.sticky(&u, append([]string{"up", "--disk", "dir:" + j.pool}, args...)...)
		return u
	}
	event := filepath.Join(t.TempDir(), "event.json")
	on := func(ref, name, payload string) {
		t.Helper()
		if err := os.WriteFile(event, []byte(payload), 0o600); err != nil {
			t.Fatal(err)
		}
		j.env = append(j.env, "GITHUB_REPOSITORY=acme/app", "GITHUB_EVENT_PATH="+event, "GITHUB_REF_NAME="+ref, "GITHUB_EVENT_NAME="+name)
	}
	on("main", "push", `{"repository":{"default_branch":"main"}}`)
	if u := up(); u.Key != "acme/app" || u.Ref != "main" || u.Cache != "cold" || u.ReadOnly {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	head := j.down().Generation

	on("fix", "push", `{"repository":{"default_branch":"main"}}`)
	if u := up(); u.Ref != "fix" || u.Cache != "warm" || u.Origin != "acme/app@main" || u.Generation != head {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	r := j.down()
	if r.Decision != "commit" || r.Parent != head || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	if u := up(); u.Generation != r.Generation || u.Origin != "" {
		t.Errorf("%+v", u)
	}
	j.down()

	// Its branch is called main, and the workflow has the rights of ours.
	on("main", "pull_request_target", `{"repository":{"default_branch":"main"},"pull_request":{"number":7,"head":{"ref":"main","repo":{"full_name":"eve/app"}},"base":{"ref":"main"}}}`)
	if u := up(); !u.ReadOnly || u.Ref != "pull/7" || u.Origin != "acme/app@main" || !strings.Contains(u.Because, "fork eve/app") {
		t.Errorf("%+v", u)
	}
	j.mustBuild("--no-cache")
	if r := j.down("--commit", "always"); r.Decision != "discard" || !strings.Contains(r.Reason, "read-only: pull request 7 comes from the fork eve/app") {
		t.Errorf("%+v", r)
	}
	if u := up("--read-only=false"); u.ReadOnly || u.Because != "" || u.Ref != "pull/7" {
		t.Errorf("%+v", u)
	}
	j.mustBuild("--no-cache")
	if r := j.down(); r.Decision != "commit" {
		t.Errorf("%+v", r)
	}
	on("main", "push", `{"repository":{"default_branch":"main"}}`)
	if u := up(); u.Generation != head {
		t.Errorf("%+v", u)
	}
	j.down()
	j.nothingLeft()
}

// Two jobs on the same disk: the one that has built something takes the place of
// the one that ended before it and had less to build.
func TestTheRicherJobWins(t *testing.T) {
	j := newJob(t)
	j.write("web.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"exit\",\"0\"]\n")
	j.write("app.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"sleep\",\"2\"]\n")
	j.upNamed("web")
	j.upNamed("app")
	j.mustBuild("--builder", "app", "-f", "app.Dockerfile")
	j.mustBuild("--builder", "web", "-f", "web.Dockerfile")
	web, app := j.down("web"), j.down("app")
	if web.Decision != "commit" || app.Decision != "commit" || app.Head != app.Generation || !strings.Contains(app.Reason, "takes the place of "+web.Generation) {
		t.Errorf("%+v\n%+v", web, app)
	}
	var disk struct {
		Head        string
		Generations []struct {
			ID   string
			Work map[string]float64
		}
	}
	j.sticky(&disk, "disk", "inspect", "--disk", "dir:"+j.pool, "--key", "k")
	if len(disk.Generations) != 2 || disk.Head != app.Generation {
		t.Errorf("%+v", disk)
	}
	for _, g := range disk.Generations {
		if g.ID == app.Generation && (g.Work["src/app.Dockerfile"] < 2 || len(g.Work) != 1) {
			t.Errorf("%+v", g)
		}
	}
	j.nothingLeft()
}

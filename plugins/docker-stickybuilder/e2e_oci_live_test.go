package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where the daemon is a container's and the disk a registry's, a checkpoint is there
// for other machines while builds go on, and stays when the job fails later.
func TestCheckpointOfAContainerInARegistry(t *testing.T) {
	d := newDocker(t)
	d.makeImage()
	j := newJob(t)
	j.onEngine(d)
	_, disk := j.registryDisk()
	j.write("ticks.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"sleep\",\"6\"]\nRUN [\"/tool\",\"write\",\"/late\",\"1000\"]\n")
	if u := j.upOn(disk, j.driver...); u.Driver != "docker-container" || u.Cache != "cold" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	client := j.cmd(j.buildx, "build", ".", "-f", "ticks.Dockerfile")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	j.eventually("the second build is seen", func() bool { return len(j.status("sticky").Builds) == 2 })
	c := j.checkpoint()
	if c.Decision != "commit" || c.Head != c.Generation || c.PauseMilliseconds > 1000 || c.Summary.OK != 1 || c.Summary.Running != 1 {
		t.Errorf("%+v", c)
	}
	t.Logf("builds stood still for %d ms", c.PauseMilliseconds)
	if err := client.Wait(); err != nil {
		t.Errorf("the build that went on: %v", err)
	}
	if err := j.build("-f", "fail.Dockerfile"); err == nil {
		t.Error("a build that fails")
	}
	if r := j.down(); r.Decision != "discard" || r.Head != c.Generation {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()

	j.elsewhere()
	if u := j.upOn(disk, "--driver", "process"); u.Cache != "warm" || u.Generation != c.Generation {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Parent != c.Generation || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

// An up that waits for a registry that has stopped in the middle of a pack ends when it
// is told to, and leaves nothing in the way of the next one.
func TestInterruptedWhileARegistryIsSilent(t *testing.T) {
	j := newJob(t)
	p, disk := j.registryDisk()
	j.upOn(disk)
	j.mustBuild()
	head := j.down().Generation

	j.elsewhere()
	silent := make(chan struct{})
	var once sync.Once
	p.reset(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		whole := httptest.NewRecorder()
		p.Handler.ServeHTTP(whole, r)
		w.Header().Set("Content-Length", whole.Header().Get("Content-Length"))
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		once.Do(func() { close(silent) })
		<-r.Context().Done()
		return true
	})
	up := j.cmd("docker-stickybuilder", "up", "sticky", "--disk", disk, "--key", "k", "--ref", "")
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-silent:
	case <-time.After(time.Minute):
		t.Error("nothing was fetched")
	}
	began := time.Now()
	kill(t, up.Process.Pid, syscall.SIGINT)
	_ = up.Wait()
	if status, took := up.ProcessState.ExitCode(), time.Since(began); status != 130 || took > 20*time.Second {
		t.Errorf("exit status %d after %s", status, took)
	}
	p.reset(nil)
	j.nothingLeft()
	if u := j.upOn(disk); u.Cache != "warm" || u.Generation != head {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

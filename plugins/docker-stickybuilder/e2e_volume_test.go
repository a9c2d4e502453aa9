package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// diskVolume is the name of the volume that a test makes its disk.
const diskVolume = "dockerfactory-stickybuilder-test"

func TestVolumes(t *testing.T) {
	d := newDocker(t)
	d.makeImage()
	for name, scenario := range map[string]func(*testing.T, docker){
		"second job is warm":   volumeSecondJob,
		"in use":               volumeInUse,
		"at the same time":     volumeSameTime,
		"supervisor is killed": volumeSupervisorKilled,
		"daemon is killed":     volumeDaemonKilled,
		"up is killed":         volumeUpKilled,
		"damaged":              volumeDamaged,
		"somebody else's":      volumeForeign,
		"refused":              volumeRefused,
		"docker context":       volumeContext,
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			t.Cleanup(func() { _, _ = d.try("volume", "rm", "--force", diskVolume) })
			scenario(t, d)
		})
	}
}

// onVolume makes the job's builders containers with the volume; each job of a test is as
// one of another machine.
func onVolume(t *testing.T, d docker) *job {
	t.Helper()
	j := newJob(t)
	j.onEngine(d)
	return j
}

type volumeUp struct {
	upped
	Clone     struct{ Method string }
	Recovered []struct{ Rung, Reason string }
}

func (j *job) upVolume(args ...string) (u volumeUp) {
	j.t.Helper()
	j.sticky(&u, slices.Concat([]string{"up", "--disk", "volume:" + diskVolume}, j.driver, args)...)
	return u
}

// refuses runs a command that has to fail with that text.
func (j *job) refuses(want string, args ...string) {
	j.t.Helper()
	if _, err := j.run("docker-stickybuilder", args...); err == nil || !strings.Contains(err.Error(), want) {
		j.t.Errorf("%v: %v", args, err)
	}
}

func (j *job) refusedUp(want string, args ...string) {
	j.t.Helper()
	j.refuses(want, slices.Concat([]string{"up", "--disk", "volume:" + diskVolume}, j.driver, args)...)
}

// nothingLeftOfVolumes also looks for what reads volumes.
func (j *job) nothingLeftOfVolumes() {
	j.t.Helper()
	j.nothingLeft()
	if out := j.engine.run("container", "ls", "--all", "--quiet", "--filter", "name=docker-stickybuilder-volume"); out != "" {
		j.t.Errorf("containers: %s", out)
	}
	if out := j.engine.run("image", "ls", "--all", "--quiet", "--filter", "label=dev.dockerfactory.stickybuilder.keeper"); out != "" {
		j.t.Errorf("images: %s", out)
	}
	if copies, _ := os.ReadDir(filepath.Join(j.state, "docker-stickybuilder", "scratch", "work")); len(copies) != 0 {
		j.t.Errorf("working copies: %v", copies)
	}
}

func volumeSecondJob(t *testing.T, d docker) {
	j := onVolume(t, d)
	if u := j.upVolume(); u.State != "started" || u.Cache != "cold" || u.Driver != "docker-container" || u.Clone.Method != "volume" || len(u.Recovered) != 0 {
		t.Errorf("%+v", u)
	}
	if u := j.upVolume(); u.State != "running" {
		t.Errorf("a second up: %+v", u)
	}
	j.mustBuild()
	j.refuses("a docker volume has no generations", "commit")
	if s := j.status("sticky"); s.State != "ready" || len(s.Builds) != 1 {
		t.Errorf("%+v", s)
	}
	r := j.down()
	if r.Decision != "keep" || r.Reason != "1 of 1 build succeeded; a volume has no generations, so what was built stays in it" || !r.CleanShutdown || r.Generation != "" || r.outcomes() != "ok" {
		t.Errorf("%+v", r)
	}
	j.nothingLeftOfVolumes()

	// A job on another machine, on the same engine.
	src := j.src
	j = onVolume(t, d)
	j.src = src
	if u := j.upVolume(); u.Cache != "warm" || len(u.Recovered) != 0 {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if n := j.count("2"); n != "2" {
		t.Errorf("the cache mount counts %q", n)
	}
	if err := j.build("-f", "fail.Dockerfile"); err == nil {
		t.Error("a RUN that fails")
	}
	r = j.down("--commit", "all-ok")
	if r.Decision != "keep" || !strings.HasPrefix(r.Reason, "2 of 3 builds succeeded, 1 failed; a volume has no generations") || r.Builds[0].CachedSteps != 3 || r.outcomes() != "ok ok failed" {
		t.Errorf("%+v", r)
	}
	j.nothingLeftOfVolumes()

	var removed struct {
		Disk    string
		Lineage bool
	}
	if j.sticky(&removed, "disk", "rm", "--all", "--disk", "volume:"+diskVolume); removed.Disk != "volume:"+diskVolume || !removed.Lineage {
		t.Errorf("%+v", removed)
	}
	if _, err := d.try("volume", "inspect", diskVolume); err == nil {
		t.Error("the volume is still there")
	}
	j.refuses("has none of that name", "disk", "rm", "--all", "--disk", "volume:"+diskVolume)
}

func volumeInUse(t *testing.T, d docker) {
	one, two := onVolume(t, d), onVolume(t, d)
	one.upVolume()
	two.refusedUp("using volume " + diskVolume + ": the disk is in use, by container buildx_buildkit_sticky0-")
	two.refuses("the disk is in use", "disk", "rm", "--all", "--disk", "volume:"+diskVolume)
	two.refusedUp("the disk is in use", "other")
	var v struct {
		Ours  bool
		InUse []string
	}
	if two.sticky(&v, "disk", "inspect", "--disk", "volume:"+diskVolume); !v.Ours || len(v.InUse) != 1 || !strings.HasPrefix(v.InUse[0], "buildx_buildkit_sticky0-") {
		t.Errorf("%+v", v)
	}
	one.mustBuild()
	if r := one.down(); r.Decision != "keep" {
		t.Errorf("%+v", r)
	}
	// Whoever else has it, and wherever.
	id := d.run("run", "--detach", "--volume", diskVolume+":/elsewhere", "--entrypoint", "buildkitd", "--privileged", containerImage, "--root", "/tmp/root")
	two.refusedUp("the disk is in use, by container ")
	d.run("rm", "--force", id)
	if u := two.upVolume(); u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	two.down()
	two.nothingLeftOfVolumes()
}

// Of several at once one gets the volume, and all others are told.
func volumeSameTime(t *testing.T, d docker) {
	jobs := []*job{onVolume(t, d), onVolume(t, d), onVolume(t, d)}
	for _, j := range jobs {
		j.engine = nil
	}
	var wg sync.WaitGroup
	errs := make([]error, len(jobs))
	for i, j := range jobs {
		wg.Go(func() {
			_, errs[i] = j.run("docker-stickybuilder", slices.Concat([]string{"up", "--disk", "volume:" + diskVolume}, j.driver)...)
		})
	}
	wg.Wait()
	up := 0
	for i, err := range errs {
		switch {
		case err == nil:
			up++
			jobs[i].mustBuild()
			jobs[i].down()
		case !strings.Contains(err.Error(), "the disk is in use"):
			t.Error(err)
		}
	}
	if up != 1 {
		t.Errorf("%d builders at once: %v", up, errs)
	}
	jobs[0].engine = &d
	jobs[0].nothingLeftOfVolumes()
}

// inVolume is the id of the container that runs with the volume.
func (d docker) inVolume() string {
	d.t.Helper()
	return d.run("ps", "--quiet", "--no-trunc", "--filter", "volume="+diskVolume)
}

func volumeSupervisorKilled(t *testing.T, d docker) {
	j, other := onVolume(t, d), onVolume(t, d)
	for i, then := range []string{"down", "recover", "up"} {
		if u := j.upVolume(); (i > 0) != (u.Cache == "warm") || len(u.Recovered) != 0 {
			t.Errorf("%d: %+v", i, u)
		}
		if i == 0 {
			j.mustBuild()
		}
		kill(t, j.status("sticky").SupervisorPid, syscall.SIGKILL)
		j.eventually("the supervisor is dead", func() bool { return j.status("sticky").State == "dead" })
		if d.inVolume() == "" {
			t.Error("the container does not run on")
		}
		other.refusedUp("the disk is in use, by container buildx_buildkit_sticky0-")
		switch then {
		case "up":
			if u := j.upVolume(); u.State != "started" || u.Cache != "warm" || len(u.Recovered) != 0 {
				t.Errorf("%+v", u)
			}
			j.down()
		case "down":
			// It was ended as it should be, in the supervisor's place.
			if r := j.down(); r.Decision != "keep" || !r.CleanShutdown || !strings.Contains(r.Reason, "the supervisor died") {
				t.Errorf("%+v", r)
			}
		default:
			if out, err := j.run("docker-stickybuilder", then); err != nil || !strings.Contains(out, "keep") {
				t.Errorf("%v: %s", err, out)
			}
		}
		j.nothingLeftOfVolumes()
	}
}

func volumeDaemonKilled(t *testing.T, d docker) {
	j := onVolume(t, d)
	j.upVolume()
	j.mustBuild()
	d.run("kill", "--signal", "KILL", d.inVolume())
	j.eventually("the supervisor notices", func() bool { return j.status("sticky").State == "crashed" })
	if r := j.down(); r.Decision != "keep" || r.CleanShutdown || !strings.Contains(r.Reason, "exit status 137") || !strings.HasSuffix(r.Reason, "the next up checks its databases") {
		t.Errorf("%+v", r)
	}
	j.nothingLeftOfVolumes()
	u := j.upVolume("next")
	if u.Cache != "warm" || len(u.Recovered) != 1 || u.Recovered[0].Rung != "check" || !strings.Contains(u.Recovered[0].Reason, "the buildkitd of builder sticky") {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down("next"); r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeftOfVolumes()
}

// Whenever up is killed, the next one works.
func volumeUpKilled(t *testing.T, d docker) {
	j := onVolume(t, d)
	points := []string{"docker-stickybuilder-volume-", "buildx_buildkit_sticky0-"}
	for _, point := range points {
		cmd := j.cmd("docker-stickybuilder", slices.Concat([]string{"up", "--disk", "volume:" + diskVolume}, j.driver)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		j.eventually("up has come to "+point, func() bool {
			return d.run("container", "ls", "--all", "--quiet", "--filter", "name="+point) != ""
		})
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if u := j.upVolume(); u.State != "started" {
			t.Errorf("after a kill at %s: %+v", point, u)
		}
		j.mustBuild()
		j.down()
		j.nothingLeftOfVolumes()
	}
}

// damage replaces a file of the volume.
func (d docker) damage(name, content string) {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	id := d.run("create", "--volume", diskVolume+":/v", containerImage)
	defer d.run("rm", id)
	d.run("cp", file, id+":/v/"+name)
}

func volumeDamaged(t *testing.T, d docker) {
	j := onVolume(t, d)
	j.upVolume()
	j.mustBuild()
	j.down()
	for _, c := range []struct {
		file, content, rung, cache string
		cached                     int
	}{
		{"cache.db", "junk", "repair", "warm", 0},
		{"runc-overlayfs/workerid", "", "repair", "warm", 3},
		{"runc-overlayfs/metadata_v2.db", "junk", "reset", "cold", 0},
	} {
		d.damage(c.file, c.content)
		u := j.upVolume()
		if u.Cache != c.cache || len(u.Recovered) != 1 || u.Recovered[0].Rung != c.rung || !strings.Contains(u.Recovered[0].Reason, filepath.Base(c.file)) {
			t.Errorf("%s: %+v", c.file, u)
		}
		j.mustBuild()
		if r := j.down(); r.Builds[0].CachedSteps != c.cached || r.Decision != "keep" {
			t.Errorf("%s: %+v", c.file, r)
		}
		j.nothingLeftOfVolumes()
	}
	if got := d.run("volume", "inspect", "--format", `{{index .Labels "dev.dockerfactory.stickybuilder.disk"}}`, diskVolume); got != "1" {
		t.Errorf("label %q", got)
	}
}

// What somebody else has made is used if it is BuildKit's, and never removed.
func volumeForeign(t *testing.T, d docker) {
	j := onVolume(t, d)
	d.run("volume", "create", diskVolume)
	d.damage("PG_VERSION", "17")
	j.refusedUp(`it holds something else than BuildKit's state: "PG_VERSION"`)
	j.refuses("it was not made by docker stickybuilder", "disk", "rm", "--all", "--disk", "volume:"+diskVolume)
	d.run("volume", "rm", diskVolume)

	d.run("volume", "create", diskVolume)
	if u := j.upVolume(); u.Cache != "cold" {
		t.Errorf("an empty one: %+v", u)
	}
	j.mustBuild()
	j.down()
	d.damage("runc-overlayfs/metadata_v2.db", "junk")
	j.refusedUp("it is not sound: checking runc-overlayfs/metadata_v2.db")
	d.run("volume", "inspect", diskVolume)
	j.nothingLeftOfVolumes()

	// The state that a builder of buildx's own has left.
	if _, err := j.run(j.buildx, "create", "--name", "theirs", "--driver", "docker-container", "--driver-opt", "image="+containerImage, "--bootstrap"); err != nil {
		t.Fatal(err)
	}
	j.mustBuild("--builder", "theirs")
	if _, err := j.run(j.buildx, "rm", "--keep-state", "theirs"); err != nil {
		t.Fatal(err)
	}
	const theirs = "buildx_buildkit_theirs0_state"
	defer d.run("volume", "rm", theirs)
	var u volumeUp
	if j.sticky(&u, append([]string{"up", "--disk", "volume:" + theirs}, j.driver...)...); u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Builds[0].CachedSteps != 3 || r.Decision != "keep" {
		t.Errorf("%+v", r)
	}
}

func volumeRefused(t *testing.T, d docker) {
	j := onVolume(t, d)
	env := j.env
	// The pull request of a fork would write what later jobs run.
	event := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(event, []byte(`{"pull_request":{"number":1,"head":{"ref":"x","repo":{"full_name":"mallory/app","fork":true}},"base":{"ref":"main","repo":{"full_name":"acme/app"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	j.env = append(slices.Clone(env), "GITHUB_ACTIONS=true", "GITHUB_EVENT_NAME=pull_request", "GITHUB_REPOSITORY=acme/app", "GITHUB_REF=refs/pull/1/merge", "GITHUB_EVENT_PATH="+event)
	j.refusedUp("the builder is to be read-only")
	if u := j.upVolume("--read-only=false"); u.Mode != "sticky" {
		t.Errorf("%+v", u)
	}
	j.refuses("it is up already, with volume:"+diskVolume+", which keeps all that is built", "up")
	j.env = env
	j.down()
	j.refusedUp("none-such", "--driver-opt", "image=127.0.0.1:1/none-such")
	j.env = append(slices.Clone(env), "DOCKER_HOST=unix:///none.sock")
	j.refusedUp("it does not answer")
	j.env = env
	j.nothingLeftOfVolumes()

	var diagnosis struct {
		Usable   bool
		Drivers  []string
		Findings []struct{ Area, Check, Status, Detail string }
	}
	j.sticky(&diagnosis, "doctor", "--disk", "volume:"+diskVolume, "--driver-opt", "image="+containerImage)
	if !diagnosis.Usable || !slices.Equal(diagnosis.Drivers, []string{"docker-container"}) {
		t.Errorf("%+v", diagnosis)
	}
	if i := slices.IndexFunc(diagnosis.Findings, func(f struct{ Area, Check, Status, Detail string }) bool { return f.Check == "volume" }); i < 0 || diagnosis.Findings[i].Status != "ok" {
		t.Errorf("%+v", diagnosis.Findings)
	}
}

// The engine may be anywhere: here it is behind TCP, and known by a docker context.
func volumeContext(t *testing.T, d docker) {
	j := onVolume(t, d)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go forward(listener, strings.TrimPrefix(d.host, "unix://"))
	j.env = slices.DeleteFunc(j.env, func(v string) bool { return strings.HasPrefix(v, "DOCKER_HOST=") })
	create := exec.Command(d.client, "context", "create", "elsewhere", "--docker", "host=tcp://"+listener.Addr().String())
	create.Env = j.env
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for round, cache := range []string{"cold", "warm"} {
		env := j.env
		j.env = append(slices.Clone(env), "DOCKER_CONTEXT=elsewhere")
		if u := j.upVolume(); u.Cache != cache {
			t.Errorf("%+v", u)
		}
		j.env = env
		j.mustBuild("--builder", "sticky")
		// No later command is told of the context.
		if round == 0 {
			kill(t, j.status("sticky").SupervisorPid, syscall.SIGKILL)
			j.eventually("the supervisor is dead", func() bool { return j.status("sticky").State == "dead" })
		}
		if r := j.down(); r.Decision != "keep" || (round == 1 && r.Builds[0].CachedSteps != 3) {
			t.Errorf("%+v", r)
		}
	}
	j.nothingLeftOfVolumes()
}

// forward passes connections on to a unix socket.
func forward(listener net.Listener, socket string) {
	for {
		in, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.(*net.UnixConn).CloseWrite()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}

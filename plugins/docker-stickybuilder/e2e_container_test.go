package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// containerImage is what the tests call the image that they make of the
// testbed's buildkitd.
const containerImage = "docker.io/dockerfactory/stickybuilder-test:buildkit"

// A docker is the testbed's engine.
type docker struct {
	t      *testing.T
	client string
	host   string
}

func newDocker(t *testing.T) docker {
	t.Helper()
	d := docker{t, os.Getenv("DOCKERFACTORY_DOCKER"), os.Getenv("DOCKERFACTORY_DOCKER_HOST")}
	if d.client == "" || d.host == "" {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatal("DOCKERFACTORY_DOCKER or DOCKERFACTORY_DOCKER_HOST is not set")
		}
		t.Skip("no engine")
	}
	return d
}

func (d docker) try(args ...string) (string, error) {
	out, err := exec.Command(d.client, append([]string{"--host", d.host}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (d docker) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// makeImage puts the testbed's buildkitd, buildctl and the machine's runc on the
// testbed's base, as BuildKit's own image has them.
func (d docker) makeImage() {
	d.t.Helper()
	tools := os.Getenv("DOCKERFACTORY_TOOLS")
	base := os.Getenv("DOCKERFACTORY_BASE_IMAGE")
	runc, err := exec.LookPath("runc")
	if tools == "" || base == "" || err != nil {
		d.t.Fatalf("making an image with BuildKit: tools %q, base %q, runc: %v", tools, base, err)
	}
	if _, err := d.try("image", "inspect", base); err != nil {
		d.run("pull", "--quiet", base)
		d.t.Cleanup(func() { _, _ = d.try("image", "rm", base) })
	}
	id := d.run("create", base)
	defer func() { _, _ = d.try("rm", "-f", id) }()
	for _, file := range []string{filepath.Join(tools, "buildkitd"), filepath.Join(tools, "buildctl"), runc} {
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			d.t.Fatal(err)
		}
		d.run("cp", real, id+":/usr/bin/"+filepath.Base(file))
	}
	d.run("commit", "--change", `ENTRYPOINT ["buildkitd"]`, "--change", "CMD []", id, containerImage)
	d.t.Cleanup(func() { _, _ = d.try("image", "rm", containerImage) })
}

// onEngine makes the job's builders containers of the engine.
func (j *job) onEngine(d docker) {
	j.env = append(j.env, "DOCKER_HOST="+d.host)
	j.driver = []string{"--driver", "docker-container", "--driver-opt", "image=" + containerImage}
	j.engine = &d
	for _, all := range [][]string{{"container", "ls", "--all"}, {"volume", "ls"}} {
		j.others = append(j.others, strings.Fields(d.run(append(all, "--quiet", "--filter", "name=buildx_buildkit_")...))...)
	}
}

// containerOf is the id of the builder's container.
func (j *job) containerOf(name string) string {
	j.t.Helper()
	return j.engine.run("inspect", "--format", "{{.Id}}", "buildx_buildkit_"+name+"0")
}

func TestContainers(t *testing.T) {
	d := newDocker(t)
	d.makeImage()
	for name, scenario := range map[string]func(*testing.T, docker){
		"second job is warm":   containerSecondJob,
		"daemon is killed":     containerKilled,
		"supervisor is killed": containerSupervisorKilled,
		"other driver":         containerOtherDriver,
		"refused":              containerRefused,
		"configuration":        containerConfiguration,
		"doctor":               containerDoctor,
	} {
		t.Run(name, func(t *testing.T) { d.t = t; scenario(t, d) })
	}
}

func containerSecondJob(t *testing.T, d docker) {
	j := newJob(t)
	j.onEngine(d)
	j.mounted("mkfs.btrfs", 512<<20)
	if u := j.upNamed("sticky"); u.State != "started" || u.Cache != "cold" || u.Driver != "docker-container" {
		t.Errorf("%+v", u)
	}
	id := j.containerOf("sticky")
	j.upNamed("other", "--key", "other", "--no-use")
	if u := j.upNamed("sticky"); u.State != "running" {
		t.Errorf("a second up: %+v", u)
	}
	j.mustBuild()
	j.mustBuild("--builder", "other")
	if got := j.containerOf("sticky"); got != id {
		t.Errorf("container %s, before %s", got, id)
	}
	first := j.down()
	if first.Decision != "commit" || !first.CleanShutdown || first.outcomes() != "ok" {
		t.Errorf("%+v", first)
	}
	j.mustBuild("--builder", "other")
	if r := j.down("other"); r.Decision != "commit" || r.outcomes() != "ok ok" {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()

	if u := j.upNamed("sticky"); u.Cache != "warm" || u.Generation != first.Generation {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if n := j.count("2"); n != "2" {
		t.Errorf("the cache mount counts %q", n)
	}
	if err := j.build("-f", "fail.Dockerfile"); err == nil {
		t.Error("a RUN that fails")
	}
	r := j.down()
	if r.Decision != "discard" || r.Builds[0].CachedSteps != 3 || r.outcomes() != "ok ok failed" {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

func containerKilled(t *testing.T, d docker) {
	j := newJob(t)
	j.onEngine(d)
	j.upNamed("sticky")
	client := j.cmd(j.buildx, "build", "-f", "slow.Dockerfile", ".")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	j.eventually("the build is seen", func() bool { return len(j.status("sticky").Builds) == 1 })
	d.run("kill", "--signal", "KILL", j.containerOf("sticky"))
	j.eventually("the supervisor notices", func() bool { return j.status("sticky").State == "crashed" })
	_ = client.Process.Kill()
	_ = client.Wait()
	if r := j.down(); r.Decision != "discard" || r.CleanShutdown || r.outcomes() != "lost" || !strings.Contains(r.Reason, "exit status 137") {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

func containerSupervisorKilled(t *testing.T, d docker) {
	j := newJob(t)
	j.onEngine(d)
	for _, then := range []string{"down", "recover", "up"} {
		j.upNamed("sticky")
		j.mustBuild()
		kill(t, j.status("sticky").SupervisorPid, syscall.SIGKILL)
		j.eventually("the supervisor is dead", func() bool { return j.status("sticky").State == "dead" })
		j.containerOf("sticky") // it lives on, and everybody says so
		if s := j.status("sticky"); !s.Orphan {
			t.Errorf("%+v", s)
		}
		if out, err := j.cmd("docker-stickybuilder", "up", "other", "--disk", "dir:"+j.pool, "--key", "other", "--no-use", "--driver", "process").CombinedOutput(); err != nil || !strings.Contains(string(out), "note: the supervisor of builder sticky died, and its buildkitd runs on: docker stickybuilder recover ends it") {
			t.Errorf("%v: %s", err, out)
		}
		j.down("other")
		if then == "up" {
			if u := j.upNamed("sticky"); u.State != "started" || u.Cache != "cold" {
				t.Errorf("%+v", u)
			}
			then = "down"
		}
		if _, err := j.run("docker-stickybuilder", then); err != nil {
			t.Error(err)
		}
		j.nothingLeft()
	}
}

func containerOtherDriver(t *testing.T, d docker) {
	j := newJob(t)
	process := *j
	j.onEngine(d)
	for i, on := range []*job{j, &process, j} {
		on.upNamed("sticky")
		on.mustBuild()
		r := on.down()
		if r.Decision != "commit" || (i > 0 && r.Builds[0].CachedSteps != 3) {
			t.Errorf("round %d: %+v", i, r)
		}
		j.nothingLeft()
	}
}

func containerRefused(t *testing.T, d docker) {
	j := newJob(t)
	j.onEngine(d)
	up := append([]string{"up", "--disk", "dir:" + j.pool}, j.driver...)
	refuse := func(want string, args ...string) {
		t.Helper()
		if _, err := j.run("docker-stickybuilder", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
		if names := j.up(); len(names) != 0 {
			t.Errorf("builders: %v", names)
		}
	}
	const name = "buildx_buildkit_sticky0"
	d.run("volume", "create", name+"_state")
	refuse("the name is taken", up...)
	d.run("volume", "rm", name+"_state")
	d.run("create", "--name", name, containerImage)
	refuse("the name is taken", up...)
	d.run("rm", name)
	refuse("none-such", "up", "--disk", "dir:"+j.pool, "--driver", "docker-container", "--driver-opt", "image=127.0.0.1:1/none-such")
	refuse("invalid driver option teapot", append(up, "--driver-opt", "teapot=1")...)
	if _, err := j.run(j.buildx, "create", "--name", "mine", "--driver", "docker-container"); err != nil {
		t.Fatal(err)
	}
	if _, err := j.run("docker-stickybuilder", append(up, "mine")...); err == nil || !strings.Contains(err.Error(), "a builder with the docker-container driver has it already") {
		t.Errorf("%v", err)
	}
	if _, err := j.run(j.buildx, "rm", "mine"); err != nil {
		t.Error(err)
	}
	j.env = append(j.env, "DOCKER_HOST=tcp://127.0.0.1:1")
	refuse("it is not on this machine", up...)
	j.env = append(j.env, "DOCKER_HOST=unix:///none.sock")
	refuse("it does not answer", up...)
	j.nothingLeft()
}

func containerDoctor(t *testing.T, d docker) {
	j := newJob(t)
	j.onEngine(d)
	before := d.run("ps", "--all", "--quiet")
	var diagnosis struct {
		Usable   bool
		Drivers  []string
		Findings []struct{ Area, Check, Status, Detail string }
	}
	j.sticky(&diagnosis, "doctor", "--disk", "dir:"+j.pool, "--driver-opt", "image="+containerImage)
	if !diagnosis.Usable || !slices.Equal(diagnosis.Drivers, []string{"process", "docker-container"}) {
		t.Errorf("%+v", diagnosis)
	}
	for _, f := range diagnosis.Findings {
		if f.Check == "privileged" && (f.Status != "ok" || !strings.Contains(f.Detail, "buildkit")) {
			t.Errorf("%+v", f)
		}
	}
	if after := d.run("ps", "--all", "--quiet"); after != before {
		t.Errorf("containers before: %s, after: %s", before, after)
	}
	j.nothingLeft()
}

func containerConfiguration(t *testing.T, d docker) {
	j := newJob(t)
	j.onEngine(d)
	j.write("ca.pem", "-- a certificate --\n")
	j.write("buildkitd.toml", "debug = true\n[dns]\nnameservers = [\"192.0.2.1\"]\n[registry.\"r.example\"]\nmirrors = [\"m.example\"]\nca = [\"ca.pem\"]\n")
	j.upNamed("sticky", "--config", "buildkitd.toml", "--allow-insecure-entitlement", "security.insecure", "--platform", "linux/amd64,linux/arm64")
	text := d.run("exec", j.containerOf("sticky"), "cat", "/etc/buildkit/buildkitd.toml", "/etc/buildkit/certs/r.example/ca.pem")
	for _, want := range []string{"192.0.2.1", "m.example", "/etc/buildkit/certs/r.example/ca.pem", "security.insecure", "-- a certificate --", "exec.cachemount"} {
		if !strings.Contains(text, want) {
			t.Errorf("without %s:\n%s", want, text)
		}
	}
	if out, err := j.run(j.buildx, "inspect"); err != nil || !strings.Contains(out, "linux/arm64*") {
		t.Errorf("%v: %s", err, out)
	}
	j.down()
	j.nothingLeft()
	j.write("buildkitd.toml", "[registry.\"r.example\"]\nca = [\"none.pem\"]\n")
	if _, err := j.run("docker-stickybuilder", append([]string{"up", "--config", "buildkitd.toml"}, j.driver...)...); err == nil || !strings.Contains(err.Error(), "reading a certificate for registry r.example") {
		t.Error(err)
	}
}

// Ours come and go beside builders of other people, who do not notice.
func TestOthersAreLeftAlone(t *testing.T) {
	d := newDocker(t)
	d.makeImage()
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("STICKY_SIDE_BY_SIDE")); err == nil {
		rounds = n
	}
	j := newJob(t)
	process := *j
	j.onEngine(d)
	j.mounted("mkfs.btrfs", 1<<30)
	process.pool = j.pool

	// A docker-container builder of the user's own, and a buildkitd of somebody's.
	if _, err := j.run(j.buildx, "create", "--name", "theirs", "--driver", "docker-container", "--driver-opt", "image="+containerImage, "--bootstrap"); err != nil {
		t.Fatal(err)
	}
	foreign := exec.Command(filepath.Join(os.Getenv("DOCKERFACTORY_TOOLS"), "buildkitd"), "--root", t.TempDir(), "--addr", "unix://"+filepath.Join(t.TempDir(), "s"), "--otel-socket-path", filepath.Join(t.TempDir(), "o"))
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = foreign.Process.Signal(syscall.SIGTERM); _ = foreign.Wait() }()
	socket := strings.TrimPrefix(foreign.Args[4], "unix://")
	j.eventually("the other buildkitd is ready", func() bool { _, err := os.Stat(socket); return err == nil })
	if _, err := j.run(j.buildx, "create", "--name", "foreign", "--driver", "remote", "unix://"+socket); err != nil {
		t.Fatal(err)
	}
	const look = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}"
	before := d.run("inspect", "--format", look, "buildx_buildkit_theirs0")

	for i := range rounds {
		j.upNamed("contained", "--key", "contained")
		process.upNamed("sticky")
		both := []*exec.Cmd{j.cmd(j.buildx, "build", "--builder", "contained", "."), j.cmd(j.buildx, "build", "--builder", "sticky", ".")}
		for _, c := range both {
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range both {
			if err := c.Wait(); err != nil {
				t.Errorf("round %d: %v", i, err)
			}
		}
		for _, name := range []string{"contained", "sticky"} {
			if r := j.down(name); r.Decision != "commit" || (i > 0 && r.Builds[0].CachedSteps != 3) {
				t.Errorf("round %d: %s: %+v", i, name, r)
			}
		}
		if after := d.run("inspect", "--format", look, "buildx_buildkit_theirs0"); after != before {
			t.Fatalf("round %d: their container: %s, before %s", i, after, before)
		}
		if err := foreign.Process.Signal(syscall.Signal(0)); err != nil {
			t.Fatalf("round %d: their buildkitd: %v", i, err)
		}
	}
	j.mustBuild("--builder", "theirs")
	j.mustBuild("--builder", "foreign")
	for _, name := range []string{"theirs", "foreign"} {
		if _, err := j.run(j.buildx, "rm", name); err != nil {
			t.Error(err)
		}
	}
	j.nothingLeft()
}

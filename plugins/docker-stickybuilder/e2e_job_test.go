package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests run real builds on a real buildkitd. They need root, and
// DOCKERFACTORY_TOOLS, a directory with buildkitd, beside which, in cli-plugins or
// in DOCKERFACTORY_CLI_PLUGINS, there is docker-buildx. DOCKERFACTORY_E2E=1 makes
// it an error that something of this is missing.

// A job is one user's surroundings: configuration, state, a disk pool.
type job struct {
	t      *testing.T
	buildx string
	env    []string
	state  string
	pool   string
	src    string // build context
	driver []string
	engine *docker  // nil for the process driver
	others []string // what the engine had of other people's builders before
}

func newJob(t *testing.T) *job {
	t.Helper()
	lack := t.Skipf
	if os.Getenv("DOCKERFACTORY_E2E") == "1" {
		lack = t.Fatalf
	}
	tools := os.Getenv("DOCKERFACTORY_TOOLS")
	if tools == "" {
		lack("DOCKERFACTORY_TOOLS is not set")
	}
	if os.Geteuid() != 0 {
		lack("buildkitd needs root")
	}
	plugins := os.Getenv("DOCKERFACTORY_CLI_PLUGINS")
	if plugins == "" {
		plugins = filepath.Join(filepath.Dir(tools), "cli-plugins")
	}
	buildx := filepath.Join(plugins, "docker-buildx")
	for _, file := range []string{filepath.Join(tools, "buildkitd"), buildx} {
		if _, err := os.Stat(file); err != nil {
			lack("%v", err)
		}
	}
	top := t.TempDir()
	j := &job{t: t, buildx: buildx, state: filepath.Join(top, "state"), pool: filepath.Join(top, "pool"), src: filepath.Join(top, "src")}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BUILDX_") && !strings.HasPrefix(v, "GITHUB_") && !strings.HasPrefix(v, "PATH=") && !strings.HasPrefix(v, "DOCKER_") {
			j.env = append(j.env, v)
		}
	}
	j.env = append(j.env, "PATH="+tools+":"+os.Getenv("PATH"), "XDG_STATE_HOME="+j.state, "DOCKER_CONFIG="+filepath.Join(top, "docker"),
		"BUILDKIT_PROGRESS=plain", "NO_COLOR=1", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "DOCKER_HOST=unix://"+filepath.Join(top, "none.sock"))
	j.write("Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"write\",\"/big\",\"1000\"]\nRUN --mount=type=cache,target=/c [\"/tool\",\"count\",\"/c/n\"]\n")
	j.write("fail.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"exit\",\"7\"]\n")
	j.write("slow.Dockerfile", "FROM scratch\nCOPY tool /tool\nARG SECONDS\nRUN [\"/tool\",\"sleep\",\"300\"]\n")
	j.write("round.Dockerfile", "FROM scratch\nCOPY tool /tool\nARG R\nRUN [\"/tool\",\"write\",\"/round\",\"1000\"]\n")
	j.write("fill.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"write\",\"/big\",\"200000000\"]\n")
	j.write("count.Dockerfile", "FROM scratch\nCOPY tool /tool\nARG N\nRUN --mount=type=cache,target=/c [\"/tool\",\"count\",\"/c/n\"]\n")
	j.write("docker-bake.hcl", "group \"default\" { targets = [\"web\", \"worker\"] }\ntarget \"web\" {}\ntarget \"worker\" { dockerfile = \"fail.Dockerfile\" }\n")
	buildTool(t, filepath.Join(j.src, "tool"))
	t.Cleanup(func() {
		// Whatever a failed test has left running.
		for _, name := range j.up() {
			_, _ = j.run("docker-stickybuilder", "down", "--commit", "never", "--drain-timeout", "0s", name)
		}
	})
	return j
}

// buildTool makes a static program for use in images that have nothing else.
func buildTool(t *testing.T, path string) {
	t.Helper()
	src := filepath.Join(t.TempDir(), "tool.go")
	const text = `package main

import (
	"os"
	"strconv"
	"time"
)

func main() {
	n, _ := strconv.Atoi(os.Args[len(os.Args)-1])
	switch os.Args[1] {
	case "exit":
		os.Exit(n)
	case "sleep":
		time.Sleep(time.Duration(n) * time.Second)
	case "write":
		f, err := os.Create(os.Args[2])
		for b := make([]byte, 1000); err == nil && n > 0; n -= len(b) {
			_, err = f.Write(b)
		}
		if err != nil {
			println(err.Error())
			os.Exit(1)
		}
	case "count":
		b, _ := os.ReadFile(os.Args[2])
		b = append(b, 'x')
		println("count", len(b))
		if os.WriteFile(os.Args[2], b, 0o644) != nil {
			os.Exit(1)
		}
	}
}
`
	if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the tool: %v\n%s", err, out)
	}
}

func (j *job) write(name, text string) {
	j.t.Helper()
	if err := errors.Join(os.MkdirAll(j.src, 0o755), os.WriteFile(filepath.Join(j.src, name), []byte(text), 0o644)); err != nil {
		j.t.Fatal(err)
	}
}

func (j *job) cmd(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = j.env, j.src
	return cmd
}

// run returns stdout, and stderr as part of the error.
func (j *job) run(name string, args ...string) (string, error) {
	cmd := j.cmd(name, args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), e, err.String())
	}
	return out.String(), nil
}

func (j *job) sticky(v any, args ...string) {
	j.t.Helper()
	out, err := j.run("docker-stickybuilder", append(args, "--format", "json")...)
	if err != nil {
		j.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		j.t.Fatalf("%v: %s", err, out)
	}
}

type upped struct{ Mode, Name, Driver, Endpoint, State, Generation, Cache string }

type build struct {
	Ref, Name, Target, Outcome, Error string
	CachedSteps, TotalSteps           int
}

type report struct {
	Decision, Reason, Parent, Generation, Head string
	CleanShutdown                              bool
	Builds                                     []build
}

type status struct {
	State                       string
	Orphan                      bool
	SupervisorPid, BuildkitdPid int
	Builds                      []build
}

func (j *job) upNamed(name string, args ...string) (u upped) {
	j.t.Helper()
	j.sticky(&u, slices.Concat([]string{"up", name, "--disk", "dir:" + j.pool, "--key", "k"}, j.driver, args)...)
	return u
}

func (j *job) down(args ...string) (r report) {
	j.t.Helper()
	j.sticky(&r, append([]string{"down"}, args...)...)
	return r
}

func (j *job) status(name string) (s status) {
	j.t.Helper()
	j.sticky(&s, "status", name)
	return s
}

func (j *job) up() []string {
	out, _ := j.run("docker-stickybuilder", "status", "--quiet")
	return strings.Fields(out)
}

func (j *job) build(args ...string) error {
	_, err := j.run(j.buildx, append([]string{"build", "."}, args...)...)
	return err
}

// count runs a new step and returns how many have had the cache mount by now.
func (j *job) count(step string) string {
	j.t.Helper()
	cmd := j.cmd(j.buildx, "build", "-f", "count.Dockerfile", "--build-arg", "N="+step, ".")
	out, err := cmd.CombinedOutput()
	if err != nil {
		j.t.Fatalf("%v: %s", err, out)
	}
	_, after, _ := strings.Cut(string(out), "count ")
	n, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(n)
}

func (j *job) mustBuild(args ...string) {
	j.t.Helper()
	if err := j.build(args...); err != nil {
		j.t.Fatal(err)
	}
}

// slowBuild starts a build that does not end by itself and returns once its RUN
// step goes on.
func (j *job) slowBuild(args ...string) *exec.Cmd {
	j.t.Helper()
	cmd := j.cmd(j.buildx, append([]string{"build", "-f", "slow.Dockerfile", "."}, args...)...)
	if err := cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	j.eventually("the RUN step goes on", func() bool { return len(j.inCgroup()) > 0 })
	return cmd
}

func (j *job) eventually(what string, ok func() bool) {
	j.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			j.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// inCgroup lists the RUN processes of all builders of this test's state.
func (j *job) inCgroup() (pids []string) {
	toml, _ := filepath.Glob(filepath.Join(j.state, "docker-stickybuilder/*/*/buildkitd.toml"))
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, f := range toml {
		text, _ := os.ReadFile(f)
		_, after, _ := strings.Cut(string(text), "defaultCgroupParent = '")
		group, _, _ := strings.Cut(after, "'")
		for _, p := range files {
			// A zombie has ended; only, whoever inherited it has not noticed.
			stat, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "stat"))
			if b, err := os.ReadFile(p); err == nil && group != "" && strings.Contains(string(b), group+"/") && !bytes.Contains(stat, []byte(") Z ")) {
				pids = append(pids, filepath.Base(filepath.Dir(p)))
			}
		}
	}
	return pids
}

// processes lists those of this test's builders.
func (j *job) processes() (out []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if own := bytes.Contains(b, []byte(j.state)) || bytes.Contains(b, []byte("docker-stickybuilder\x00")) && bytes.Contains(b, []byte(j.pool)); err == nil && own {
			out = append(out, p+": "+string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return out
}

// nothingLeft looks for whatever a builder may leave on the machine.
func (j *job) nothingLeft() {
	j.t.Helper()
	if names := j.up(); len(names) != 0 {
		j.t.Errorf("builders: %v", names)
	}
	if j.engine != nil {
		for _, kind := range []string{"container", "volume"} {
			all := []string{kind, "ls", "--quiet", "--filter", "name=buildx_buildkit_"}
			if kind == "container" {
				all = append(all, "--all")
			}
			for _, one := range strings.Fields(j.engine.run(all...)) {
				if !slices.Contains(j.others, one) {
					j.t.Errorf("%s: %s", kind, one)
				}
			}
		}
	}
	if pids := j.inCgroup(); len(pids) != 0 {
		j.t.Errorf("RUN processes: %v", pids)
	}
	// A supervisor may take apart what was removed.
	j.eventually("no process is left", func() bool { return len(j.processes()) == 0 })
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		j.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, j.state) || strings.Contains(line, j.pool+"/") {
			j.t.Errorf("mount: %s", line)
		}
	}
	for _, dir := range []string{filepath.Join(j.pool, "work"), filepath.Join(j.pool, "trash"), filepath.Join(filepath.Dir(j.src), "docker/buildx/instances")} {
		if names, err := os.ReadDir(dir); err == nil && len(names) != 0 {
			j.t.Errorf("left in %s: %v", dir, names)
		}
	}
	_ = filepath.WalkDir(j.state, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSocket != 0 {
			j.t.Errorf("socket: %s", path)
		}
		return nil
	})
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/docker-stickybuilder/*")
	for _, g := range groups {
		if toml, _ := filepath.Glob(filepath.Join(j.state, "docker-stickybuilder/last", strings.SplitN(filepath.Base(g), "-", 2)[0], "buildkitd.toml")); len(toml) == 1 {
			if b, _ := os.ReadFile(toml[0]); strings.Contains(string(b), filepath.Base(g)) {
				j.t.Errorf("control group: %s", g)
			}
		}
	}
	j.eventually("loop devices are freed", func() bool { return len(j.loops()) == 0 || j.mountedElsewhere() })
	if _, err := os.Stat(filepath.Join(j.pool, "pool.json")); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if out, err := j.run("docker-stickybuilder", "disk", "gc", "--disk", "dir:"+j.pool, "--dry-run", "--keep", "99", "--quiet"); err != nil || out != "" {
		j.t.Errorf("left in the pool: %v, %s", err, out)
	}
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

func (r report) outcomes() string {
	var s []string
	for _, b := range r.Builds {
		s = append(s, b.Outcome)
	}
	return strings.Join(s, " ")
}

// loops lists the loop devices that hold the pool's file.
func (j *job) loops() []string {
	var out []string
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		if b, _ := os.ReadFile(f); strings.HasPrefix(string(b), j.pool+"/") {
			out = append(out, f+" "+strings.TrimSpace(string(b)))
		}
	}
	return out
}

// mountedElsewhere reports whether a mount namespace that somebody has made while
// a builder was up still has a copy of its pool's mount.
func (j *job) mountedElsewhere() bool {
	files, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, f := range files {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte(j.pool+"/mnt ")) {
			return true
		}
	}
	return false
}

// plain makes the pool one of plain files, which can be looked into at any time.
func (j *job) plain() {
	j.t.Helper()
	for _, d := range []string{"lineages", "work", "trash"} {
		if err := os.MkdirAll(filepath.Join(j.pool, d), 0o700); err != nil {
			j.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(j.pool, "pool.json"), []byte(`{"format":1}`), 0o600); err != nil {
		j.t.Fatal(err)
	}
}

// mounted puts the pool on a filesystem of its own.
func (j *job) mounted(mkfs string, size int64) {
	j.t.Helper()
	image := filepath.Join(j.t.TempDir(), "image")
	mnt := j.t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		j.t.Fatal(err)
	}
	for _, args := range [][]string{{mkfs, image}, {"mount", "-o", "loop", image, mnt}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			if os.Getenv("DOCKERFACTORY_E2E") == "1" {
				j.t.Fatalf("%v: %v\n%s", args, err, out)
			}
			j.t.Skipf("%v: %v\n%s", args, err, out)
		}
	}
	j.t.Cleanup(func() {
		// A mount namespace made meanwhile may have a copy of the mount inside for a while.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			out, err := exec.Command("umount", mnt).CombinedOutput()
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				j.t.Errorf("something still uses the pool: %v: %s", err, out)
				break
			}
		}
	})
	j.pool = filepath.Join(mnt, "pool")
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// onExt4 puts the pool on a filesystem that can neither take snapshots nor share
// blocks.
func (j *job) onExt4(size int64) {
	j.t.Helper()
	j.mounted("mkfs.ext4", size)
}

// allocated is how many bytes the pool's file takes up.
func (j *job) allocated() int64 {
	j.t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(j.pool, "pool.img"), &st); err != nil {
		j.t.Fatal(err)
	}
	return st.Blocks * 512
}

type cloned struct {
	upped
	Clone struct {
		Method       string
		Milliseconds int
	}
}

func (j *job) upCloned(name string, args ...string) (u cloned) {
	j.t.Helper()
	j.sticky(&u, append([]string{"up", name, "--disk", "dir:" + j.pool, "--key", "k"}, args...)...)
	return u
}

func TestPoolInAFile(t *testing.T) {
	j := newJob(t)
	j.onExt4(4 << 30)
	for i := range 20 {
		u := j.upCloned("sticky")
		if want := []string{"empty", "snapshot"}[min(i, 1)]; u.Clone.Method != want {
			t.Fatalf("round %d: %+v", i, u)
		}
		j.mustBuild()
		r := j.down()
		if r.Decision != "commit" || (i > 0 && r.Builds[0].CachedSteps != 3) {
			t.Fatalf("round %d: %+v", i, r)
		}
		j.nothingLeft()
	}
}

func TestTwoBuildersShareAPoolInAFile(t *testing.T) {
	j := newJob(t)
	j.onExt4(4 << 30)
	// The pool does not exist yet: both want to make it.
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i, name := range []string{"a", "b"} {
		both.Go(func() {
			_, errs[i] = j.run("docker-stickybuilder", "up", name, "--disk", "dir:"+j.pool, "--key", name)
		})
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if loops := j.loops(); len(loops) != 1 {
		t.Errorf("loop devices: %v", loops)
	}
	j.mustBuild("--builder", "a")
	if r := j.down("a"); r.Decision != "commit" {
		t.Errorf("%+v", r)
	}
	j.mustBuild("--builder", "b")
	if r := j.down("b"); r.Decision != "commit" {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

// Whoever is killed, the next command finds what is mounted and cleans up.
func TestPoolInAFileOutlivesKills(t *testing.T) {
	j := newJob(t)
	j.onExt4(4 << 30)
	j.upNamed("sticky")
	j.mustBuild()
	head := j.down().Generation
	for i, then := range []string{"down", "recover", "up"} {
		j.upNamed("sticky")
		client := j.slowBuild("--build-arg", "SECONDS="+strconv.Itoa(i))
		s := j.status("sticky")
		kill(t, s.SupervisorPid, syscall.SIGKILL)
		_ = syscall.Kill(s.BuildkitdPid, syscall.SIGKILL) // it may have died of that already
		_ = client.Process.Kill()
		_ = client.Wait()
		j.eventually("the supervisor is dead", func() bool { return j.status("sticky").State == "dead" })
		switch then {
		case "up":
			if u := j.upNamed("sticky"); u.Generation != head {
				t.Errorf("%+v", u)
			}
			j.mustBuild()
			if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
				t.Errorf("%+v", r)
			}
		default:
			if _, err := j.run("docker-stickybuilder", then); err != nil {
				t.Error(err)
			}
		}
		j.nothingLeft()
	}
}

// The filesystem inside has room, the one around its file has not.
func TestFullAroundAPoolInAFile(t *testing.T) {
	j := newJob(t)
	j.onExt4(1300 << 20)
	j.upNamed("sticky")
	j.mustBuild()
	head := j.down().Generation
	j.nothingLeft()

	j.upNamed("sticky")
	ballast := filepath.Join(filepath.Dir(j.pool), "ballast")
	fill(t, ballast, 100<<20)
	_ = j.build("-f", "fill.Dockerfile") // whether it notices depends on when the kernel writes
	r := j.down("--commit", "always")
	if r.Decision != "discard" || r.Head != head {
		t.Errorf("%+v", r)
	}
	if _, err := j.run("docker-stickybuilder", "disk", "gc", "--disk", "dir:"+j.pool); err != nil {
		t.Error(err)
	}
	j.nothingLeft()

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if u := j.upNamed("sticky"); u.Generation != head {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

// fill takes all but about leave bytes of a filesystem.
func fill(t *testing.T, path string, leave int64) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const piece = 4 << 20
	for at := int64(0); at < int64(st.Bfree)*st.Bsize-leave; at += piece {
		if err := syscall.Fallocate(int(f.Fd()), 0, at, piece); err != nil {
			break // the filesystem needs some itself
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func TestFullInsideAPoolInAFile(t *testing.T) {
	j := newJob(t)
	j.onExt4(3 << 30)
	j.upNamed("sticky")
	j.mustBuild()
	head := j.down().Generation
	before := j.allocated()
	j.upNamed("other", "--read-only", "--no-use") // keeps the pool mounted
	j.upNamed("sticky")
	fill(t, filepath.Join(j.pool, "mnt", "ballast"), 20<<20)
	if err := j.build("-f", "fill.Dockerfile"); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	if r := j.down("--commit", "always"); r.Decision != "discard" || r.Head != head {
		t.Errorf("%+v", r)
	}
	_, err := j.run("docker-stickybuilder", "up", "--disk", "dir:"+j.pool, "--key", "k")
	if err == nil || !strings.Contains(err.Error(), "not enough space") || !strings.Contains(err.Error(), "disk gc --keep 1") {
		t.Errorf("on a full disk: %v", err)
	}
	if err := os.Remove(filepath.Join(j.pool, "mnt", "ballast")); err != nil {
		t.Fatal(err)
	}
	j.down("other")
	j.nothingLeft()
	j.upNamed("sticky")
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	if _, err := j.run("docker-stickybuilder", "disk", "gc", "--disk", "dir:"+j.pool, "--keep", "1"); err != nil {
		t.Error(err)
	}
	if after := j.allocated(); after > 2*before {
		t.Errorf("the file takes up %d bytes, before it was full %d", after, before)
	}
	j.nothingLeft()
}

// Commands that are killed while they have the pool mounted, about a disk or before there
// is a builder: recover and down find what they have left, whatever --disk was.
func TestLeftMountedByKilledCommands(t *testing.T) {
	j := newJob(t)
	j.onExt4(4 << 30)
	if err := os.Mkdir(j.pool, 0o700); err != nil {
		t.Fatal(err)
	}
	left := 0
	for i := range counted(t, 8, "STICKY_KILLS") {
		args := []string{"up", "--disk", "dir:" + j.pool, "--key", "k"}
		if i%2 == 1 {
			args = []string{"disk", "ls", "--disk", "dir:" + j.pool}
		}
		cmd := j.cmd("docker-stickybuilder", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		j.eventually("the pool is mounted", func() bool {
			return j.poolMounted() || cmd.Process.Signal(syscall.Signal(0)) != nil || ended(cmd.Process.Pid)
		})
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if j.poolMounted() {
			left++
		}
		j.eventually("a supervisor that was started ends", func() bool { return len(j.processes()) == 0 })
		if out, err := j.run("docker-stickybuilder", []string{"recover", "down"}[i/2%2]); err != nil {
			t.Errorf("round %d: %v: %s", i, err, out)
		}
		if j.poolMounted() {
			t.Fatalf("round %d: still mounted", i)
		}
		j.nothingLeft()
	}
	if left == 0 {
		t.Error("nothing was ever left mounted: recover was not tested")
	}
	t.Logf("%d times the pool was left mounted", left)
}

func (j *job) poolMounted() bool {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	return strings.Contains(string(b), " "+filepath.Join(j.pool, "mnt")+" ")
}

// ended reports whether a process that nobody has waited for has ended.
func ended(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

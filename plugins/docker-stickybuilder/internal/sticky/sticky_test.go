package sticky

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// newHost makes a host whose PATH holds a buildkitd and a runc that are never run.
func newHost(t *testing.T) (Host, *builderstore.Store) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"buildkitd", "runc"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho level=fatal no such thing\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	store, err := builderstore.Open(filepath.Join(t.TempDir(), "buildx"))
	if err != nil {
		t.Fatal(err)
	}
	return Host{
		State: instance.State(t.TempDir()), Now: time.Now, Entropy: rand.Reader, Path: bin, IsRoot: true,
		Supervisor: func(string) []string { return []string{"/bin/false"} },
	}, store
}

func upOptions(t *testing.T, store *builderstore.Store) UpOptions {
	return UpOptions{Name: "sticky", Platform: "linux/amd64", DefaultDisk: "dir:" + filepath.Join(t.TempDir(), "pool"), DefaultKey: "k", Store: store}
}

func files(t *testing.T, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, d := range dirs {
		err := filepath.WalkDir(d, func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				out = append(out, path)
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return out
}

func TestUpRefusesBeforeAnythingChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Host, *UpOptions)
		says   string
		hint   string
	}{
		"not root":     {func(h *Host, _ *UpOptions) { h.IsRoot = false }, "has to run as root", "sudo"},
		"no buildkitd": {func(h *Host, _ *UpOptions) { _ = os.Remove(filepath.Join(h.Path, "buildkitd")) }, "looking for docker buildx", "doctor"},
		"no process": {func(h *Host, o *UpOptions) {
			o.Driver = ProcessDriver
			_ = os.Remove(filepath.Join(h.Path, "buildkitd"))
		}, "looking for buildkitd", "--buildkitd"},
		"no engine": {func(_ *Host, o *UpOptions) {
			o.Driver, o.Engine, o.Buildx = ContainerDriver, "unix:///none.sock", []string{"buildx"}
		}, "does not answer", "DOCKER_HOST"},
		"a remote engine": {func(_ *Host, o *UpOptions) {
			o.Driver, o.Engine, o.Buildx = ContainerDriver, "tcp://127.0.0.1:1", []string{"buildx"}
		}, "it is not on this machine", "unix socket"},
		"no certificate": {func(_ *Host, o *UpOptions) {
			o.ConfigText = []byte("[registry.'r.example']\nca=['none.pem']\n")
		}, "reading a certificate for registry r.example", "relative paths"},
		"no runtime":       {func(_ *Host, o *UpOptions) { o.ConfigText = []byte("[worker.oci]\nbinary='no-such-runc'\n") }, "looking for no-such-runc", "install"},
		"bad config":       {func(_ *Host, o *UpOptions) { o.ConfigText, o.Config = []byte("x"), "user.toml" }, "user.toml:1", ""},
		"unknown disk":     {func(_ *Host, o *UpOptions) { o.Disk = "dri:/x" }, "unknown scheme", "did you mean dir:/x"},
		"a pool in a file": {func(_ *Host, o *UpOptions) { o.Disk = "dir:/etc/passwd" }, "not a directory", "name a directory"},
		"a docker context": {func(_ *Host, o *UpOptions) { o.Reserved = []string{"sticky"} }, "the name is taken", "choose another"},
	} {
		t.Run(name, func(t *testing.T) {
			h, store := newHost(t)
			o := upOptions(t, store)
			c.change(&h, &o)
			_, err := h.Up(t.Context(), o, progress.Discard)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("%v (hint %q)", err, fault.HintOf(err))
			}
			left := slices.DeleteFunc(files(t, string(h.State), strings.TrimPrefix(o.DefaultDisk, "dir:"), store.Dir()), func(f string) bool {
				return strings.HasSuffix(f, ".lock")
			})
			if len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A supervisor that cannot even start leaves nothing but its log.
func TestUpWithoutSupervisor(t *testing.T) {
	h, store := newHost(t)
	o := upOptions(t, store)
	_, err := h.Up(t.Context(), o, progress.Discard)
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(fault.HintOf(err), instance.SupervisorLog) {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	if names, err := h.State.Names(); err != nil || len(names) != 0 {
		t.Errorf("instances %v, %v", names, err)
	}
	pool, err := h.OpenShelf(o.DefaultDisk)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if copies, err := pool.Copies(t.Context()); err != nil || len(copies) != 0 {
		t.Errorf("copies %v, %v", copies, err)
	}
	if garbage, err := pool.Garbage(t.Context(), 1); err != nil || len(garbage) != 0 {
		t.Errorf("garbage %v, %v", garbage, err)
	}
	if err := store.Check("sticky", "another", nil); err != nil {
		t.Errorf("the store: %v", err)
	}
}

func TestDownWithoutBuilder(t *testing.T) {
	h, _ := newHost(t)
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto}, progress.Discard)
	if err != nil || r.Decision != Idle || r.Builds == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// dead makes a builder whose supervisor and daemon are gone, with a working copy
// and a journal.
func dead(t *testing.T, journal string) (Host, *instance.Instance, Disk) {
	t.Helper()
	h, store := newHost(t)
	pool := "dir:" + filepath.Join(t.TempDir(), "pool")
	d, err := h.openDisk(pool, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	id, err := h.newID()
	if err != nil {
		t.Fatal(err)
	}
	w, lock, err := d.Clone(t.Context(), disk.Lineage{Key: "k", Platform: "p"}, disk.Lineage{Key: "k", Platform: "p"}, id, progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	dir := h.State.Dir("sticky")
	use := "ep"
	previous, err := store.Register(builderstore.Entry{Name: "sticky", Endpoint: dir.Endpoint()}, &use)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance.Instance{
		Format: disk.Format, Name: "sticky", Disk: pool, Working: *w, Created: time.Now(), Store: store.Dir(), Previous: previous,
		Environment: &instance.EnvFile{Path: filepath.Join(t.TempDir(), "env"), Previous: "mine"},
	}
	if err := os.WriteFile(i.Environment.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gone, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	gone.Start--
	if err := errors.Join(os.MkdirAll(string(dir), 0o700), dir.Save(i), dir.MakeSocketDir(),
		dir.SaveRun(instance.Run{Phase: instance.PhaseReady, Supervisor: gone, Buildkitd: gone, BuildkitVersion: "v9"}),
		os.WriteFile(dir.File(instance.Journal), []byte(journal), 0o600)); err != nil {
		t.Fatal(err)
	}
	return h, i, d
}

const (
	jsonOK   = `{"type":"complete","build":{"ref":"a","outcome":"ok","cachedSteps":2,"totalSteps":4}}` + "\n"
	jsonLost = `{"type":"started","build":{"ref":"b","outcome":"running"}}` + "\n"
)

// Even "always" keeps nothing of a machine that died: nobody has synced it.
func TestDownAfterTheMachineDied(t *testing.T) {
	h, i, d := dead(t, jsonOK+jsonLost+`{"type":"comp`)
	run, err := h.State.Dir("sticky").LoadRun()
	if err != nil {
		t.Fatal(err)
	}
	run.Supervisor.Boot, run.Buildkitd.Boot = "another", "another"
	if err := h.State.Dir("sticky").SaveRun(run); err != nil {
		t.Fatal(err)
	}
	if s, err := h.Status("sticky"); err != nil || s.State != StateDead || s.Summary.Lost != 1 {
		t.Errorf("status %+v, %v", s, err)
	}
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Always}, progress.Discard)
	if err != nil || r.Decision != Discarded || !strings.Contains(r.Reason, "started anew") || r.Summary.OK != 1 || r.Summary.Lost != 1 || r.CleanShutdown || r.BuildkitVersion != "v9" {
		t.Errorf("%+v, %v", r, err)
	}
	if head, err := d.Head(t.Context(), i.Working.Lineage); head != nil || err != nil {
		t.Errorf("head %v, %v", head, err)
	}
	checkGone(t, h, i)
	if last, err := h.State.Last("sticky").Load(); err != nil || last == nil {
		t.Errorf("the files of the last run: %v", err)
	}
}

func checkGone(t *testing.T, h Host, i *instance.Instance) {
	t.Helper()
	if _, err := os.Lstat(i.Working.Root); !os.IsNotExist(err) {
		t.Errorf("the copy is still there: %v", err)
	}
	if names, err := h.State.Names(); err != nil || len(names) != 0 {
		t.Errorf("instances %v, %v", names, err)
	}
	if names, err := os.ReadDir(filepath.Join(i.Store, "instances")); err != nil || len(names) != 0 {
		t.Errorf("builders %v, %v", names, err)
	}
	if env, err := os.ReadFile(i.Environment.Path); err != nil || string(env) != "BUILDX_BUILDER=mine\n" {
		t.Errorf("environment %q, %v", env, err)
	}
}

// Even "always" keeps nothing that is not sound: here there are no databases.
func TestDownAlwaysChecksTheDisk(t *testing.T) {
	h, i, d := dead(t, jsonOK)
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Always}, progress.Discard)
	if err != nil || r.Decision != Discarded || !strings.Contains(r.Reason, "not sound") {
		t.Errorf("%+v, %v", r, err)
	}
	if strings.Count(r.Reason, "it is missing") < 2 || strings.Contains(r.Reason, "\n") {
		t.Errorf("several mistakes, and not in one line: %q", r.Reason)
	}
	if head, err := d.Head(t.Context(), i.Working.Lineage); head != nil || err != nil {
		t.Errorf("head %v, %v", head, err)
	}
}

// The supervisor died between moving the head and writing its report.
func TestDownAfterTheCommit(t *testing.T) {
	h, i, d := dead(t, jsonOK)
	if _, err := d.Commit(t.Context(), &i.Working, disk.Generation{Builds: disk.Tally{OK: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto}, progress.Discard)
	if err != nil || r.Decision != Committed || r.Generation != i.Working.ID || len(r.Builds) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	checkGone(t, h, i)
}

// The supervisor died in the middle of a checkpoint, and of removing an old generation.
func TestDownSweepsWhatTheSupervisorLeft(t *testing.T) {
	h, i, d := dead(t, jsonOK)
	id, err := h.newID()
	if err != nil {
		t.Fatal(err)
	}
	twin, lock, err := d.Snapshot(t.Context(), &i.Working, id, disk.Pause{Most: time.Minute, Begin: func(context.Context) (func(), error) { return func() {}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	half := filepath.Join(filepath.Dir(filepath.Dir(i.Working.Root)), "..", "trash", "20260102T030405Z-000000000001", "root")
	if err := errors.Join(h.State.Dir("sticky").SaveCommit(instance.Commit{ID: id}), os.MkdirAll(half, 0o700)); err != nil {
		t.Fatal(err)
	}
	if r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto}, progress.Discard); err != nil || r.Decision != Discarded {
		t.Errorf("%+v, %v", r, err)
	}
	checkGone(t, h, i)
	if _, err := os.Lstat(twin.Root); !os.IsNotExist(err) {
		t.Errorf("the checkpoint's copy is still there: %v", err)
	}
	if garbage, err := d.(Shelf).Garbage(t.Context(), 99); err != nil || len(garbage) != 0 {
		t.Errorf("left %+v, %v", garbage, err)
	}
}

// Another job's up has swept the copy already.
func TestDownAfterASweep(t *testing.T) {
	h, i, d := dead(t, jsonOK)
	if n, err := d.Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Always}, progress.Discard)
	if err != nil || r.Decision != Discarded || !strings.Contains(r.Reason, "gone") {
		t.Errorf("%+v, %v", r, err)
	}
	checkGone(t, h, i)
}

// A report that the supervisor left counts, with its error.
func TestDownTakesTheReport(t *testing.T) {
	h, i, _ := dead(t, "")
	if err := os.WriteFile(h.State.Dir("sticky").File(instance.Report), []byte(`{"name":"sticky","decision":"discard","reason":"r","error":"disk on fire","hint":"run"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto}, progress.Discard)
	if err == nil || !strings.Contains(err.Error(), "disk on fire") || fault.HintOf(err) != "run" || r == nil || r.Reason != "r" {
		t.Errorf("%+v, %v", r, err)
	}
	if names, err := h.State.Names(); err != nil || len(names) != 0 {
		t.Errorf("instances %v, %v", names, err)
	}
	_ = i
}

// up finds what a dead machine left, cleans up, and goes on.
func TestUpCleansUp(t *testing.T) {
	h, i, _ := dead(t, jsonOK)
	store, err := builderstore.Open(i.Store)
	if err != nil {
		t.Fatal(err)
	}
	o := upOptions(t, store)
	if _, err = h.Up(t.Context(), o, progress.Discard); err == nil || !strings.Contains(err.Error(), "supervisor") {
		t.Errorf("%v", err) // the new one's supervisor is /bin/false
	}
	checkGone(t, h, i)
}

func TestAnnounce(t *testing.T) {
	for name, c := range map[string]struct {
		in   error
		hint string
	}{
		"ready": {nil, ""}, "error": {errors.New("x: y"), ""}, "hinted": {fault.Hint(errors.New("x"), "run %s", "100%"), "run 100%"},
	} {
		var b bytes.Buffer
		if err := announce(&b, c.in); err != nil {
			t.Fatal(err)
		}
		got := hear(&b)
		if (got == nil) != (c.in == nil) || fault.HintOf(got) != c.hint || (got != nil && got.Error() != c.in.Error()) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := hear(strings.NewReader("")); !errors.Is(err, errSilent) {
		t.Error(err)
	}
}

func TestDetachedEnviron(t *testing.T) {
	got := detachedEnviron([]string{"PATH=/bin", "RUNNER_TRACKING_ID=github_1", "HTTP_PROXY=p", "DOCKER_CLI_PLUGIN_SOCKET=@x", "NOTIFY_SOCKET=/n", "RUNNER_TRACKING_IDS=kept"})
	if want := []string{"PATH=/bin", "HTTP_PROXY=p", "RUNNER_TRACKING_IDS=kept"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestLastWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"time=1 level=info msg=hello\nbuildkitd: could not lock\n": "could not lock",
		"level=error msg=bad\nlevel=info msg=bye\n":                "level=error msg=bad",
		"just\nthis": "this",
		strings.Repeat("x\n", maxWords) + "level=fatal msg=last\nz\n": "level=fatal msg=last",
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastWords(path); got != want {
			t.Errorf("%.40q: %q", text, got)
		}
	}
	if got := lastWords(filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("%q", got)
	}
}

package testbed

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func openBed(t *testing.T) (*Bed, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	b := Open(dirsIn(t, ""), &log, os.Getenv)
	b.State.Processes = map[string]Process{}
	return b, &log
}

func exists(path string) func(context.Context) error {
	return func(context.Context) error {
		_, err := os.Stat(path)
		return err
	}
}

func TestStartAndStop(t *testing.T) {
	b, log := openBed(t)
	mark := filepath.Join(t.TempDir(), "mark")
	t.Setenv("RUNNER_TRACKING_ID", "github_1")
	d := daemon{
		name: "x", what: "a daemon", limit: 10 * time.Second, ready: exists(mark), env: []string{"WORD=hello"},
		argv: []string{"sh", "-c", `echo "$WORD $RUNNER_TRACKING_ID"; touch ` + mark + `; exec sleep 1000`},
	}
	if err := b.start(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	defer b.stop("x", "a daemon", time.Second)
	if !b.alive(t.Context(), "x", d.ready) {
		t.Error("it is not alive")
	}
	s, err := readState(b.stateFile())
	if err != nil || s.Processes["x"] != b.State.Processes["x"] {
		t.Errorf("it is not on record: %+v, %v", s, err)
	}
	if text, err := os.ReadFile(b.log("x")); err != nil || string(text) != "hello \n" {
		t.Errorf("its log is %q, %v", text, err)
	}
	if err := b.stop("x", "a daemon", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if s, err = readState(b.stateFile()); err != nil || len(s.Processes) > 0 {
		t.Errorf("it is still on record: %+v, %v", s, err)
	}
	if !strings.Contains(log.String(), "testbed: starting a daemon: done in") {
		t.Errorf("the user reads\n%s", log)
	}
}

func TestStartOfOneThatDies(t *testing.T) {
	b, _ := openBed(t)
	err := b.start(t.Context(), daemon{
		name: "x", what: "a daemon", limit: time.Minute, ready: exists("/nonexistent"),
		argv: []string{"sh", "-c", "sleep 0.3; echo no such option; exit 2"},
	})
	if err == nil || !strings.Contains(err.Error(), "starting a daemon: it ended at once") || !strings.Contains(err.Error(), "no such option") {
		t.Errorf("got %v", err)
	}
	if len(b.State.Processes) > 0 {
		t.Errorf("on record: %v", b.State.Processes)
	}
}

func TestStartOfOneThatIsNeverReady(t *testing.T) {
	for _, interrupt := range []bool{false, true} {
		b, _ := openBed(t)
		why := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		mark := filepath.Join(t.TempDir(), "pid")
		d := daemon{
			name: "x", what: "a daemon", limit: 500 * time.Millisecond,
			argv:  []string{"sh", "-c", "echo $$ > " + mark + "; exec sleep 1000"},
			ready: func(context.Context) error { return errors.New("nobody listens") },
		}
		if interrupt {
			d.limit = time.Minute
			time.AfterFunc(300*time.Millisecond, func() { cancel(why) })
		}
		err := b.start(ctx, d)
		cancel(nil)
		if interrupt && !errors.Is(err, why) {
			t.Errorf("interrupted: got %v", err)
		}
		if !interrupt && (err == nil || !strings.Contains(err.Error(), "not ready after 0 s: nobody listens")) {
			t.Errorf("got %v", err)
		}
		pid, err := os.ReadFile(mark)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)) + "/exe"); err == nil {
			t.Error("it still runs")
		}
		if s, err := readState(b.stateFile()); err != nil || len(s.Processes) > 0 {
			t.Errorf("on record: %+v, %v", s, err)
		}
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, strings.Repeat("early\n", 10_000)+"the last word\n")
	got := tail(path)
	if strings.Count(got, "early") != logTail-1 || !strings.Contains(got, "the last word") {
		t.Errorf("got %s", got)
	}
}

func TestFreeAddr(t *testing.T) {
	first, err := freeAddr(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := freeAddr(t.Context(), first); err != nil || again != first {
		t.Errorf("a free port was not kept: %s, %v", again, err)
	}
	l, err := net.Listen("tcp", first)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if other, err := freeAddr(t.Context(), first); err != nil || other == first || !strings.HasPrefix(other, "127.0.0.1:") {
		t.Errorf("instead of a taken port: %s, %v", other, err)
	}
}

func TestDownWithNothingUp(t *testing.T) {
	b, log := openBed(t)
	for range 2 {
		if err := b.Down(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("it says %s", log)
	}
	if _, err := os.Stat(filepath.Join(b.Cache, "tools")); err == nil {
		t.Error("it made something")
	}
}

func TestDaemonsAreAllStopped(t *testing.T) {
	for _, name := range []string{"registry", "containerd", "engine", "old-forward", "old-engine"} {
		i := slices.IndexFunc(daemons, func(d struct {
			name, what string
			grace      time.Duration
		},
		) bool {
			return d.name == name
		})
		if i < 0 {
			t.Errorf("Down does not know %s", name)
		}
	}
}

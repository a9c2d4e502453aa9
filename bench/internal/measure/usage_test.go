package measure

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTypical(t *testing.T) {
	runs := []Usage{
		{Wall: 9 * time.Second, CPU: 1 * time.Second, RSS: 5, Disk: 1},
		{Wall: 1 * time.Second, CPU: 3 * time.Second, RSS: 7, Disk: 0},
		{Wall: 2 * time.Second, CPU: 2 * time.Second, RSS: 6, Disk: 2},
	}
	want := Usage{Wall: 2 * time.Second, CPU: 2 * time.Second, RSS: 7, Disk: 2}
	if got := Typical(runs); got != want {
		t.Errorf("Typical = %+v, want %+v", got, want)
	}
	if got := Typical(runs[:2]); got.Wall != time.Second || got.CPU != time.Second {
		t.Errorf("Typical of two = %+v, want the lower times", got)
	}
	if got := Typical(nil); got != (Usage{}) {
		t.Errorf("Typical of none = %+v", got)
	}
}

func TestThenAndBeside(t *testing.T) {
	a := Usage{Wall: 1, CPU: 2, RSS: 30, Disk: 4}
	b := Usage{Wall: 10, CPU: 20, RSS: 3, Disk: 40}
	if got, want := a.Then(b), (Usage{Wall: 11, CPU: 22, RSS: 30, Disk: 40}); got != want {
		t.Errorf("Then = %+v, want %+v", got, want)
	}
	if got, want := a.Beside(b), (Usage{Wall: 1, CPU: 22, RSS: 30, Disk: 44}); got != want {
		t.Errorf("Beside = %+v, want %+v", got, want)
	}
}

// TestRunSeesWhatAProgramUses has dd hold 64 MiB, and write 8 MiB that it removes again.
func TestRunSeesWhatAProgramUses(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	u, err := Run(context.Background(), Command{
		Argv:    []string{"sh", "-c", "dd if=/dev/zero of=big bs=64M count=1 2>/dev/null && dd if=big of=small bs=1M count=8 2>/dev/null && sleep 0.3 && dd if=/dev/zero of=/dev/stdout bs=64M count=1 2>/dev/null | (sleep 0.3; cat >/dev/null) && rm big && echo done"},
		Dir:     dir,
		Scratch: dir,
		Stdout:  &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != "done\n" {
		t.Errorf("output = %q", out.String())
	}
	if u.RSS < 64<<20 {
		t.Errorf("RSS = %d, want at least the buffer of dd", u.RSS)
	}
	if u.Disk < 72<<20 {
		t.Errorf("disk = %d, want both files", u.Disk)
	}
	if u.Wall < 300*time.Millisecond || u.CPU <= 0 {
		t.Errorf("wall %s, CPU %s", u.Wall, u.CPU)
	}
}

func TestRunTellsWhatAProgramSaid(t *testing.T) {
	_, err := Run(context.Background(), Command{Argv: []string{"sh", "-c", "echo no such thing >&2; exit 4"}})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("no such thing")) {
		t.Errorf("error = %v, want the program's own words", err)
	}
}

func TestDiskCountsRemovedFilesThatAreOpen(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	if got := DiskUsage(dir); got != 0 {
		t.Errorf("DiskUsage = %d, want nothing under a name", got)
	}
	if got := removedFiles(os.Getpid(), dir); got < 1<<20 {
		t.Errorf("removed files = %d, want 1 MiB", got)
	}
}

func TestHighWaterMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(path, []byte("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t   12 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := highWaterMark(path); got != 12<<10 {
		t.Errorf("highWaterMark = %d, want 12 KiB", got)
	}
	if got := highWaterMark(path + "x"); got != 0 {
		t.Errorf("highWaterMark of nothing = %d", got)
	}
}

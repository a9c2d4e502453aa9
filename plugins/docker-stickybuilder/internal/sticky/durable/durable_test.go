package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	for _, text := range []string{"first", "second, longer", ""} {
		if err := WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("read %q, %v; want %q", got, err, text)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "busy")
	if err := os.MkdirAll(filepath.Join(target, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, []byte("x"), 0o600); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("a temporary file was left: %v", names)
	}
}

func TestJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v.json")
	if err := WriteJSON(path, map[string]int{"a": 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	var got map[string]int
	if err := ReadJSON(path, &got); err != nil || got["a"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if err := ReadJSON(path+"x", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"a":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ReadJSON(path, &got); err == nil {
		t.Error("cut-off JSON was taken")
	}
	if err := os.Truncate(path, maxJSON+1); err != nil {
		t.Fatal(err)
	}
	if err := ReadJSON(path, &got); err == nil {
		t.Error("an endless file was taken")
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	take := func(mode LockMode, wait time.Duration) (*Lock, error) { return TakeLock(t.Context(), path, mode, wait) }
	a, err := take(Shared, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := take(Shared, 0)
	if err != nil {
		t.Fatalf("a second shared lock: %v", err)
	}
	if _, err := take(Exclusive, 0); !errors.Is(err, ErrLocked) {
		t.Fatalf("exclusive beside shared: %v", err)
	}
	a.Close()
	time.AfterFunc(50*time.Millisecond, func() { b.Close() })
	c, err := take(Exclusive, 10*time.Second)
	if err != nil {
		t.Fatalf("waiting for the lock: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := TakeLock(ctx, path, Shared, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := errors.Join(c.Close(), c.Close(), (*Lock)(nil).Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// Who waits for a lock gets that of the file which is at the path in the end, and nobody
// else has that.
func TestLockOfAFileThatWasReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	first, err := TakeLock(t.Context(), path, Exclusive, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *Lock)
	go func() {
		l, err := TakeLock(t.Context(), path, Exclusive, 10*time.Second)
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	time.Sleep(100 * time.Millisecond) // the other one waits
	if err := os.Rename(path, filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := <-got
	defer second.Close()
	if l, err := TakeLock(t.Context(), path, Exclusive, 0); !errors.Is(err, ErrLocked) {
		t.Errorf("two have it: %v", err)
		l.Close()
	}
}

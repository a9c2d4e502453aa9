package testbed

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", ".lock")
	var said bytes.Buffer
	log := NewLog(&said)
	inside, most := 0, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			unlock, err := lock(t.Context(), path, log)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			unlock()
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d held the lock at once", most)
	}
	if !strings.Contains(said.String(), "waiting for another testbed") {
		t.Error("nobody was told of the wait")
	}
}

func TestLockGivesUpWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	unlock, err := lock(t.Context(), path, NewLog(&bytes.Buffer{}))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path, NewLog(&bytes.Buffer{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRelink(t *testing.T) {
	name := filepath.Join(t.TempDir(), "link")
	for _, target := range []string{"one", "two", "two"} {
		if err := relink(target, name); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(name); err != nil || got != target {
			t.Errorf("the link points to %s, %v", got, err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(name)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestStateIsReadBack(t *testing.T) {
	b, _ := openBed(t)
	b.State = State{
		Registry: "127.0.0.1:5", Mirror: true, Processes: map[string]Process{"registry": {1, 2, "b"}},
		Bridge: &Bridge{Name: "n", Rules: bridgeRules("n", "10.0.0.0/24")},
	}
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	s, err := readState(b.stateFile())
	if err != nil || s.Registry != b.State.Registry || s.Processes["registry"] != b.State.Processes["registry"] || len(s.Bridge.Rules) != 3 {
		t.Errorf("read %+v, %v", s, err)
	}
	write(t, b.stateFile(), "{")
	if _, err := readState(b.stateFile()); err == nil {
		t.Error("half a state was taken")
	}
}

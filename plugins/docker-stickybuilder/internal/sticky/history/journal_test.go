package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func started(ref string) event {
	return event{Time: began, Type: eventStarted, Build: &Build{Ref: ref, Outcome: Running, Started: began}}
}

func complete(ref string, o Outcome) event {
	return event{Time: began, Type: eventComplete, Build: &Build{Ref: ref, Outcome: o, Started: began, TotalSteps: 5}}
}

func journal(t *testing.T, events ...event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, e := range events {
		if err := j.append(e); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func read(t *testing.T, path string) Story {
	t.Helper()
	s, err := ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJournal(t *testing.T) {
	path := journal(t, event{Type: eventBaseline, Refs: []string{"old"}}, started("a"), started("b"), complete("a", OK), complete("old", Failed))
	s := read(t, path)
	if diff := cmp.Diff([]Build{*complete("a", OK).Build, *started("b").Build}, s.Builds); diff != "" || s.Exit != "" || s.Damaged != 0 {
		t.Errorf("%+v\n%s", s, diff)
	}
	s.End()
	if s.Builds[0].Outcome != OK || s.Builds[1].Outcome != Lost || s.Builds[1].Error == "" {
		t.Errorf("ended: %+v", s.Builds)
	}
	if got := s.Tally(); got.OK != 1 || got.Lost != 1 || got.Total() != 2 || got.TotalSteps != 5 {
		t.Errorf("tally %+v", got)
	}
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Exit(began, "signal: killed"); err != nil {
		t.Fatal(err)
	}
	if s := read(t, path); s.Exit != "signal: killed" || len(s.Builds) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestMissingJournal(t *testing.T) {
	if s := read(t, filepath.Join(t.TempDir(), "none")); len(s.Builds) != 0 || s.Damaged != 0 {
		t.Errorf("%+v", s)
	}
}

// A crash may cut the last line short at any byte: what was synced before is
// still told, and what is appended later too.
func TestTornJournal(t *testing.T) {
	whole, err := os.ReadFile(journal(t, started("a"), complete("a", OK), started("b")))
	if err != nil {
		t.Fatal(err)
	}
	lastLine := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for n := lastLine; n < len(whole); n++ {
		path := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if s := read(t, path); s.Damaged != 0 || len(s.Builds) != 1 || s.Builds[0].Outcome != OK {
			t.Fatalf("cut at %d: %+v", n, s)
		}
		j, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.append(started("c")); err != nil {
			t.Fatal(err)
		}
		j.Close()
		// At its last byte the line was whole but for the newline.
		builds := 2
		if n == len(whole)-1 {
			builds = 3
		}
		if s := read(t, path); len(s.Builds) != builds || s.Builds[len(s.Builds)-1].Ref != "c" {
			t.Fatalf("cut at %d and continued: %+v", n, s)
		}
	}
}

func TestDamagedJournal(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		builds int
	}{
		"garbage between":    {"{\"type\":\"started\",\"build\":{\"ref\":\"a\",\"outcome\":\"running\"}}\n\x00\x00\n{\"type\":\"complete\",\"build\":{\"ref\":\"a\",\"outcome\":\"ok\"}}\n", 1},
		"a build without id": {"{\"type\":\"started\",\"build\":{}}\n", 0},
		"no build":           {"{\"type\":\"complete\"}\n", 0},
		"an endless line":    {strings.Repeat("x", maxLine+10) + "\n", 0},
	} {
		s, err := readStory(strings.NewReader(c.text))
		if err != nil || s.Damaged != 1 || len(s.Builds) != c.builds {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if s, err := readStory(strings.NewReader("{\"type\":\"of the future\"}\n\n")); err != nil || s.Damaged != 0 {
		t.Errorf("an unknown event: %+v, %v", s, err)
	}
}

// Events may be repeated and change places: the story is the same.
func TestStoryIsIdempotent(t *testing.T) {
	var events []event
	for i, o := range []Outcome{OK, Failed, Cancelled, Running} {
		ref := fmt.Sprint("ref", i)
		s := started(ref)
		s.Build.Started = began.Add(time.Duration(i) * time.Second)
		events = append(events, s)
		if o != Running {
			c := complete(ref, o)
			c.Build.Started = s.Build.Started
			events = append(events, c)
		}
	}
	tell := func(events []event) Story {
		var t teller
		for _, e := range events {
			t.tell(e)
		}
		return t.story()
	}
	want := tell(events)
	for seed := range uint64(200) {
		shuffled := append(append([]event(nil), events...), events...)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := cmp.Diff(want, tell(shuffled)); diff != "" {
			t.Fatalf("seed %d: -want +got\n%s", seed, diff)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("{\"type\":\"started\",\"build\":{\"ref\":\"a\",\"outcome\":\"running\"}}\n{\"type\":\"comp"))
	f.Add([]byte("\n\n{}\nnull\n[]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readStory(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		s.End()
		if s.Tally().Total() > bytes.Count(b, []byte("\n")) || s.Tally().Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

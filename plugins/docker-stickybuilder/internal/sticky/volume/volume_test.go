package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// directory is a volume that is on this machine.
type directory string

func (d directory) Read(_ context.Context, name string, w io.Writer) error {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func (d directory) Write(_ context.Context, name string, content []byte) error {
	return os.WriteFile(filepath.Join(string(d), name), content, 0o600)
}

func (d directory) First(context.Context) (string, error) {
	all, err := os.ReadDir(string(d))
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0].Name(), nil
}

func (d directory) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(string(d), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// listing is every file with its size.
func (d directory) listing(t *testing.T) (out []string) {
	t.Helper()
	err := filepath.WalkDir(string(d), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			info, _ := e.Info()
			out = append(out, fmt.Sprint(strings.TrimPrefix(path, string(d)), " ", info.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// newState makes a volume as a buildkitd leaves it when it ends by itself.
func newState(t *testing.T) directory {
	t.Helper()
	d := directory(t.TempDir())
	for _, name := range []string{"cache.db", "history.db", "runc-native/containerdmeta.db", "runc-native/metadata_v2.db", "runc-native/snapshots/metadata.db"} {
		d.put(t, name, "")
		db, err := bolt.Open(filepath.Join(string(d), name), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("_byresult"))
			if err == nil {
				_, err = b.CreateBucket([]byte("worker1::record1"))
			}
			return err
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	d.put(t, "runc-native/workerid", "worker1")
	return d
}

func TestExamine(t *testing.T) {
	for name, c := range map[string]struct {
		change func(directory)
		want   State // its Bad is one that says so
		writes []string
	}{
		"a former state":     {func(directory) {}, State{Warm: true}, nil},
		"not ended cleanly":  {func(d directory) { d.put(t, "buildkitd.lock", "") }, State{Warm: true, Unclean: true}, nil},
		"no history":         {func(d directory) { os.Remove(filepath.Join(string(d), "history.db")) }, State{Warm: true}, nil},
		"cache damaged":      {func(d directory) { d.put(t, "cache.db", "junk") }, State{Warm: true, Bad: errors.New("checking cache.db"), Mend: true, Cost: "one cold build; cache mounts are kept"}, []string{"/cache.db 0"}},
		"history damaged":    {func(d directory) { d.put(t, "history.db", "junk") }, State{Warm: true, Bad: errors.New("checking history.db"), Mend: true, Cost: "the history of earlier builds"}, []string{"/history.db 0"}},
		"worker's name lost": {func(d directory) { d.put(t, "runc-native/workerid", "") }, State{Warm: true, Bad: errors.New("the worker's name is lost"), Mend: true}, []string{"/runc-native/workerid 7"}},
		"metadata damaged":   {func(d directory) { d.put(t, "runc-native/metadata_v2.db", "junk") }, State{Warm: true, Bad: errors.New("checking runc-native/metadata_v2.db")}, nil},
		"metadata lost":      {func(d directory) { os.Remove(filepath.Join(string(d), "runc-native/containerdmeta.db")) }, State{Warm: true, Bad: errors.New("it is missing")}, nil},
	} {
		d := newState(t)
		c.change(d)
		before := d.listing(t)
		s, err := Examine(t.Context(), d, t.TempDir())
		if err != nil || s.Warm != c.want.Warm || s.Unclean != c.want.Unclean || s.Mend != c.want.Mend || s.Cost != c.want.Cost || (s.Bad == nil) != (c.want.Bad == nil) ||
			s.Bad != nil && !strings.Contains(s.Bad.Error(), c.want.Bad.Error()) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		var changed []string
		for _, f := range d.listing(t) {
			if !slices.Contains(before, f) {
				changed = append(changed, f)
			}
		}
		if !slices.Equal(changed, c.writes) {
			t.Errorf("%s: written: %v", name, changed)
		}
	}
}

func TestExamineWithoutState(t *testing.T) {
	d := directory(t.TempDir())
	if s, err := Examine(t.Context(), d, t.TempDir()); err != nil || s != (State{}) {
		t.Errorf("an empty volume: %+v, %v", s, err)
	}
	d.put(t, "PG_VERSION", "17")
	if _, err := Examine(t.Context(), d, t.TempDir()); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), `"PG_VERSION"`) || fault.HintOf(err) == "" {
		t.Errorf("somebody's database: %v", err)
	}

	// A daemon that was killed before it had written anything.
	d = directory(t.TempDir())
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := Take(t.Context(), d, Mark{Builder: "sticky", ID: "id", Since: since}); err != nil {
		t.Fatal(err)
	}
	s, err := Examine(t.Context(), d, t.TempDir())
	if err != nil || s.Warm || s.Unclean || s.Last == nil || *s.Last != (Mark{Format: disk.Format, Builder: "sticky", ID: "id", Since: since}) {
		t.Errorf("%+v, %v", s, err)
	}
	d.put(t, "buildkitd.lock", "")
	if s, err := Examine(t.Context(), d, t.TempDir()); err != nil || s.Warm || !s.Unclean {
		t.Errorf("%+v, %v", s, err)
	}

	for text, last := range map[string]bool{"{": false, `{"builder":"\u001b[31m"}`: false, `{"builder":"b"}`: true} {
		d.put(t, markFile, text)
		if s, err := Examine(t.Context(), d, t.TempDir()); err != nil || (s.Last != nil) != last {
			t.Errorf("mark %q: %+v, %v", text, s, err)
		}
	}
	d.put(t, markFile, `{"format": 7}`)
	if _, err := Examine(t.Context(), d, t.TempDir()); !errors.Is(err, disk.ErrNewer) {
		t.Errorf("of a newer version: %v", err)
	}
	d.put(t, markFile, strings.Repeat("x", maxSmall+1))
	if _, err := Examine(t.Context(), d, t.TempDir()); err == nil {
		t.Error("a mark without end is taken")
	}
}

func TestExamineWhatCannotBeRead(t *testing.T) {
	broken := errors.New("the engine is gone")
	if _, err := Examine(t.Context(), failing{newState(t), broken}, t.TempDir()); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// failing reads small files and no databases.
type failing struct {
	directory
	err error
}

func (f failing) Read(ctx context.Context, name string, w io.Writer) error {
	if strings.HasSuffix(name, ".db") {
		return f.err
	}
	return f.directory.Read(ctx, name, w)
}

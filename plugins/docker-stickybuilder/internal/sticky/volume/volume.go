// Package volume examines a docker volume that has the state of a buildkitd: whether there
// is any, how the last daemon left it, and whether its databases are sound. It sees the
// volume through what an engine tells of files in it, one by one: the volume may be on
// another machine.
package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Files are those of a volume. Names are relative, with slashes.
type Files interface {
	// Read writes a file's contents to w; fs.ErrNotExist if there is no such file.
	Read(ctx context.Context, name string, w io.Writer) error
	// Write makes or replaces a file.
	Write(ctx context.Context, name string, content []byte) error
	// First names anything that is in the volume, "" if it is empty.
	First(ctx context.Context) (string, error)
}

// A Mark is the file in a volume that says who has it, or had it last.
type Mark struct {
	Format  int       `json:"format"`
	Builder string    `json:"builder"` // NAME
	ID      string    `json:"id"`      // of the builder's run
	Since   time.Time `json:"since"`
}

const (
	markFile = "docker-stickybuilder.json"
	// lockFile is buildkitd's own. It is removed when the daemon ends by itself, and else stays.
	lockFile = "buildkitd.lock"
	// workerFile is the name of a worker, which BuildKit keeps beside its databases.
	workerFile = "workerid"
)

// ErrForeign means that a volume holds something, and no state of a buildkitd.
var ErrForeign = errors.New("it holds something else")

// A State is what Examine has found.
type State struct {
	Warm    bool  // it has a former daemon's state
	Unclean bool  // that daemon was killed, or its machine died
	Last    *Mark // the builder whose it was last; nil if none has left its mark

	Bad  error  // what was wrong with its databases; nil if nothing
	Mend bool   // that was repaired
	Cost string // of the repair, in words for the user; "" if it costs nothing
}

// databases are the files that are checked: those of each worker are in a directory that is
// named after its snapshotter.
func databases() []string {
	names := []string{"cache.db", "history.db"}
	for _, snapshotter := range []string{"overlayfs", "native", "fuse-overlayfs", "stargz"} {
		for _, file := range []string{"containerdmeta.db", "metadata_v2.db", "snapshots/metadata.db", workerFile} {
			names = append(names, path.Join("runc-"+snapshotter, file))
		}
	}
	return names
}

// Examine looks at a volume that nobody uses, and repairs what can be made anew. The
// databases are copied to dir, an empty directory, and checked there; what is in
// snapshots is not seen. An error means that the volume cannot be used, and is as it was.
func Examine(ctx context.Context, f Files, dir string) (State, error) {
	var s State
	mark, err := read(ctx, f, markFile)
	if err != nil {
		return s, err
	}
	if mark != nil {
		s.Last = &Mark{}
		// A damaged one says as little as none.
		if json.Unmarshal(mark, s.Last) != nil || s.Last.Builder != disk.CleanKey(s.Last.Builder) {
			s.Last = nil
		} else if s.Last.Format > disk.Format {
			return s, fault.Hint(fmt.Errorf("%w: format %d, and this one reads up to %d", disk.ErrNewer, s.Last.Format, disk.Format), "upgrade the plugin")
		}
	}
	lock, err := read(ctx, f, lockFile)
	if err != nil {
		return s, err
	}
	s.Unclean = lock != nil
	found, err := fetch(ctx, f, dir)
	if err != nil {
		return s, err
	}
	if !found {
		if s.Unclean || mark != nil {
			return s, nil // a daemon that came to nothing
		}
		first, err := f.First(ctx)
		if err == nil && first != "" {
			err = fault.Hint(fmt.Errorf("%w than BuildKit's state: %q", ErrForeign, first), "name another volume: one that is not there yet is made")
		}
		return s, err
	}
	s.Warm = true
	if s.Bad = daemon.Check(ctx, dir); s.Bad == nil {
		return s, nil
	}
	if daemon.CannotTell(s.Bad) {
		return s, fmt.Errorf("checking its databases: %w", s.Bad)
	}
	return s, s.repair(ctx, f, dir)
}

// repair does in the volume what daemon.Repair does in the copy: of a database that it drops
// an empty file is left, which BuildKit takes for none.
func (s *State) repair(ctx context.Context, f Files, dir string) error {
	before, err := contents(dir)
	if err != nil {
		return err
	}
	cost, ok, err := daemon.Repair(dir, s.Bad)
	if err != nil || !ok {
		return err
	}
	after, err := contents(dir)
	if err != nil {
		return err
	}
	for _, name := range databases() {
		now, there := after[name]
		if was, had := before[name]; had == there && was == now {
			continue
		}
		if err := f.Write(ctx, name, []byte(now)); err != nil {
			return err
		}
	}
	s.Mend, s.Cost = true, cost
	return nil
}

// contents says which of the databases a directory has, and what workers are called.
func contents(dir string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range databases() {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		out[name] = ""
		if path.Base(name) != workerFile {
			continue
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return nil, err
		}
		out[name] = string(text)
	}
	return out, nil
}

// fetch copies the databases to dir, and reports whether there are any.
func fetch(ctx context.Context, f Files, dir string) (found bool, err error) {
	for _, name := range databases() {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return false, err
		}
		out, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return false, err
		}
		err = errors.Join(f.Read(ctx, name, out), out.Close())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := os.Remove(at); err != nil {
				return false, err
			}
		case err != nil:
			return false, err
		default:
			found = true
		}
	}
	return found, nil
}

// Take leaves a builder's mark in the volume.
func Take(ctx context.Context, f Files, m Mark) error {
	m.Format = disk.Format
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return f.Write(ctx, markFile, append(text, '\n'))
}

// maxSmall bounds files that are read into memory.
const maxSmall = 1 << 20

// read returns a small file, nil if there is none.
func read(ctx context.Context, f Files, name string) ([]byte, error) {
	b := bounded{}
	err := f.Read(ctx, name, &b)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return append([]byte{}, b...), err
}

// bounded refuses to become longer than maxSmall.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	if len(*b)+len(p) > maxSmall {
		return 0, fmt.Errorf("it has more than %d bytes", maxSmall)
	}
	*b = append(*b, p...)
	return len(p), nil
}

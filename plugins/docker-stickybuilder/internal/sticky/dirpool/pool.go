// Package dirpool keeps sticky disks in a directory of this machine, --disk
// dir:PATH.
//
//	PATH/pool.json, PATH/lock                   format; held while copies are claimed or swept
//	PATH/lineages/LINEAGE/head.json             the current generation
//	PATH/lineages/LINEAGE/resets.json           how often it was moved by other than a commit
//	PATH/lineages/LINEAGE/generations/ID/       meta.json, lock, root/, bad.json if it is never to be cloned, size.json once measured
//	PATH/work/ID/                               copy.json, lock, root/: a job's working copy
//	PATH/trash/                                 what is being removed
//
// Where the filesystem at PATH cannot take snapshots, a new pool makes itself one
// that can, in one sparse file (package imagefs), if it is possible to mount that.
// The pool is then in PATH/mnt, and beside it are
//
//	PATH/pool.json, PATH/pool.img, PATH/mount.lock
//
// A working copy is made by a backend, the cheapest that the filesystem offers:
// a btrfs snapshot, a tree of files that share their blocks, or a plain copy. A pool
// that exists stays what it is.
// Commit renames the working copy into the generations, which costs the same for
// any size, and then moves the head; so only the start of a job ever copies.
//
// The lock of a working copy is held by the processes that use it, and the lock
// of a generation by those that clone it. What nobody holds is free to be swept.
package dirpool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/imagefs"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Options of Open.
type Options struct {
	Now  func() time.Time // required
	Keep int              // generations kept per lineage; 0 means 3
	Wait time.Duration    // how long to wait for a lock; 0 means 10 s

	Existing bool // fail with fs.ErrNotExist, and make nothing, if there is no pool

	Image bool   // a new pool may make itself a filesystem in a file
	Mkfs  string // path of mkfs.btrfs, for that; "" if there is none

	// Suits, if set, says why working copies in a directory would be of no use. It is
	// asked before a pool of plain files is made, and about every other pool that is opened.
	Suits func(dir string) error
}

// A Pool is an opened directory of disks.
type Pool struct {
	home    string // the directory that the user named
	dir     string // where the pool is: home, or what is mounted in it
	image   *imagefs.FS
	backend backend
	why     string // why heads are copied, "" if they are not
	options Options
}

type poolFile struct {
	Format int  `json:"format"`
	Image  bool `json:"image,omitempty"` // the pool is in a file
}

// Open opens the pool at dir, an absolute path, and makes it if there is none.
// It fails if the directory cannot be written or was made by a newer version. The
// caller closes it, which a pool that is in a file needs for not to stay mounted.
func Open(dir string, o Options) (*Pool, error) {
	if o.Keep <= 0 {
		o.Keep = 3
	}
	if o.Wait <= 0 {
		o.Wait = 10 * time.Second
	}
	p := &Pool{home: dir, dir: dir, options: o}
	if err := p.open(); err != nil {
		err = errors.Join(err, p.Close())
		return nil, fmt.Errorf("opening disk pool %s: %w", dir, err)
	}
	return p, nil
}

func (p *Pool) open() error {
	if !filepath.IsAbs(p.dir) {
		return errors.New("the path is not absolute")
	}
	var f poolFile
	switch err := durable.ReadJSON(p.file("pool.json"), &f); {
	case errors.Is(err, fs.ErrNotExist) && p.options.Existing:
		return fault.Hint(fmt.Errorf("it is no disk pool: %w", fs.ErrNotExist), "a pool is made by the first docker stickybuilder up --disk dir:PATH")
	case errors.Is(err, fs.ErrNotExist):
		if f, err = p.create(); err != nil {
			return writable(err)
		}
	case errors.Is(err, unix.ENOTDIR):
		return fault.Hint(errors.New("it is not a directory"), "name a directory, or one that does not exist yet")
	case err != nil:
		return err
	default:
		if err := checkFormat(f.Format); err != nil {
			return err
		}
	}
	if f.Image {
		if err := p.mount(); err != nil {
			return writable(err)
		}
	}
	// Access, not the mode bits: it knows read-only filesystems.
	if err := unix.Access(p.file("work"), unix.W_OK); err != nil {
		return writable(err)
	}
	b, err := probe(p.file("work"))
	if err != nil {
		return err
	}
	p.backend = b
	if p.why == "" && b.method("") == "copy" {
		p.why = "it was made of plain files; to have it made anew, remove " + p.home
	}
	return p.suits()
}

// suits asks about the trash, from which any tidier removes what a crash would leave.
func (p *Pool) suits() error {
	if p.options.Suits == nil {
		return nil
	}
	return p.options.Suits(p.file("trash"))
}

// Place is the directory on whose filesystem working copies are, and the one that
// holds that filesystem in a file, "" if none does.
func (p *Pool) Place() (dir, backing string) { return p.dir, p.backing() }

// WriteBack has the disk begin to write what the pool's file has in memory, so that the
// next snapshot need not wait for all of it. A pool that is in no file leaves that to the
// kernel.
func (p *Pool) WriteBack() error {
	if p.image == nil {
		return nil
	}
	return p.image.WriteBack()
}

// Close lets go of what holds the pool.
func (p *Pool) Close() error {
	if p.image == nil {
		return nil
	}
	return p.image.Close()
}

func (p *Pool) create() (poolFile, error) {
	f := poolFile{Format: disk.Format}
	if st, err := os.Stat(p.dir); err == nil && !st.IsDir() {
		return f, fault.Hint(errors.New("it is not a directory"), "name a directory, or one that does not exist yet")
	}
	if names, err := os.ReadDir(p.dir); err == nil && foreign(names) {
		// Another job may have made the pool just now.
		if err := durable.ReadJSON(p.file("pool.json"), &f); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, errors.Join(err, checkFormat(f.Format))
		}
		return f, fault.Hint(errors.New("the directory is not empty and no disk pool"), "name an empty directory, or one that does not exist yet")
	}
	// The pool holds root's files, set-uid ones among them: nobody else may enter.
	fresh := !exists(p.home)
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return f, err
	}
	var err error
	if f.Image, err = p.makeImage(); err != nil {
		return f, err
	}
	if !f.Image {
		if err := p.makeDirs(); err != nil {
			return f, err
		}
		if err := p.suits(); err != nil {
			p.unmake(fresh)
			return f, err
		}
	}
	if err := durable.WriteJSON(filepath.Join(p.home, "pool.json"), f, 0o600); err != nil || f.Image {
		return f, err
	}
	return f, p.makeLocks()
}

// unmake removes the directories of a pool that was never one, as far as they are
// empty.
func (p *Pool) unmake(home bool) {
	for _, d := range poolDirs {
		_ = os.Remove(p.file(d))
	}
	if home {
		_ = os.Remove(p.home)
	}
}

var poolDirs = []string{"lineages", "work", "trash"}

func (p *Pool) makeDirs() error {
	for _, d := range poolDirs {
		if err := os.MkdirAll(p.file(d), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// makeLocks makes the files that a full filesystem would have no room for, and
// without which nothing could be removed from it.
func (p *Pool) makeLocks() error {
	for _, name := range []string{"lock", "trash.lock"} {
		f, err := os.OpenFile(p.file(name), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

// foreign reports whether a directory holds anything but what a former, unfinished
// create or a fresh filesystem puts there.
func foreign(names []os.DirEntry) bool {
	for _, n := range names {
		switch name := n.Name(); {
		case name == "lineages", name == "work", name == "trash", name == "lost+found", strings.HasPrefix(name, ".tmp-pool.json"):
		case name == mountDir, name == imageFile, name == imageFile+".tmp", name == mountLock:
		default:
			return true
		}
	}
	return false
}

func writable(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return fault.Hint(err, "the pool has to be writable: run as root, or name another one with --disk dir:PATH")
	}
	return err
}

func checkFormat(format int) error {
	if format > disk.Format {
		return fault.Hint(fmt.Errorf("%w: format %d, and this one reads up to %d", disk.ErrNewer, format, disk.Format),
			"upgrade the plugin, or name another pool with --disk dir:PATH")
	}
	return nil
}

func (p *Pool) file(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

func (p *Pool) work(id string) string { return p.file("work", id) }

func (p *Pool) generation(l disk.Lineage, id string) string {
	return filepath.Join(p.lineage(l), "generations", id)
}

var unsafeInName = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// lineage is the directory of a lineage: readable, and unique by its hash.
func (p *Pool) lineage(l disk.Lineage) string {
	sum := sha256.Sum256([]byte(l.Identity()))
	slug := strings.Trim(unsafeInName.ReplaceAllString(l.Name(), "-"), "-.")
	return p.file("lineages", fmt.Sprintf("%.40s-%x", slug, sum[:8]))
}

func (p *Pool) lock(ctx context.Context, path string, mode durable.LockMode) (*durable.Lock, error) {
	l, err := durable.TakeLock(ctx, path, mode, p.options.Wait)
	if errors.Is(err, durable.ErrLocked) {
		return nil, fault.Hint(fmt.Errorf("%w: %w", disk.ErrInUse, err), "another job commits to or cleans this disk; try again when it is done")
	}
	return l, err
}

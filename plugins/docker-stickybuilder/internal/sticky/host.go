// Package sticky runs builders on sticky disks. [Host.Up] clones a disk's head,
// starts buildkitd on the clone under a supervisor that outlives the command, and
// registers it with buildx; [Host.Down] ends it and commits the clone if the
// builds deserve it; [Host.Supervise] is the supervisor.
//
// All three only talk through the files of package instance, the kernel and
// BuildKit's API, so that any of them may be killed at any time: the next one
// finds out what is left and cleans it up.
package sticky

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Host is the surroundings in which builders live.
type Host struct {
	State   instance.State
	Now     func() time.Time
	Entropy io.Reader
	Environ []string // for the supervisor and buildkitd, NAME=value
	Path    string   // PATH
	IsRoot  bool

	// Overlay says why BuildKit could not use overlayfs in a directory, and would copy
	// every layer: daemon.CheckOverlay. "" is for anywhere. Nil means that it can.
	Overlay func(dir string) error

	Reach     container.Reach // how docker engines elsewhere are reached
	Keychain  authn.Keychain  // the user's credentials for registries
	UserAgent string

	// Supervisor is the command line that runs Host.Supervise for a name. File
	// descriptor 3 is where it announces itself, 4 the lock of the working copy.
	Supervisor func(name string) []string
}

// A Disk keeps the generations of a disk and lends working copies of them.
// Implementations pass the suite in package disktest, whose tests state what is
// expected of each method.
type Disk interface {
	// Head returns the current generation, nil if there is none.
	Head(context.Context, disk.Lineage) (*disk.Generation, error)
	// Clone lends a private, writable copy of from's head, or an empty one, that
	// is to be committed to l; from may be l. The lock is held by whoever uses the
	// copy. disk.Working's From and Resets say what to note in it.
	Clone(ctx context.Context, l, from disk.Lineage, id string, step progress.Step) (*disk.Working, *durable.Lock, error)
	// Reopen takes over a copy whose holder has died; disk.ErrGone if there is none.
	Reopen(context.Context, *disk.Working) (*durable.Lock, error)
	// Commit makes the copy the head if the head still is its Base. If not, the
	// rule decides between the two unless there were Resets meanwhile, and the
	// other one is kept beside the head; disk.ErrConflict says that this is the
	// new one. The description is completed by disk.Working's Describe.
	Commit(context.Context, *disk.Working, disk.Generation, disk.Rule) (disk.Generation, error)
	// Snapshot lends a second copy, of what w holds at one moment, while somebody
	// writes to it who can be made to stand still. The second one has w's parent.
	Snapshot(ctx context.Context, w *disk.Working, id string, pause disk.Pause) (*disk.Working, *durable.Lock, error)
	// Continue makes w a clone of g, which was committed from a second copy of it.
	Continue(ctx context.Context, w *disk.Working, g disk.Generation) error
	// Discard removes the copy; one that is gone is no error.
	Discard(context.Context, *disk.Working) error
	// Sweep removes copies that nobody holds and returns their number.
	Sweep(context.Context) (int, error)
	// Close lets go of what the opened disk holds, such as a mount. Working copies
	// whose locks are held are not affected.
	Close() error
}

// A Remote is a Disk whose home is elsewhere.
type Remote interface {
	Disk
	// CheckCommit says why commits would not be possible.
	CheckCommit(context.Context) error
	// Pending lists the generations that are on this machine alone, the oldest
	// first. A Commit that could not reach the home fails with disk.ErrPending, and
	// makes one.
	Pending() ([]disk.Generation, error)
	// Shrink removes from this machine what the home has and no job uses.
	Shrink(context.Context) (int, error)
	// Push brings one home, as its Commit would have done.
	Push(ctx context.Context, id string) error
	// Forget drops what this machine has of a generation that is at home, so that it is
	// fetched again.
	Forget(ctx context.Context, id string) error
}

// A Metered disk counts what it exchanges with its home.
type Metered interface {
	Disk
	Traffic() disk.Traffic // since it was opened
}

// traffic is that of a Metered disk, and none of any other.
func traffic(d Disk) disk.Traffic {
	if m, ok := d.(Metered); ok {
		return m.Traffic()
	}
	return disk.Traffic{}
}

var (
	_ Disk    = (*dirpool.Pool)(nil)
	_ Remote  = (*ocidisk.Disk)(nil)
	_ Metered = (*ocidisk.Disk)(nil)
)

// openDisk opens the disk that a --disk value names, which keeps keep generations
// of each lineage; 0 means its default. moved is told of bytes while a commit moves
// some, and may be nil.
func (h Host) openDisk(spec string, keep int, moved func(done, total int64)) (Disk, error) {
	return h.open(spec, opening{keep: keep, moved: moved})
}

// An opening says how a disk is opened.
type opening struct {
	keep     int
	existing bool                    // make none if there is none
	moved    func(done, total int64) // see openDisk
	suits    func(dir string) error  // see dirpool.Options
}

func (h Host) open(spec string, o opening) (Shelf, error) {
	s, err := disk.ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	pool := dirpool.Options{Now: h.Now, Keep: o.keep, Existing: o.existing, Image: true, Mkfs: daemon.Find(h.Path, "mkfs.btrfs"), Suits: o.suits}
	if s.Scheme == disk.SchemeOCI {
		pool.Existing, pool.Keep = false, 0
		return ocidisk.Open(s.Path, ocidisk.Options{
			Dir: h.cacheDir(s), Now: h.Now, Keep: o.keep, Pool: pool, Progress: o.moved,
			Registry: registry.Options{Keychain: h.Keychain, UserAgent: h.UserAgent},
		})
	}
	if s.Scheme == disk.None || s.Scheme == disk.SchemeVolume {
		pool.Image, pool.Existing = false, false // nothing is ever cloned
	}
	return dirpool.Open(h.Home(s), pool)
}

// Home is the directory of the pool that holds a disk, or this machine's part of it.
func (h Host) Home(s disk.Spec) string {
	switch s.Scheme {
	case disk.SchemeDir:
		return s.Path
	case disk.None, disk.SchemeVolume:
		return filepath.Join(string(h.State), "scratch")
	}
	return filepath.Join(h.cacheDir(s), "pool")
}

var unsafeInName = regexp.MustCompile(`[^a-z0-9.-]+`)

// cacheDir is where this machine keeps its part of a disk whose home is elsewhere.
func (h Host) cacheDir(s disk.Spec) string {
	sum := sha256.Sum256([]byte(s.Path))
	return filepath.Join(string(h.State), "registries", fmt.Sprintf("%.60s-%x", unsafeInName.ReplaceAllString(s.Path, "-"), sum[:6]))
}

// dropped are variables that must not reach a process which outlives the
// command: CI runners kill what carries their mark, the docker CLI's plugin
// socket would cancel it, and the service manager's sockets are not its own.
var dropped = []string{
	"RUNNER_TRACKING_ID", "JENKINS_NODE_COOKIE", "BUILDX_BUILDER", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
	"DOCKER_CLI_PLUGIN_SOCKET", "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "DOCKER_CLI_PLUGIN_USE_DIAL_STDIO", "OTEL_RESOURCE_ATTRIBUTES",
}

func detachedEnviron(environ []string) []string {
	var out []string
next:
	for _, v := range environ {
		for _, name := range dropped {
			if strings.HasPrefix(v, name+"=") {
				continue next
			}
		}
		out = append(out, v)
	}
	return out
}

func (h Host) newID() (string, error) {
	var entropy [6]byte
	if _, err := io.ReadFull(h.Entropy, entropy[:]); err != nil {
		return "", fmt.Errorf("naming the working copy: %w", err)
	}
	return disk.NewID(h.Now(), entropy[:]), nil
}

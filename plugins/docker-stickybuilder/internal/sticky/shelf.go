package sticky

import (
	"context"
	"errors"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Shelf is a Disk whose generations can be handled one by one. Implementations
// pass the suite in package disktest.
type Shelf interface {
	Disk
	// Lineages lists what there are heads or generations of, in their order.
	Lineages(context.Context) ([]disk.Lineage, error)
	// Records describes a lineage's generations, the oldest first.
	Records(context.Context, disk.Lineage) ([]disk.Record, error)
	// Copies lists the working copies, the oldest first.
	Copies(context.Context) ([]disk.Copy, error)
	// Measure returns the bytes of a generation's files or, if there is no such
	// generation, of a working copy's.
	Measure(ctx context.Context, l disk.Lineage, id string) (int64, error)
	// Hold returns a generation's directory, which stays until the lock is closed.
	Hold(ctx context.Context, l disk.Lineage, id string) (root string, lock *durable.Lock, err error)
	// Mark makes sure that a generation is never cloned again, and returns the
	// head after that.
	Mark(ctx context.Context, l disk.Lineage, id, reason string) (head string, err error)
	// SetHead moves the head if it still is from, else returns disk.ErrConflict;
	// disk.ErrBad for a generation that is marked.
	SetHead(ctx context.Context, l disk.Lineage, from, to string) error
	// Remove removes a generation; disk.ErrInUse for the head and while it is held.
	Remove(ctx context.Context, l disk.Lineage, id string) error
	// RemoveLineage removes a head with all generations; disk.ErrInUse while there
	// is a working copy of it.
	RemoveLineage(context.Context, disk.Lineage) error
	// Used returns when a job last cloned or committed a lineage, as far as is known here,
	// zero if never.
	Used(context.Context, disk.Lineage) (time.Time, error)
	// Garbage lists what nothing refers to if the newest keep generations of each
	// lineage are to be kept, and Collect removes one of that unless it has come
	// into use meanwhile.
	Garbage(ctx context.Context, keep int) ([]disk.Garbage, error)
	Collect(context.Context, disk.Garbage) (gone bool, err error)
}

var (
	_ Shelf = (*dirpool.Pool)(nil)
	_ Shelf = (*ocidisk.Disk)(nil)
)

// ErrNoDisk means that there are no generations, since what a builder builds goes with it.
var ErrNoDisk = errors.New("the disk is none: nothing is kept of what is built on it")

// OpenShelf opens a disk that exists by its --disk value.
func (h Host) OpenShelf(spec string) (Shelf, error) {
	if spec == disk.None {
		return nil, fault.Hint(ErrNoDisk, "name one that is: --disk dir:PATH or oci:REGISTRY/REPO")
	}
	if volumeOf(spec) != nil {
		return nil, fault.Hint(ErrNoGenerations, "look at it: docker stickybuilder disk inspect --disk %s; remove it: docker stickybuilder disk rm --all --disk %s", spec, spec)
	}
	return h.open(spec, opening{existing: true})
}

// Package ocidisk keeps sticky disks in a repository of an OCI registry, --disk
// oci:REGISTRY/REPO. docs/design/009-registry-disks.md specifies what is there.
//
// A directory of this machine goes with it. It has a pool, in which each generation
// that was fetched or committed here is a disk of its own, so that a job clones it as
// fast as the pool can:
//
//	DIR/pool/             the pool
//	DIR/trees/ID/         manifest.json, index parts, stats: of the generations in it
//	DIR/copies/ID.json    what was known of the registry when a copy was made; ID.stats
//	DIR/pending/ID.json   a generation that the registry does not have yet
//	DIR/restore/ID.json   a generation that is being fetched; ID.packs: what is there
//	DIR/locks/            one for each lineage
//
// Nothing there is needed but what is pending: what is missing is fetched again.
package ocidisk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Options of Open.
type Options struct {
	Dir      string // on this machine, for what the package comment says
	Now      func() time.Time
	Keep     int             // generations kept per lineage; 0 means 3
	Cache    int64           // bytes of generations kept in Dir, beyond what is in use; 0 means 50 GB
	Wait     time.Duration   // for another job of this machine; 0 means 10 min
	Jobs     int             // transfers at once; 0 means 8
	Pack     int             // bytes that a pack is to have, at most and by default chunk.PackSize
	Contend  time.Duration   // how long another job may take from announcing to moving the head; 0 means 2 s
	Fresh    time.Duration   // how long what is newer than the head is no garbage, since a job may be about to make it that; 0 means 1 min
	Pool     dirpool.Options // Now is taken from above
	Registry registry.Options
	Progress func(sent, total int64) // called while a generation is uploaded; total grows
}

// A Disk is a repository of disks.
type Disk struct {
	client  *registry.Client
	pool    *dirpool.Pool
	options Options

	mu        sync.Mutex
	manifests map[string]*manifest // by tag, of generations: they never change
}

// Open opens the disks of a repository, REGISTRY/REPO. The registry is not asked yet.
func Open(repository string, o Options) (*Disk, error) {
	if o.Keep <= 0 {
		o.Keep = 3
	}
	if o.Cache <= 0 {
		o.Cache = 50e9
	}
	if o.Wait <= 0 {
		o.Wait = 10 * time.Minute
	}
	if o.Pack <= 0 {
		o.Pack = chunk.PackSize
	}
	if o.Jobs <= 0 {
		o.Jobs = 8
	}
	if o.Contend <= 0 {
		o.Contend = 2 * time.Second
	}
	if o.Fresh <= 0 {
		o.Fresh = time.Minute
	}
	client, err := registry.Open(repository, o.Registry)
	if err != nil {
		return nil, fault.Hint(err, "write oci:REGISTRY/REPO, such as oci:ghcr.io/acme/disks")
	}
	d := &Disk{client: client, options: o, manifests: map[string]*manifest{}}
	for _, sub := range []string{"trees", "copies", "pending", "restore", "locks"} {
		if err := os.MkdirAll(d.file(sub), 0o700); err != nil {
			return nil, fmt.Errorf("opening the local part of disk %s: %w", client, err)
		}
	}
	// Each generation is a lineage of the pool, so there is only ever one of each.
	o.Pool.Now = o.Now
	if d.pool, err = dirpool.Open(d.file("pool"), o.Pool); err != nil {
		return nil, err
	}
	return d, nil
}

// Close lets go of what holds the pool.
func (d *Disk) Close() error { return d.pool.Close() }

// Place is where on this machine working copies are, as dirpool's.
func (d *Disk) Place() (dir, backing string) { return d.pool.Place() }

// Tidy takes apart what was removed from this machine's part of the disk.
func (d *Disk) Tidy(ctx context.Context) error { return d.pool.Tidy(ctx) }

func (d *Disk) file(elem ...string) string {
	return filepath.Join(append([]string{d.options.Dir}, elem...)...)
}

// lock keeps other jobs of this machine from fetching or committing to a lineage.
func (d *Disk) lock(ctx context.Context, l disk.Lineage) (*durable.Lock, error) {
	name := fmt.Sprintf("%x", sha256.Sum256([]byte(l.Identity())))
	lock, err := durable.TakeLock(ctx, d.file("locks", name), durable.Exclusive, d.options.Wait)
	if errors.Is(err, durable.ErrLocked) {
		return nil, fault.Hint(fmt.Errorf("%w: %w", disk.ErrInUse, err), "another job of this machine fetches or commits it; try again when it is done")
	}
	return lock, err
}

// Traffic is what was exchanged with the registry since the disk was opened.
func (d *Disk) Traffic() disk.Traffic { return disk.Traffic(d.client.Traffic()) }

// CheckCommit says, before anything is done, why commits would not be possible.
func (d *Disk) CheckCommit(ctx context.Context) error {
	return d.explain(d.client.CheckPush(ctx))
}

// explain adds what the user can do about a registry's refusal.
func (d *Disk) explain(err error) error {
	if fault.HintOf(err) != "" {
		return err
	}
	var refused *registry.Error
	if !errors.As(err, &refused) {
		// Errors of the filesystem have a Timeout as well, and are no net.OpError.
		if errors.As(err, new(*url.Error)) || errors.As(err, new(*net.OpError)) {
			if !errors.Is(err, context.Canceled) {
				return fault.Hint(err, "is the registry %s up and reachable from here?", d.client.Registry())
			}
		}
		return err
	}
	switch {
	case refused.Status == 401:
		return fault.Hint(err, "log in: docker login %s", d.client.Registry())
	case refused.Status == 403:
		return fault.Hint(err, "log in as somebody who may push to %s, or bring the builder up with --read-only", d.client)
	case refused.Status == 404:
		return fault.Hint(err, "the registry may want the repository to be made first: %s", d.client)
	case refused.Status == 429:
		return fault.Hint(err, "the registry limits requests: log in, or try again later")
	case refused.Status >= 500:
		return fault.Hint(err, "the registry is in trouble itself: try again later")
	}
	return err
}

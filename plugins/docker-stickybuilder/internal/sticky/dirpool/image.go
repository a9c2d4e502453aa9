package dirpool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/imagefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// What a pool that is in a file has in its directory, beside pool.json.
const (
	imageFile = "pool.img"
	mountLock = "mount.lock" // held while the file is made, mounted or unmounted
	mountDir  = "mnt"
)

func (p *Pool) imagePath() string { return filepath.Join(p.home, imageFile) }

// makeImage makes the file of a new pool, if one is wanted, needed and possible.
func (p *Pool) makeImage() (bool, error) {
	if !p.options.Image {
		return false, nil
	}
	b, err := probe(p.home)
	if _, ok := b.(snapshots); ok || err != nil {
		return false, err
	}
	lock, err := durable.TakeLock(context.Background(), filepath.Join(p.home, mountLock), durable.Exclusive, p.options.Wait)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if exists(p.imagePath()) { // by another job, just now
		return true, nil
	}
	at := filepath.Join(p.home, mountDir)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return false, err
	}
	err = imagefs.Create(context.Background(), p.imagePath(), at, p.options.Mkfs)
	if errors.Is(err, imagefs.ErrImpossible) {
		if b.method("") == "copy" {
			p.why = err.Error()
			if hint := fault.HintOf(err); hint != "" {
				p.why += "; " + hint
			}
		}
		return false, errors.Join(os.Remove(at), os.Remove(filepath.Join(p.home, mountLock)))
	}
	return err == nil, err
}

// mount moves the pool to what is in its file.
func (p *Pool) mount() (err error) {
	at := filepath.Join(p.home, mountDir)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	if p.image, err = imagefs.Open(context.Background(), p.imagePath(), at, filepath.Join(p.home, mountLock)); err != nil {
		if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w: %w", disk.ErrNoSpace, err)
		}
		return err
	}
	p.dir = at
	return errors.Join(p.makeDirs(), p.makeLocks())
}

// ReleaseIdle unmounts the pools in files that processes which were killed have left
// mounted on this machine, whatever their directories, and returns those.
func ReleaseIdle() (homes []string, err error) {
	points, err := imagefs.Mounted(mountDir)
	errs := []error{err}
	for _, at := range points {
		home := filepath.Dir(at)
		if !exists(filepath.Join(home, imageFile)) && !exists(filepath.Join(home, imageFile+".tmp")) {
			continue
		}
		done, err := imagefs.Release(at, filepath.Join(home, mountLock))
		if errs = append(errs, err); done {
			homes = append(homes, home)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return homes, fmt.Errorf("unmounting pools that nobody uses: %w", err)
	}
	return homes, nil
}

// backing is the directory that holds the pool's file, "" if it is in none.
func (p *Pool) backing() string {
	if p.image == nil {
		return ""
	}
	return p.home
}

// room fails with disk.ErrNoSpace if there is none around the pool's file. The
// filesystem inside would find out too late: when it has accepted a job's data.
func (p *Pool) room() error {
	if p.image == nil {
		return nil
	}
	space, err := tree.Free(p.home)
	if err == nil && space.Exhausted() {
		return fault.Hint(fmt.Errorf("%w: the filesystem around %s is full", disk.ErrNoSpace, p.imagePath()),
			"free some space there; docker stickybuilder disk gc gives back what nothing refers to")
	}
	return err
}

// trimWait bounds how long Trim waits for the kernel to take removed snapshots apart.
const trimWait = 30 * time.Second

// Trim gives the space of what was removed back to the filesystem around the
// pool's file, and returns how much that was. A pool in no file gives it back anyway.
func (p *Pool) Trim(ctx context.Context) (int64, error) {
	if p.image == nil {
		return 0, nil
	}
	n, err := p.image.Trim(ctx, trimWait)
	if err != nil {
		return 0, fmt.Errorf("trimming disk pool %s: %w", p.home, err)
	}
	return n, nil
}

package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process holds the lock for longer than the
// caller wanted to wait.
var ErrLocked = errors.New("locked by another process")

// A Lock is a flock on a file. It is released by Close, or by the kernel when
// the last process that holds its descriptor has died.
//
// It is safe for concurrent use.
type Lock struct {
	f      *os.File
	closed atomic.Bool
}

// LockMode says whether others may hold the lock too.
type LockMode int

const (
	Exclusive LockMode = unix.LOCK_EX
	Shared    LockMode = unix.LOCK_SH
)

const lockPoll = 20 * time.Millisecond

// TakeLock takes the lock of the file at path, made if need be, and waits for it
// up to wait; then the error matches ErrLocked. A file that was moved or removed while it
// was waited for protects nothing any more: what is at path then counts.
func TakeLock(ctx context.Context, path string, mode LockMode, wait time.Duration) (*Lock, error) {
	for {
		l, err := takeLock(ctx, path, mode, wait)
		if err != nil || l.at(path) {
			return l, err
		}
		l.Close()
	}
}

// at reports whether the locked file still is the one at path.
func (l *Lock) at(path string) bool {
	mine, err := l.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

func takeLock(ctx context.Context, path string, mode LockMode, wait time.Duration) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for waited := time.Duration(0); ; waited += lockPoll {
		err := unix.Flock(int(f.Fd()), int(mode)|unix.LOCK_NB)
		switch {
		case err == nil:
			return &Lock{f: f}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, &os.PathError{Op: "flock", Path: path, Err: err}
		case waited >= wait:
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, ErrLocked)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// File is the locked file, to be handed to a child that is to hold the lock too.
func (l *Lock) File() *os.File { return l.f }

// Close gives up this process's hold of the lock; children that were handed the
// file go on holding it. A nil Lock may be closed.
func (l *Lock) Close() error {
	if l == nil || l.closed.Swap(true) {
		return nil
	}
	return l.f.Close()
}

package tree

import (
	"context"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

type made struct {
	path string
	stat unix.Stat_t
}

// A cloner is one run of Clone. Only its walk touches the fields without locks;
// files' contents are moved by the group.
type cloner struct {
	ctx     context.Context
	group   *errgroup.Group
	options Options
	links   map[inode]string // first name of each file with several
	dirs    []made
	entries int64
	moved   atomic.Int64
}

// reportEvery bounds how often progress is told.
const reportEvery = 256

func (c *cloner) report() {
	if c.options.Progress != nil && c.entries%reportEvery == 0 {
		c.options.Progress(c.entries, c.moved.Load())
	}
}

// file makes the new file at once, so that further hard links find it, and
// leaves its contents to the group.
func (c *cloner) file(dst, src string, st unix.Stat_t) error {
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	c.group.Go(func() error {
		err := c.contents(out, src, &st)
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			err = setAttributes(dst, src, &st)
		}
		if err == nil {
			err = setTimes(dst, &st)
		}
		return err
	})
	return nil
}

func (c *cloner) contents(out *os.File, src string, st *unix.Stat_t) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if st.Size == 0 {
		return nil
	}
	in, err := os.OpenFile(src, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := c.options.Method(c.ctx, out, in, st.Size)
	c.moved.Add(n)
	return err
}

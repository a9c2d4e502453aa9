package layer

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Limits bound what one layer, or several that share a [Quota], may make the reader
// hold or do. A zero field means the default.
type Limits struct {
	Entries  int   // tar entries; default 4 million
	Bytes    int64 // uncompressed bytes, holes of sparse files included; default 1 TiB
	Metadata int64 // bytes of names, link targets and extended attributes; default 1 GiB
}

func (l Limits) withDefaults() Limits {
	if l.Entries == 0 {
		l.Entries = 4 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 40
	}
	if l.Metadata == 0 {
		l.Metadata = 1 << 30
	}
	return l
}

// ErrTooLarge is what layers that exceed their [Limits] give.
var ErrTooLarge = errors.New("layer exceeds the limit")

// A Quota is limits that several layers share, such as those of one image: whoever
// wants to fill a disk or the memory can do so with many layers too. It is safe for
// concurrent use.
type Quota struct {
	limits Limits
	shared bool
	used   amounts
}

// NewQuota returns a quota of which nothing is used.
func NewQuota(l Limits) *Quota { return &Quota{limits: l.withDefaults(), shared: true} }

type amounts struct {
	entries, metadata  atomic.Int64
	contents, streamed atomic.Int64 // bytes of files, with holes, and of the tar stream
}

// A draw is what one layer has taken of a quota.
type draw struct {
	quota *Quota
	took  amounts
}

func (d *draw) entry() error {
	return d.take(&d.took.entries, &d.quota.used.entries, 1, int64(d.quota.limits.Entries), "entries")
}

func (d *draw) metadata(n int64) error {
	return d.take(&d.took.metadata, &d.quota.used.metadata, n, d.quota.limits.Metadata, "bytes of names and attributes")
}

func (d *draw) content(n int64) error {
	return d.take(&d.took.contents, &d.quota.used.contents, n, d.quota.limits.Bytes, "bytes")
}

func (d *draw) stream(n int64) error {
	return d.take(&d.took.streamed, &d.quota.used.streamed, n, d.quota.limits.Bytes, "uncompressed bytes")
}

func (d *draw) take(took, used *atomic.Int64, n, limit int64, what string) error {
	if n > limit || used.Add(n) > limit {
		if n <= limit {
			used.Add(-n)
		}
		all := ""
		if d.quota.shared {
			all = " for all layers"
		}
		return fmt.Errorf("%w of %d %s%s", ErrTooLarge, limit, what, all)
	}
	took.Add(n)
	return nil
}

func (d *draw) giveBack() {
	for _, a := range []struct{ took, used *atomic.Int64 }{
		{&d.took.entries, &d.quota.used.entries},
		{&d.took.metadata, &d.quota.used.metadata},
		{&d.took.contents, &d.quota.used.contents},
		{&d.took.streamed, &d.quota.used.streamed},
	} {
		a.used.Add(-a.took.Swap(0))
	}
}

package sticky

import (
	"context"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// What of a pool's filesystem has to be free, in per cent of its bytes and inodes.
const (
	lowFree   = 20 // below this the user is warned
	tightFree = 5  // below this generations are given up
)

// scarcity describes what is left on a filesystem, "" if it is enough.
func scarcity(s tree.Space, percent int64) string {
	switch {
	case s.Size > 0 && s.Bytes*100/s.Size < percent:
		return fmt.Sprintf("%d %% of the space of its filesystem is left, %.1f GB", s.Bytes*100/s.Size, float64(s.Bytes)/1e9)
	case s.Inodes >= 0 && s.Files > 0 && s.Inodes*100/s.Files < percent:
		return fmt.Sprintf("%d %% of the inodes of its filesystem are left", s.Inodes*100/s.Files)
	}
	return ""
}

// relieve gives up what a pool can do without if one of the places, those that are
// not empty, is on a filesystem that is almost full: all generations but the heads,
// the least valuable first, and working copies of jobs that have died. It stops as
// soon as there is room, and says what it did. Of a disk whose home is elsewhere only
// this machine's part is given up.
func relieve(ctx context.Context, pool Disk, places ...string) (notes []string) {
	tight := func() bool { return scarce(places, tightFree) != "" }
	if scarce(places, lowFree) == "" {
		return nil
	}
	removed := 0
	if home, ok := pool.(Remote); ok {
		if tight() {
			n, err := home.Shrink(ctx)
			if err != nil {
				notes = append(notes, err.Error())
			}
			if n > 0 {
				notes = append(notes, fmt.Sprintf("the local part of the disk was almost full: %d generations were removed from it", n))
			}
		}
	} else if shelf, ok := pool.(Shelf); ok && tight() {
		garbage, err := shelf.Garbage(ctx, 1)
		if err != nil {
			notes = append(notes, err.Error())
		}
		for _, g := range garbage {
			if !tight() {
				break
			}
			if gone, err := shelf.Collect(ctx, g); err != nil {
				notes = append(notes, err.Error())
			} else if gone && g.Kind == disk.OldGeneration {
				removed++
			}
		}
	}
	if removed > 0 {
		notes = append(notes, fmt.Sprintf("the pool was almost full: %d generations beside the heads were removed", removed))
	}
	if low := scarce(places, lowFree); low != "" {
		notes = append(notes, "the pool runs out of space: "+low+"; see docker stickybuilder disk ls, and remove what is not needed")
	}
	return notes
}

// scarce describes the first place that has too little left. One that cannot be
// asked has enough.
func scarce(places []string, percent int64) string {
	for _, p := range places {
		if p == "" {
			continue
		}
		if space, err := tree.Free(p); err == nil && scarcity(space, percent) != "" {
			return scarcity(space, percent)
		}
	}
	return ""
}

package repack

import (
	"context"
	"strings"

	"golang.org/x/sync/semaphore"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DefaultMemory is the memory, in bytes, that [Options] mean by 0.
const DefaultMemory = 512 << 20

const (
	// reserve is the part of the memory, 1/reserve, that is not lent out: for the
	// program itself and the buffers of readers and uploads.
	reserve = 5

	// entryMemory is about what one entry of the tree takes, from the changesets
	// to the plan.
	entryMemory = 700

	// decoderMemory is what reading one zstd layer takes if it is no worse than
	// what this package writes.
	decoderMemory = 2 * (32 << 20)
)

// A budget bounds what the stages of a run hold at the same time. It decides how
// many of them run, never what they write.
type budget struct {
	total int64
	free  *semaphore.Weighted
}

// newBudget lends out what a tree of so many entries leaves of memory.
func newBudget(memory int64, entries int) *budget {
	total := max(memory-memory/reserve-int64(entries)*entryMemory, 1)
	return &budget{total, semaphore.NewWeighted(total)}
}

// borrow waits until n bytes are free; one that wants more than there is runs
// alone. The caller calls giveBack.
func (b *budget) borrow(ctx context.Context, n int64) (giveBack func(), err error) {
	n = min(n, b.total)
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { b.free.Release(n) }, nil
}

// readingMemory is about what reading a layer takes.
func readingMemory(d v1.Descriptor) int64 {
	if strings.HasSuffix(string(d.MediaType), "zstd") {
		return decoderMemory
	}
	return 2 * aheadDepth * aheadSize
}

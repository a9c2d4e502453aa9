package repack

import (
	"context"
	"fmt"
	"runtime"
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

	// readersMemory is what the stages of reading one layer hold between them.
	readersMemory = 2 * aheadDepth * aheadSize

	// decoderMemory is what decompressing a zstd layer takes that has no larger window
	// than most.
	decoderMemory = 2 * (32 << 20)

	// largeLoan is from what on the collector is run before bytes are lent again: by itself it
	// notices only that the next borrower has allocated as much beside what the last one left.
	largeLoan = 32 << 20
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
// alone. The caller calls giveBack when it refers to nothing of it any more.
func (b *budget) borrow(ctx context.Context, n int64) (giveBack func(), err error) {
	n = min(n, b.total)
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() {
		if n >= largeLoan {
			runtime.GC()
		}
		b.free.Release(n)
	}, nil
}

// readingMemory is what reading a layer takes, as far as can be said before its
// first bytes have come.
func readingMemory(d v1.Descriptor) int64 {
	if strings.HasSuffix(string(d.MediaType), "zstd") {
		return decoderMemory + readersMemory
	}
	return readersMemory
}

// moreMemory tells what reading a layer takes after all, in bytes.
type moreMemory int64

func (m moreMemory) Error() string { return fmt.Sprintf("reading the layer takes %d bytes", int64(m)) }

package repack

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func TestBudgetLendsNoMoreThanThereIs(t *testing.T) {
	b := newBudget(1000<<20, 0)
	first, err := b.borrow(t.Context(), 600<<20)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := b.borrow(ctx, 300<<20); !errors.Is(err, why) {
		t.Errorf("more than the rest was lent: %v", err)
	}
	first()
	all, err := b.borrow(t.Context(), 9000<<20)
	if err != nil {
		t.Fatal("who wants more than there is must run alone", err)
	}
	if _, err := b.borrow(ctx, 1); !errors.Is(err, why) {
		t.Errorf("something was lent beside: %v", err)
	}
	all()
}

// TestMemoryIsCollectedBeforeItIsLentAgain: else the next borrower would allocate as much
// beside it.
func TestMemoryIsCollectedBeforeItIsLentAgain(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nobody else collects
	b := newBudget(1000<<20, 0)
	giveBack, err := b.borrow(t.Context(), largeLoan)
	if err != nil {
		t.Fatal(err)
	}
	table := make([]byte, largeLoan)
	gone := make(chan struct{})
	runtime.AddCleanup(&table[0], func(int) { close(gone) }, 0)
	giveBack()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("what was borrowed is still there")
	}
}

func TestATreeLeavesLessToLend(t *testing.T) {
	if all, less := newBudget(512<<20, 0).total, newBudget(512<<20, 100_000).total; less != all-100_000*entryMemory {
		t.Errorf("%d of %d are left", less, all)
	}
	if total := newBudget(512<<20, 10_000_000).total; total != 1 {
		t.Errorf("%d bytes are left beside a huge tree: one worker must remain, and no more", total)
	}
}

func TestParseMemory(t *testing.T) {
	if n, err := ParseMemory("1GiB"); n != 1<<30 || err != nil {
		t.Error(n, err)
	}
	for _, bad := range []string{"", "much", "100MB"} {
		if n, err := ParseMemory(bad); err == nil {
			t.Errorf("%q is %d", bad, n)
		}
	}
}

// TestMemoryForWindowsOfTheSource reads a layer whose window is larger than those
// that are expected: it waits for the memory that it takes.
func TestMemoryForWindowsOfTheSource(t *testing.T) {
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithWindowSize(128<<20))
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, 2<<20) // the end of a tar stream
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	digest, size, _ := v1.SHA256(bytes.NewReader(packed.Bytes()))
	diffID, _, _ := v1.SHA256(bytes.NewReader(plain))
	l := layerBlob{store: memoryStore(packed.Bytes()), descriptor: v1.Descriptor{Digest: digest, Size: size, MediaType: types.OCILayerZStd}, diffID: diffID}
	b := newBudget(DefaultMemory, 0)
	others, err := b.borrow(t.Context(), 200<<20)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, _, err := l.scan(ctx, b, nil, progress.Discard.Step("")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside others: %v", err)
	}
	others()
	if _, _, n, err := l.scan(t.Context(), b, nil, progress.Discard.Step("")); err != nil || n != int64(len(plain)) {
		t.Errorf("alone: %d bytes, %v", n, err)
	}
	if !b.free.TryAcquire(b.total) {
		t.Error("memory was not given back")
	}
}

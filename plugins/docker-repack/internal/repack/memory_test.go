package repack

import (
	"context"
	"errors"
	"testing"
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

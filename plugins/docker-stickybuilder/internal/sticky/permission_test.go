package sticky

import (
	"context"
	"errors"
	"testing"
)

// A gate is a home that answers when it is told to.
type gate struct {
	Remote
	answer chan error
}

func (g gate) CheckCommit(ctx context.Context) error {
	select {
	case err := <-g.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestPermission(t *testing.T) {
	no, other := errors.New("no right to push"), errors.New("something else")
	home := gate{answer: make(chan error, 1)}

	home.answer <- no
	ctx, asked := askToCommit(t.Context(), home)
	<-ctx.Done() // so the fetch ends at once
	if err := asked.wait(); !errors.Is(err, no) {
		t.Errorf("refused: %v", err)
	}
	if err := asked.reason(ctx, ctx.Err()); !errors.Is(err, no) {
		t.Errorf("the reason is said to be %v", err)
	}
	asked.end()

	home.answer <- nil
	ctx, asked = askToCommit(t.Context(), home)
	if err := asked.wait(); err != nil || ctx.Err() != nil {
		t.Errorf("given: %v, %v", err, ctx.Err())
	}
	if err := asked.reason(ctx, other); !errors.Is(err, other) {
		t.Errorf("something else has failed: %v", err)
	}
	asked.end()

	user, interrupt := context.WithCancel(t.Context())
	ctx, asked = askToCommit(user, home)
	interrupt()
	if err := asked.reason(ctx, other); !errors.Is(err, other) || asked.wait() == nil {
		t.Errorf("interrupted: %v", err)
	}
	asked.end()

	// Nobody waits for an answer that is not needed any more.
	_, asked = askToCommit(t.Context(), home)
	asked.end()

	var never permission
	if err := errors.Join(never.wait(), never.reason(t.Context(), nil)); err != nil {
		t.Errorf("not asked for: %v", err)
	}
	never.end()
}

package sticky

import (
	"context"
	"errors"
)

// A permission to commit to a disk whose home is elsewhere is asked for while the disk is
// fetched from there, and is there before a builder is. The zero value has been given.
type permission struct {
	answer chan struct{} // closed when err is there
	err    *error
	cancel context.CancelCauseFunc
}

// errRefused cancels what was begun in the hope of a permission.
var errRefused = errors.New("commits are not possible")

// askToCommit also returns a context that a refusal cancels. The caller ends the asking.
func askToCommit(ctx context.Context, home Remote) (context.Context, permission) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := permission{make(chan struct{}), new(error), cancel}
	go func() {
		defer close(p.answer)
		if *p.err = home.CheckCommit(ctx); *p.err != nil {
			cancel(errRefused)
		}
	}()
	return ctx, p
}

// wait returns why there is no permission.
func (p permission) wait() error {
	if p.answer == nil {
		return nil
	}
	<-p.answer
	return *p.err
}

// reason is why something has failed with err: the refusal, if that is what cancelled it.
func (p permission) reason(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errRefused) {
		return p.wait()
	}
	return err
}

// end gives the asking up, if there is no answer yet.
func (p permission) end() {
	if p.answer != nil {
		p.cancel(nil)
		<-p.answer
	}
}

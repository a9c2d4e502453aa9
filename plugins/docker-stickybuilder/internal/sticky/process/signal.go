package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// errGone means that the process has ended.
var errGone = unix.ESRCH

// open returns a pidfd of exactly the process named, or errGone.
func (id ID) open() (int, error) {
	if id.IsZero() {
		return -1, errGone
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return -1, err
	}
	// The pidfd now pins a process; only if the pid had not been recycled
	// before, it is the right one.
	if !id.Alive() {
		unix.Close(fd)
		return -1, errGone
	}
	return fd, nil
}

// Signal sends sig. A process that has ended already is no error.
func (id ID) Signal(sig unix.Signal) error {
	fd, err := id.open()
	if err == nil {
		defer unix.Close(fd)
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
	if err == nil || errors.Is(err, errGone) {
		return nil
	}
	return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), id.PID, err)
}

// Wait returns true as soon as the process has ended, false when that took
// longer than timeout or ctx was cancelled first.
func (id ID) Wait(ctx context.Context, timeout time.Duration) bool {
	fd, err := id.open()
	if err != nil {
		return !id.Alive()
	}
	defer unix.Close(fd)
	for left := timeout; ; left -= pollSlice {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(min(max(left, 0), pollSlice).Milliseconds()))
		if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) || !id.Alive() {
			return !id.Alive()
		}
		if left <= pollSlice || ctx.Err() != nil {
			return false
		}
	}
}

// pollSlice is how long a cancelled context may go unnoticed.
const pollSlice = 50 * time.Millisecond

// A Rung is one step of a Ladder.
type Rung struct {
	Signal unix.Signal
	Wait   time.Duration
}

// Stop climbs the ladder, one signal and its wait after the other, until the
// process has ended. It returns the signal that did it, 0 if it had ended
// before, and an error if it outlived the ladder.
func (id ID) Stop(ctx context.Context, ladder ...Rung) (unix.Signal, error) {
	if !id.Alive() {
		return 0, nil
	}
	for _, r := range ladder {
		if err := id.Signal(r.Signal); err != nil {
			return 0, err
		}
		if id.Wait(ctx, r.Wait) {
			return r.Signal, nil
		}
	}
	return 0, fmt.Errorf("stopping process %d: it is still there after %s", id.PID, unix.SignalName(ladder[len(ladder)-1].Signal))
}

package sticky

import (
	"context"
	"errors"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
)

// What was removed from a disk is only out of sight. To take it apart can take
// seconds, for which nobody waits: the supervisor does it when its report is written,
// and another one, for what a crash left, once its builder is ready.

// A tidier is a disk that leaves something to be taken apart.
type tidier interface {
	// Tidy does that, unless another process is at it.
	Tidy(context.Context) error
}

var (
	_ tidier = (*dirpool.Pool)(nil)
	_ tidier = (*ocidisk.Disk)(nil)
)

// tidyGrace is how long down waits for a supervisor that tidies: where there is little
// to do, nothing is left when down returns.
const tidyGrace = 500 * time.Millisecond

// tidy takes apart what was removed from an open disk, and closes it.
func tidy(ctx context.Context, d Disk) error {
	var err error
	if t, ok := d.(tidier); ok {
		err = t.Tidy(ctx)
	}
	return errors.Join(err, d.Close())
}

// tidyBehind does so while the builder is used. The channel is closed when it is done,
// which has to be before the supervisor ends: the disk may be mounted for it.
func (s *supervisor) tidyBehind(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pool, err := s.host.openDisk(s.inst.Disk, s.inst.Keep, nil)
		if err == nil {
			err = tidy(ctx, pool)
		}
		if err != nil {
			s.say("%v", err)
		}
	}()
	return done
}

package disk

import (
	"context"
	"errors"
	"time"
)

// ErrSlow means that a copy could not be made in the time for which builds may
// stand still.
var ErrSlow = errors.New("the copy takes too long")

// A Pause makes those who write to a working copy stand still.
type Pause struct {
	// Begin returns once they do. resume, which is never nil, lets them go on.
	Begin func(context.Context) (resume func(), err error)
	Most  time.Duration // for which they may
}

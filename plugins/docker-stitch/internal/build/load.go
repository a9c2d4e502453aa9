package build

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// LoadInto returns a function for Options.Load, which gives the archive to the
// engine, and one that waits until the engine has taken it. The latter is called
// once, with the error of the build: what the engine says goes before that, which
// would only say that nobody took the archive.
func LoadInto(ctx context.Context, l image.Loader) (open func() (io.WriteCloser, error), wait func(built error) error) {
	var done chan error
	open = func() (io.WriteCloser, error) {
		r, w := io.Pipe()
		done = make(chan error, 1)
		go func() {
			err := image.Load(ctx, l, r)
			// The builder must not go on writing to an engine that takes no more.
			_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
			done <- err
		}()
		return w, nil
	}
	wait = func(built error) error {
		if done == nil {
			return built
		}
		if err := <-done; err != nil && ctx.Err() == nil {
			return fmt.Errorf("loading the image into the engine: %w", err)
		}
		return built
	}
	return open, wait
}

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	mobyclient "github.com/moby/moby/client"
)

// An ImageLoader is the user's engine: *client.Client of github.com/moby/moby.
type ImageLoader interface {
	ImageLoad(ctx context.Context, input io.Reader, opts ...mobyclient.ImageLoadOption) (mobyclient.ImageLoadResult, error)
}

// LoadInto returns a function for Options.Load, which gives the archive to the
// engine, and one that waits until the engine has taken it. The latter is called
// once, with the error of the build: what the engine says goes before that, which
// would only say that nobody took the archive.
func LoadInto(ctx context.Context, l ImageLoader) (open func() (io.WriteCloser, error), wait func(built error) error) {
	var done chan error
	open = func() (io.WriteCloser, error) {
		r, w := io.Pipe()
		done = make(chan error, 1)
		go func() {
			err := load(ctx, l, r)
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

func load(ctx context.Context, l ImageLoader, r io.Reader) error {
	result, err := l.ImageLoad(ctx, r)
	if err != nil {
		return err
	}
	defer result.Close()
	dec := json.NewDecoder(io.LimitReader(result, maxAnswer))
	for {
		var message struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the engine's answer: %w", err)
		}
		if message.Error != "" {
			return errors.New(message.Error)
		}
	}
}

// maxAnswer bounds what an engine says about a load.
const maxAnswer = 16 << 20

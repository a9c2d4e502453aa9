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

// An Engine loads images from docker archives.
type Engine struct {
	ctx    context.Context //nolint:containedctx // lives as long as one build
	loader ImageLoader
	done   chan error
}

// NewEngine returns a loader for one image.
func NewEngine(ctx context.Context, l ImageLoader) *Engine {
	return &Engine{ctx: ctx, loader: l}
}

// Open returns a writer that takes the archive. It is good for
// Options.Load.
func (e *Engine) Open() (io.WriteCloser, error) {
	r, w := io.Pipe()
	e.done = make(chan error, 1)
	go func() {
		err := e.load(r)
		// The daemon must not go on writing to an engine that takes no more.
		_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		e.done <- err
	}()
	return w, nil
}

// Result waits until the engine has taken the image, if it was ever sent one.
// What the engine says goes before the build's own error, which then only says
// that nobody took the archive.
func (e *Engine) Result(built error) error {
	if e.done == nil {
		return built
	}
	if err := <-e.done; err != nil && e.ctx.Err() == nil {
		return fmt.Errorf("loading the image into the engine: %w", err)
	}
	return built
}

func (e *Engine) load(r io.Reader) error {
	result, err := e.loader.ImageLoad(e.ctx, r)
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

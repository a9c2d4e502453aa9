package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	mobyclient "github.com/moby/moby/client"
)

// A Loader is a docker engine, as far as archives are loaded into it:
// *client.Client of github.com/moby/moby, and any [Engine].
type Loader interface {
	ImageLoad(ctx context.Context, r io.Reader, o ...mobyclient.ImageLoadOption) (mobyclient.ImageLoadResult, error)
}

// maxAnswer bounds what an engine says about a load.
const maxAnswer = 16 << 20

// Load gives the engine an archive, a docker-archive or one of an OCI layout. What
// the engine answers while it loads counts as well: it says 200 OK before it has
// read the archive.
func Load(ctx context.Context, engine Loader, archive io.Reader) error {
	result, err := engine.ImageLoad(ctx, archive, mobyclient.ImageLoadWithQuiet(true))
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

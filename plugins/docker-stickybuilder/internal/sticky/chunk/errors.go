package chunk

import (
	"errors"
	"io"
)

// ErrCorrupt means that a chunk's bytes do not have the digest they should have.
var ErrCorrupt = errors.New("a chunk does not have the digest that it should have")

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

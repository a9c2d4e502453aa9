package chunk

import (
	"errors"
	"fmt"
	"io"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers the algorithm
)

// A Class is a kind of contents, by which the way of cutting is chosen. Readers
// need not know it: a chunk says where it belongs.
type Class int

const (
	Files    Class = iota // cut by contents
	Database              // pages that change in place: small blocks of one size
	Blob                  // compressed and immutable: big blocks, stored as they are
)

// Sizes of chunks in bytes.
const (
	minSize      = 64 << 10
	averageSize  = 256 << 10
	maxFilesSize = 1 << 20
	databaseSize = 8 << 10
	algorithm    = "fastcdc-v1.0.0"
)

// A Cutter cuts contents into chunks. It is for one goroutine, and keeps its
// buffer from one file to the next.
type Cutter struct {
	buf []byte
	cdc *chunkers.Chunker
}

// Cut reads r to its end and calls fn with each chunk in order. The bytes are
// valid until fn returns.
func (c *Cutter) Cut(r io.Reader, class Class, fn func([]byte) error) error {
	switch class {
	case Database:
		return c.blocks(r, databaseSize, fn)
	case Blob:
		return c.blocks(r, MaxSize, fn)
	}
	if c.cdc == nil {
		var err error
		c.cdc, err = chunkers.NewChunker(algorithm, r, &chunkers.ChunkerOpts{MinSize: minSize, NormalSize: averageSize, MaxSize: maxFilesSize})
		if err != nil {
			return fmt.Errorf("preparing to cut: %w", err)
		}
	} else {
		c.cdc.Reset(r)
	}
	for {
		data, err := c.cdc.Next()
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		if len(data) > 0 {
			if err := fn(data); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func (c *Cutter) blocks(r io.Reader, size int, fn func([]byte) error) error {
	if cap(c.buf) < size {
		c.buf = make([]byte, size)
	}
	for {
		n, err := io.ReadFull(r, c.buf[:size])
		if n > 0 {
			if err := fn(c.buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

package layer

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// gunzip reads the members of a gzip stream (RFC 1952, section 2.2) one after the
// other. Zeros after the last one are padding, which tools that write in blocks
// leave and gzip and the engines read over; anything else there is an error.
type gunzip struct {
	member *gzip.Reader
	below  *bufio.Reader
}

func newGunzip(b *bufio.Reader) (*gunzip, error) {
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gunzip{z, b}, nil
}

func (g *gunzip) Close() error { return g.member.Close() }

func (g *gunzip) Read(p []byte) (int, error) {
	for {
		n, err := g.member.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := g.next(); err != nil || n > 0 {
			return n, err
		}
	}
}

// next begins the next member; io.EOF tells that there is none.
func (g *gunzip) next() error {
	c, err := g.below.ReadByte()
	if err != nil {
		return err
	}
	if c == 0 {
		return g.padding()
	}
	if err := g.below.UnreadByte(); err != nil {
		return err
	}
	err = g.member.Reset(g.below)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // a part of a header
	}
	g.member.Multistream(false)
	return err
}

func (g *gunzip) padding() error {
	for {
		switch c, err := g.below.ReadByte(); {
		case err != nil:
			return err
		case c != 0:
			return gzip.ErrHeader
		}
	}
}

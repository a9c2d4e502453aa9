package repack

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestAheadGivesWhatItReads(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{0, 1, aheadSize, aheadSize + 1, 10*aheadSize + 7} {
		want := text(uint64(size), size)
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(want), "pieces": iotest.HalfReader(bytes.NewReader(want)), "end with data": iotest.DataErrReader(bytes.NewReader(want)),
		} {
			a := readAhead(io.MultiReader(r, iotest.ErrReader(broken)))
			got, err := io.ReadAll(a)
			if !errors.Is(err, broken) || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %s: got %d bytes and %v", size, name, len(got), err)
			}
			a.Close()
		}
	}
}

func TestAheadStops(t *testing.T) {
	reads := 0
	endless := readerFunc(func(p []byte) (int, error) { reads++; return len(p), nil })
	a := readAhead(endless)
	if _, err := io.ReadFull(a, make([]byte, aheadSize+10)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if now := reads; now > aheadDepth+2 {
		t.Errorf("it read %d buffers ahead", now)
	}
	before := reads // a race, and with -race a failure, if anything still reads
	a.Close()
	if _, err := a.Read(make([]byte, 1<<20)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("reading on gives %v", err)
	}
	if reads != before {
		t.Error("it reads on")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

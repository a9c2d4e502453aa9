package repack

import "io"

const (
	// aheadSize is how much one hand-over between two stages holds: enough that
	// the hand-over itself costs nothing.
	aheadSize = 256 << 10
	// aheadDepth is how many of them may be under way.
	aheadDepth = 4
)

// An ahead reads in a goroutine of its own what its reader will want next, so that
// the stages of reading one layer (fetching and checking it, decompressing,
// hashing and spooling its files) run beside each other. It holds aheadDepth
// buffers, whatever it reads.
type ahead struct {
	full    chan []byte
	free    chan []byte
	stop    chan struct{}
	stopped bool
	failure error // why full was closed
	buf     []byte
	rest    []byte
}

func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan []byte, aheadDepth), free: make(chan []byte, aheadDepth), stop: make(chan struct{})}
	for range aheadDepth {
		a.free <- make([]byte, aheadSize)
	}
	go a.fill(r)
	return a
}

func (a *ahead) fill(r io.Reader) {
	defer close(a.full)
	for a.failure == nil {
		var b []byte
		select {
		case b = <-a.free:
		case <-a.stop:
			a.failure = io.ErrClosedPipe
			return
		}
		n := 0
		for n < len(b) && a.failure == nil {
			var k int
			k, a.failure = r.Read(b[n:])
			n += k
		}
		select {
		case a.full <- b[:n]:
		case <-a.stop:
			a.failure = io.ErrClosedPipe
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.buf != nil {
			a.free <- a.buf[:aheadSize]
			a.buf = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.failure
		}
		a.buf, a.rest = b, b
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close returns when nothing reads any more, at the latest after the read that is
// under way. Its reader may then be used by others.
func (a *ahead) Close() error {
	if !a.stopped {
		a.stopped = true
		close(a.stop)
		for range a.full { // until fill has ended
		}
	}
	return nil
}

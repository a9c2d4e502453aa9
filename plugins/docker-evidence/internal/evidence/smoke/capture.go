package smoke

import (
	"io"
	"sync"
)

// Bounds of what is kept of one command's output, and of a suite's log.
const (
	maxOutput   = 1 << 20   // of stdout and of stderr, for patterns
	maxEntry    = 256 << 10 // of both as they came, for the log
	maxSuiteLog = 16 << 20
)

// A capture keeps what one process writes: each stream by itself for patterns,
// and both in the order in which they came for the log.
type capture struct {
	mu   sync.Mutex
	out  bounded
	err  bounded
	both bounded
}

func newCapture() *capture {
	return &capture{out: bounded{max: maxOutput}, err: bounded{max: maxOutput}, both: bounded{max: maxEntry}}
}

func (c *capture) stdout() io.Writer { return side{c, &c.out} }
func (c *capture) stderr() io.Writer { return side{c, &c.err} }

type side struct {
	c   *capture
	own *bounded
}

func (s side) Write(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.own.add(p)
	s.c.both.add(p)
	return len(p), nil
}

// bounded keeps the first max bytes and counts the rest.
type bounded struct {
	max     int
	bytes   []byte
	dropped int64
}

func (b *bounded) add(p []byte) {
	n := min(len(p), b.max-len(b.bytes))
	b.bytes = append(b.bytes, p[:n]...)
	b.dropped += int64(len(p) - n)
}

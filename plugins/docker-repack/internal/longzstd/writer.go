package longzstd

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Bounds of [Options.Window].
const (
	MinWindow = maxBlock
	MaxWindow = 1 << 29 // what the decoders of engines take by default
)

// Options are what a [Writer] is made with.
type Options struct {
	// Window is how far back repetitions are looked for, in bytes: a power of two.
	Window int
	// Reach is the largest distance that [Writer.Repeat] will be told of, in bytes; less
	// than Window counts as that. Who decompresses needs as much memory.
	Reach int64
	// Deep looks harder, and takes several times as long.
	Deep bool
}

// A finder finds matches that are near.
type finder interface {
	// find adds the sequences of b[start:end] to the block, with matches that reach back
	// to low at most. Literals begin at anchor; it returns where those begin that are
	// left. Base is the position of b.
	find(b []byte, base, anchor, start, end, low int, out *block) int
	// insert remembers what is at i.
	insert(b []byte, base, i int)
	// used tells of a distance that somebody else has used.
	used(distance int)
	reset()
}

// Memory is what a [Writer] takes, in bytes.
func (o Options) Memory() int64 {
	tables := int64(8<<longBits + 4<<shortBits)
	if o.Deep {
		tables = rowBytes<<rowBits + 8<<eightBits + 4<<fourBits
	}
	return int64(o.Window+o.slack()) + farBytes<<farBits(o.Window) + tables + blocksMemory
}

// blocksMemory is about what the blocks under way take, in bytes: sequences, literals, output.
const blocksMemory = 3 << 20

// slack is what the history has room for beside the window.
func (o Options) slack() int { return max(o.Window/4, 4*maxBlock) }

// A Writer compresses what is written to it as one frame. It is not safe for use by
// several goroutines. Blocks are compressed in goroutines of its own, beside what the caller
// does.
type Writer struct {
	opts     Options
	err      error
	begun    bool
	closed   bool
	history  []byte
	start    int   // of the block that is being filled, in the history
	base     int   // position of the beginning of the history
	gone     int64 // bytes of the stream before the history
	known    []repeat
	pipeline pipeline
}

// NewWriter returns a writer of one frame. It fails for a window or a reach that is out of
// bounds; calls of the writer fail with what w answers.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	if o.Window < MinWindow || o.Window > MaxWindow || o.Window&(o.Window-1) != 0 {
		return nil, fmt.Errorf("a window of %d bytes is not a power of two from %d to %d", o.Window, MinWindow, MaxWindow)
	}
	if o.Reach < 0 || o.Reach > MaxWindow {
		return nil, fmt.Errorf("a reach of %d bytes is not from 0 to %d", o.Reach, MaxWindow)
	}
	z := &Writer{opts: o, history: huge(make([]byte, 0, o.Window+o.slack())), pipeline: pipeline{far: newFar(o.Window), near: newNear()}}
	if o.Deep {
		z.pipeline.near = newDeep()
	}
	z.Reset(w)
	return z, nil
}

// Reset makes the writer what it was when it was new, for another frame.
func (z *Writer) Reset(w io.Writer) {
	_ = z.pipeline.wait() // of what nobody wants any more
	z.err, z.begun, z.closed = nil, false, false
	z.history, z.start, z.gone, z.known = z.history[:0], 0, 0, nil
	// An empty entry of a table is farther away than the window, or taken for a place that is compared.
	z.base = z.opts.Window + 1
	z.pipeline.reset(w)
}

var errClosed = errors.New("the compressor is closed")

// Write compresses p.
func (z *Writer) Write(p []byte) (int, error) {
	if z.closed {
		return 0, errClosed
	}
	for n := 0; ; {
		room := maxBlock - (len(z.history) - z.start)
		k := min(room, len(p)-n)
		z.history = append(z.history, p[n:n+k]...)
		if n += k; n == len(p) {
			return n, z.err
		}
		if z.block(false); z.err != nil {
			return n, z.err
		}
	}
}

// Flush ends a block and returns when all that was written is out.
func (z *Writer) Flush() error {
	if len(z.history) > z.start {
		z.block(false)
	}
	z.wait()
	return z.err
}

// Close ends the frame. It does not close the writer below.
func (z *Writer) Close() error {
	if z.closed {
		return z.err
	}
	z.block(true)
	z.wait()
	z.closed = true
	return z.err
}

// wait waits for all blocks that are under way.
func (z *Writer) wait() {
	if err := z.pipeline.wait(); z.err == nil {
		z.err = err
	}
}

// block has what was written since the last block compressed.
func (z *Writer) block(last bool) {
	if z.err != nil {
		return
	}
	j, err := z.pipeline.next()
	if err != nil {
		z.err = err
		return
	}
	end := len(z.history)
	j.history, j.base, j.start, j.low = z.history, z.base, z.start, max(0, end-z.opts.Window)
	j.known = z.repeats(j.known[:0], end)
	j.block = block{raw: z.history[z.start:], literals: j.literals[:0], sequences: j.sequences[:0], last: last}
	if j.header = nil; !z.begun {
		j.header = header(max(uint64(z.opts.Window), uint64(z.opts.Reach)))
	}
	z.begun = true
	z.pipeline.run(j)
	z.start = end
	if cap(z.history)-end < maxBlock {
		z.wait()
		z.slide()
	}
}

// Repeat tells that the next n bytes to be written are those that were written distance
// bytes before. The history need not have them any more, and they are not looked at; but
// if distance is more than [Options.Reach], or than there is, nothing comes of it. Of what
// has been told of twice, the first counts.
func (z *Writer) Repeat(n, distance int64) {
	at := len(z.history)
	if n < farMatch || distance <= 0 || distance > min(max(z.opts.Reach, int64(z.opts.Window)), z.gone+int64(at)) {
		return
	}
	z.known = append(z.known, repeat{match{at, at, int(distance)}, n})
}

// A repeat is a match that somebody has told of.
type repeat struct {
	match
	left int64 // bytes of it that are not yet a match
}

// repeats appends the matches that have been told of, as far as they are in the block that
// goes up to end.
func (z *Writer) repeats(known []match, end int) []match {
	at := z.start
	for len(z.known) > 0 {
		k := &z.known[0]
		if over := at - k.start; over > 0 {
			k.start, k.left = at, max(k.left-int64(over), 0)
		}
		at = k.start + int(min(int64(end-k.start), k.left))
		if at-k.start >= minMatch { // what a block has of it may be less
			known = append(known, match{k.start, at, k.distance})
		}
		k.left -= int64(at - k.start)
		if k.start = end; k.left > 0 {
			break
		}
		z.known = z.known[1:]
	}
	return known
}

// slide makes room in the history by letting go of what lies before the window.
func (z *Writer) slide() {
	n := len(z.history) - z.opts.Window
	copy(z.history, z.history[n:])
	z.history = z.history[:z.opts.Window]
	z.start -= n
	z.base += n
	z.gone += int64(n)
	for i := range z.known {
		z.known[i].start -= n
	}
	if z.base > lastBase {
		z.forget()
	}
}

// lastBase is such that positions after it fit into 31 bits, as long as histories are.
const lastBase = 1 << 30

// forget lets go of all positions before they no longer fit into tables.
func (z *Writer) forget() {
	z.base = z.opts.Window + 1
	z.pipeline.forget()
}

// header returns the header of a frame: RFC 8878 section 3.1.1.1, with the least window
// that is as large as asked for, and nothing else.
func header(window uint64) []byte {
	log := bits.Len64(window) - 1
	eighths := (window - 1<<log + 1<<log/8 - 1) / (1 << log / 8)
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(uint64(log-10)<<3 + eighths)}
}

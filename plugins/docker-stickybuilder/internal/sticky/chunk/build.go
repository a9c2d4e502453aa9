package chunk

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// Bounds in bytes. A pack is closed by the first block that takes its blob to the size
// that is aimed at, so that no blob is bigger than MaxPack.
const (
	PackSize  = 24 << 20 // that is aimed at
	MaxPack   = 32 << 20
	MaxRaw    = 256 << 20 // of a pack's chunks, also where they compress to little
	blockSize = 4 << 20   // of chunks that are compressed together
)

// A Builder gathers chunks into packs of one encoding. The same chunks in the same
// order give the same packs, whatever the number of processors.
type Builder struct {
	encoding Encoding
	target   int
	placed   func(ID, Location)
	emit     func(*Pack, []byte) error
	encoder  *zstd.Encoder

	block *block   // that is being gathered
	queue []*block // that are being compressed, in their order
	spare *block   // to be used again

	blob bytes.Buffer
	open *Pack
}

// A block is chunks that are compressed together, to a zstd frame of their own: so blocks
// need not wait for each other.
type block struct {
	ids   []ID
	sizes []int
	data  []byte
	coded []byte
	done  chan struct{} // closed when coded is there
}

// NewBuilder makes a Builder. It tells placed where each chunk is, and hands each finished
// pack with its blob to emit, which owns the bytes from then on; both during calls
// of Add and Flush. A pack's blob has target bytes or some more, at most [PackSize]; its
// digest and sizes are there once it was emitted.
func NewBuilder(e Encoding, target int, placed func(ID, Location), emit func(*Pack, []byte) error) (*Builder, error) {
	b := &Builder{encoding: e, target: min(target, PackSize), placed: placed, emit: emit, block: &block{}, open: &Pack{Encoding: e}}
	if e == Zstd {
		var err error
		if b.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(windowSize)); err != nil {
			return nil, fmt.Errorf("preparing to compress: %w", err)
		}
	}
	return b, nil
}

// Add takes a chunk, the data of which are not needed any more when it returns.
func (b *Builder) Add(id ID, data []byte) error {
	if len(b.block.data)+len(data) > min(blockSize, b.target/4) {
		if err := b.code(runtime.GOMAXPROCS(0)); err != nil {
			return err
		}
	}
	b.block.ids = append(b.block.ids, id)
	b.block.sizes = append(b.block.sizes, len(data))
	b.block.data = append(b.block.data, data...)
	return nil
}

// Flush closes the open pack, if anything is in it. Everything is placed and emitted then.
func (b *Builder) Flush() error {
	if err := b.code(0); err != nil {
		return err
	}
	return b.closePack()
}

// code begins to compress the block, and waits until at most waiting are not done.
func (b *Builder) code(waiting int) error {
	if n := b.block; len(n.data) > 0 {
		n.done = make(chan struct{})
		b.queue = append(b.queue, n)
		if b.encoder == nil {
			n.coded = append(n.coded[:0], n.data...)
			close(n.done)
		} else {
			go func() {
				n.coded = b.encoder.EncodeAll(n.data, n.coded[:0])
				close(n.done)
			}()
		}
		b.block, b.spare = b.spare, nil
		if b.block == nil {
			b.block = &block{}
		}
	}
	for len(b.queue) > waiting {
		next := b.queue[0]
		b.queue = b.queue[1:]
		<-next.done
		if err := b.put(next); err != nil {
			return err
		}
		next.ids, next.sizes, next.data = next.ids[:0], next.sizes[:0], next.data[:0]
		b.spare = next
	}
	return nil
}

// put appends a block to the open pack. Where packs end is decided here, in the order of
// the blocks.
func (b *Builder) put(n *block) error {
	if b.open.Raw+int64(len(n.data)) > MaxRaw {
		if err := b.closePack(); err != nil {
			return err
		}
	}
	for i, id := range n.ids {
		b.placed(id, Location{Pack: b.open, Offset: b.open.Raw})
		b.open.Raw += int64(n.sizes[i])
	}
	b.blob.Write(n.coded)
	if b.blob.Len() >= b.target {
		return b.closePack()
	}
	return nil
}

func (b *Builder) closePack() error {
	if b.open.Raw == 0 {
		return nil
	}
	p, blob := b.open, b.blob.Bytes()
	p.Digest, p.Size = sha256.Sum256(blob), int64(len(blob))
	b.blob, b.open = bytes.Buffer{}, &Pack{Encoding: b.encoding}
	return b.emit(p, blob)
}

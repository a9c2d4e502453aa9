package repack

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// attempts is how often a layer is asked for when the transport fails in the
// middle of it. The registry client has already retried each request.
const attempts = 3

// pause is how long the second attempt waits, and the third twice as long.
const pause = 500 * time.Millisecond

// A scanned image is its tree, and where in the spool the contents are.
type scanned struct {
	tree     *layer.Tree
	digest   string      // canonical, of the tree; "" before it is planned
	contents []*contents // by source layer; nil without a spool
	files    int         // in all layers, hidden ones included
	bytes    int64
	layers   []scannedLayer
	hidden   *graveyard // nil unless asked for
	sets     []*layer.Changeset
	kept     []*keptLayer // under the new layers, once it is planned
	doubts   doubts
	base     base
}

// A scannedLayer is what is known of one source layer before merging.
type scannedLayer struct {
	entries int   // whiteouts and markers included
	bytes   int64 // contents of its files
	tar     int64 // the uncompressed layer
}

// contents finds the files of one source layer in the spool.
type contents struct {
	segment  *segment
	ordinals []int32
	offsets  []int64
}

func (c *contents) offset(ordinal int32) int64 {
	i, _ := slices.BinarySearch(c.ordinals, ordinal)
	return c.offsets[i]
}

// locate returns where in the spool a content is.
func (s *scanned) locate(from layer.Position) (*segment, int64) {
	c := s.contents[from.Layer]
	return c.segment, c.offset(from.Ordinal)
}

// estimate returns about how many compressed bytes a file's content takes, as the
// spool's frames have it.
func (s *scanned) estimate(in *layer.Inode) float64 {
	segment, off := s.locate(in.Source)
	sum := 0.0
	for p := range segment.pieces(off, in.Size) {
		sum += p.packed
	}
	return sum
}

// scan reads all layers of an image, at most jobs at a time and as many as memory
// has room for, and merges them. Contents go to the spool, and the names that
// layers hide to hidden; either may be nil.
func scan(ctx context.Context, o *original, sp *spool, hidden *graveyard, opts Options, step progress.Step) (*scanned, error) {
	n := len(o.manifest.Layers)
	s := &scanned{contents: make([]*contents, n), layers: make([]scannedLayer, n), hidden: hidden}
	sets := make([]*layer.Changeset, n)
	s.sets = sets
	memory := newBudget(opts.Memory, 0)
	quota := layer.NewQuota(opts.Limits)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(opts.Jobs, 1))
	for _, i := range largestFirst(o.manifest.Layers) {
		d := o.manifest.Layers[i]
		g.Go(func() error {
			l := layerBlob{store: o.store, index: i, descriptor: d, diffID: o.config.RootFS.DiffIDs[i], quota: quota}
			var err error
			if sets[i], s.contents[i], s.layers[i].tar, err = l.scan(ctx, memory, sp, step); err != nil {
				return fmt.Errorf("reading layer %d, %s: %w", i, d.Digest, explainLayer(err))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, c := range sets {
		s.layers[i].entries, s.layers[i].bytes = c.Len(), c.Bytes
		s.files += c.Files
		s.bytes += c.Bytes
	}
	observer := layer.Observer{Ambiguous: s.doubts.add}
	if hidden != nil {
		observer.Hidden = hidden.add
	}
	var err error
	if s.tree, err = layer.MergeObserved(sets, observer); err != nil {
		return nil, fmt.Errorf("merging the layers of %s: %w", o.descriptor.Digest, explainLayer(err))
	}
	return s, nil
}

// largestFirst returns the order in which layers are begun: a large one that comes
// last would be read while the other workers have nothing left to do.
func largestFirst(layers []v1.Descriptor) []int {
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(layers[b].Size, layers[a].Size) })
	return order
}

// A layerBlob is a layer as a store has it.
type layerBlob struct {
	store      Store
	index      int // in its image
	descriptor v1.Descriptor
	diffID     v1.Hash
	memory     int64        // that reading it takes; 0 if that is not known
	like       *layer.Tree  // that it is expected to be a part of, if any
	quota      *layer.Quota // that it shares with other layers, if any
}

// scan reads the layer once, its contents into the spool if there is one, and
// again from the beginning if the transport fails. It also returns how long the
// uncompressed layer is.
func (l layerBlob) scan(ctx context.Context, memory *budget, sp *spool, step progress.Step) (*layer.Changeset, *contents, int64, error) {
	need := cmp.Or(l.memory, readingMemory(l.descriptor))
	most := need
	for try := 1; ; try++ {
		giveBack, err := memory.borrow(ctx, need)
		if err != nil {
			return nil, nil, 0, err
		}
		set, c, n, err := l.scanOnce(ctx, most, sp, step)
		giveBack()
		var more moreMemory
		if errors.As(err, &more) {
			need, most = int64(more), math.MaxInt64 // whatever comes now: it has been asked once
			try--
			continue
		}
		var transient fetchError
		if err == nil || ctx.Err() != nil || !errors.As(err, &transient) {
			return set, c, n, err
		}
		if try == attempts {
			if fault.HintOf(err) == "" {
				err = fault.Hint(err, "the connection broke %d times: try again later", try)
			}
			return nil, nil, 0, err
		}
		fmt.Fprintf(step, "layer %d: %v; asking again\n", l.index, err)
		select {
		case <-time.After(time.Duration(try) * pause):
		case <-ctx.Done():
			return nil, nil, 0, context.Cause(ctx)
		}
	}
}

// scanOnce reads the layer, or says that this takes more memory than it may have.
func (l layerBlob) scanOnce(ctx context.Context, memory int64, sp *spool, step progress.Step) (*layer.Changeset, *contents, int64, error) {
	d := l.descriptor
	raw, err := l.store.Blob(ctx, d)
	if err != nil {
		if passing(err) {
			err = fetchError{err}
		}
		return nil, nil, 0, err
	}
	id := fmt.Sprintf("layer %d %s", l.index, d.Digest.Hex[:12])
	raw, err = verify(raw, d, func(n int64) { step.Bytes(id, n, d.Size) })
	if err != nil {
		return nil, nil, 0, err
	}
	defer raw.Close()
	// Fetching and checking, decompressing, and all that is done with the tar
	// stream: three stages side by side, so that one large layer keeps more than
	// one processor busy.
	blob := readAhead(raw)
	defer blob.Close()
	packed := bufio.NewReaderSize(blob, aheadSize)
	if need := layer.DecompressMemory(packed) + readersMemory; need > memory {
		return nil, nil, 0, moreMemory(need)
	}
	decompressed, err := layer.Decompress(packed)
	if err != nil {
		return nil, nil, 0, blame(ctx, blob, err)
	}
	defer decompressed.Close()
	plain := readAhead(decompressed)
	defer plain.Close()
	checked := &diffID{r: plain, hash: sha256.New(), want: l.diffID}

	opts := layer.Options{Like: l.like, Quota: l.quota}
	var c *contents
	if sp != nil {
		c = &contents{segment: sp.segment(ctx)}
		opts.File = func(ordinal int, size int64, sum hash.Hash) (io.Writer, error) {
			offset, w, err := c.segment.content(size, sum)
			c.ordinals = append(c.ordinals, int32(ordinal))
			c.offsets = append(c.offsets, offset)
			return w, err
		}
	}
	set, err := layer.Scan(ctx, checked, opts)
	if c != nil {
		err = c.segment.end(err)
	}
	plain.Close() // what is left of the blob is now ours
	return set, c, checked.n, blame(ctx, blob, err)
}

// blame returns the reason why a blob could not be unpacked: if its digest is
// wrong, then that, and not what the decoder stumbled over.
func blame(ctx context.Context, blob io.Reader, err error) error {
	var transport fetchError
	var disk syscall.Errno
	if err == nil || ctx.Err() != nil || errors.As(err, &transport) || errors.As(err, &disk) || errors.Is(err, layer.ErrTooLarge) {
		return err
	}
	if _, rest := io.Copy(io.Discard, blob); errors.Is(rest, ErrDigest) {
		return rest
	}
	return err
}

// diffID checks the uncompressed stream against the image's config, as engines do.
type diffID struct {
	r    io.Reader
	hash hash.Hash
	want v1.Hash
	n    int64
}

func (d *diffID) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.hash.Write(p[:n])
	d.n += int64(n)
	if errors.Is(err, io.EOF) {
		if got := hex.EncodeToString(d.hash.Sum(nil)); got != d.want.Hex || d.want.Algorithm != "sha256" {
			return n, fmt.Errorf("%w: the config's diff_id is %s, the content's sha256:%s", ErrDigest, d.want, got)
		}
	}
	return n, err
}

package ocidisk

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

// takePacks fetches all packs that hold something wanted, and notes each that is done
// with in a file, so that it is not fetched again.
func (f *filler) takePacks(ctx context.Context, journal string) error {
	done := map[chunk.ID]bool{}
	if text, err := os.ReadFile(journal); err == nil {
		for line := range bytes.Lines(text) {
			var id chunk.ID
			if n, err := hex.Decode(id[:], bytes.TrimSpace(line)); err == nil && n == len(id) {
				done[id] = true
			}
		}
	}
	log, err := os.OpenFile(journal, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	packs, wanted := f.plan(done)
	var noting sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.disk.options.Jobs)
	for _, p := range packs {
		g.Go(func() error {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			read := func(r io.Reader) error { return f.take(gctx, p, r, wanted[p.Digest]) }
			if data := f.inline[digestOf(p)]; data != nil {
				return read(bytes.NewReader(data))
			}
			err := f.disk.client.GetBlob(gctx, digestOf(p).String(), func(n int) { f.meter.count("packs", n) }, read)
			if err != nil {
				return err
			}
			noting.Lock()
			defer noting.Unlock()
			_, err = fmt.Fprintln(log, p.Digest)
			return err
		})
	}
	return g.Wait()
}

// take writes what is wanted of a pack. Its parts are decoded, verified and written
// at the same time, as far as there are processors for it, while the next ones come.
func (f *filler) take(ctx context.Context, p *chunk.Pack, r io.Reader, wanted []chunk.Wanted) error {
	g, gctx := errgroup.WithContext(ctx)
	err := chunk.Split(gctx, p, r, wanted, func(part *chunk.Part) error {
		select {
		case f.busy <- struct{}{}:
		case <-gctx.Done():
			part.Drop()
			return context.Cause(gctx)
		}
		g.Go(func() error {
			defer func() { <-f.busy }()
			w := f.applier.Writer()
			err := part.Read(func(run []chunk.Wanted, data []byte) error {
				if err := f.wait(gctx); err != nil {
					return err
				}
				return f.write(w, run, data)
			})
			return errors.Join(err, w.Close())
		})
		return nil
	})
	if failed := g.Wait(); failed != nil {
		return failed
	}
	return err
}

// plan sorts the wanted chunks by pack.
func (f *filler) plan(done map[chunk.ID]bool) (packs []*chunk.Pack, wanted map[chunk.ID][]chunk.Wanted) {
	wanted = map[chunk.ID][]chunk.Wanted{}
	sizes := map[chunk.ID]int{}
	for i := range f.tree.Entries {
		for _, p := range f.tree.Entries[i].Content {
			sizes[p.ID] = p.Size
		}
	}
	var total int64
	for _, id := range f.sizes {
		at := f.tree.Places[id]
		if _, ok := f.targets[id]; !ok || done[at.Pack.Digest] {
			continue
		}
		if _, ok := wanted[at.Pack.Digest]; !ok {
			packs = append(packs, at.Pack)
			total += at.Pack.Size
		}
		wanted[at.Pack.Digest] = append(wanted[at.Pack.Digest], chunk.Wanted{ID: id, Offset: at.Offset, Size: sizes[id]})
	}
	f.meter.expect("packs", total)
	return slices.Clip(packs), wanted
}

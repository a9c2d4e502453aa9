package repack

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A stored layer is written, at the destination and, with Options.Verify, read back
// from there.
type stored struct {
	*written
	sent bool             // the destination did not have it
	back *layer.Changeset // what the destination gives; nil if not asked for
}

// A line makes layers: it compresses, uploads and reads them back. Who waits for the
// destination stands beside the compressors, which are as many as there are jobs and
// as memory and temporary disk have room for.
type line struct {
	*run
	s           *scanned
	room        *room
	memory      *budget
	compressors chan struct{}
	step        progress.Step
}

// layers makes the output layers, in rounds: first those that can be written at once,
// then, as soon as these have been compressed, some of what they had no room for, until
// nothing is left. It returns the plan as it has been carried out, and the layers, kept
// ones first.
func (r *run) layers(ctx context.Context, s *scanned, p *plan.Plan, room *room, prefix string) (carriedOut *plan.Plan, out []*stored, err error) {
	step := r.opts.Progress.Step(prefix + "writing layers")
	defer func() { step.Done(err) }()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * r.opts.Jobs)
	l := &line{r, s, room, newBudget(r.opts.Memory, s.tree.Len()), make(chan struct{}, r.opts.Jobs), step}
	for i, k := range s.kept {
		w := &stored{written: k.written()}
		out = append(out, w)
		g.Go(func() (err error) {
			if w.sent, err = r.put(ctx, k); err != nil {
				return err
			}
			return l.readBack(ctx, w, i)
		})
	}
	made := make([]*stored, len(p.Layers))
	for begun, key := len(s.kept), 0; ; {
		ends := make([]plan.End, len(p.Layers))
		var compressed sync.WaitGroup
		for _, i := range ready(p) {
			begun++
			t := task{p, i, key + i, fmt.Sprintf("layer %d of %d", begun, p.Len()), &stored{}}
			made[i] = t.out
			compressed.Add(1)
			g.Go(func() error {
				over := sync.OnceFunc(compressed.Done)
				defer over()
				return l.make(ctx, t, func(rest []*plan.Unit) {
					ends[t.index] = plan.End{Rest: rest, Size: float64(t.out.descriptor.Size)}
					over()
				})
			})
		}
		if !p.Waits() {
			break
		}
		compressed.Wait()
		if slices.ContainsFunc(made, func(w *stored) bool { return w != nil && w.written == nil }) {
			return nil, nil, g.Wait()
		}
		key += len(p.Layers)
		next, was := p.Settle(ends)
		s.reassign(room.spool, next, key)
		again := make([]*stored, len(next.Layers))
		for i, before := range was {
			if before >= 0 {
				again[i] = made[before]
			}
		}
		p, made = next, again
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	return p, append(out, made...), nil
}

// ready returns which layers can be written, those first that will take longest: a long one
// that is begun last would keep others waiting while it has only one worker.
func ready(p *plan.Plan) []int {
	var out []int
	sizes := make([]int64, len(p.Layers))
	for i, l := range p.Layers {
		if !l.Waits && !l.Written {
			out, sizes[i] = append(out, i), rawSize(&l)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	return out
}

// A task is one layer of a plan that has to be made. Key tells it from all others that
// share the room.
type task struct {
	plan       *plan.Plan
	index, key int
	id         string
	out        *stored
}

// make makes one layer. Compressed is called as soon as that has been done, with the
// units that the layer had no room for.
func (l *line) make(ctx context.Context, t task, compressed func(rest []*plan.Unit)) error {
	select {
	case l.compressors <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	planned := &t.plan.Layers[t.index]
	if err := l.room.enter(ctx, t.key, int64(planned.Cost())); err != nil {
		return err
	}
	giveBack, err := l.memory.borrow(ctx, l.codec.memory(rawSize(planned)))
	if err != nil {
		return err
	}
	w, rest, err := writeLayer(ctx, l.s, t.plan, t.index, l.codec, l.opts.TempDir, func(done, total int64) {
		l.step.Bytes("compressing "+t.id, done, total)
	})
	giveBack()
	<-l.compressors
	if err != nil {
		return fmt.Errorf("writing %s: %w", t.id, err)
	}
	t.out.written = w
	l.s.postpone(l.room.spool, rest)
	l.room.written(t.key, w.descriptor.Size)
	compressed(rest)
	t.out.sent, err = l.dst.PutBlob(ctx, w.descriptor, func() (io.ReadCloser, error) {
		return w.open(func(n int64) { l.step.Bytes("storing "+t.id, n, w.descriptor.Size) }), nil
	})
	w.remove()
	l.room.leave(t.key)
	if err != nil {
		return err
	}
	return l.readBack(ctx, t.out, len(l.s.kept)+t.index)
}

// readBack reads what the destination gives for a layer, with Options.Verify.
func (l *line) readBack(ctx context.Context, out *stored, index int) error {
	if !l.opts.Verify {
		return nil
	}
	var err error
	if out.back, _, _, err = (layerBlob{store: l.dst, index: index, descriptor: out.descriptor, diffID: out.diffID, like: l.s.tree, memory: out.reading}).scan(ctx, l.memory, nil, l.step); err != nil {
		return fmt.Errorf("reading layer %d back: %w", index, explainLayer(err))
	}
	return nil
}

package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/dockerfactory/dockerfactory/shared/buildkit/steps"
)

// A Source is the part of BuildKit's control API that a witness needs.
type Source interface {
	ListenBuildHistory(context.Context, *controlapi.BuildHistoryRequest, ...grpc.CallOption) (controlapi.Control_ListenBuildHistoryClient, error)
	UpdateBuildHistory(context.Context, *controlapi.UpdateBuildHistoryRequest, ...grpc.CallOption) (*controlapi.UpdateBuildHistoryResponse, error)
	Status(context.Context, *controlapi.StatusRequest, ...grpc.CallOption) (controlapi.Control_StatusClient, error)
}

// A Witness listens to a daemon's history and writes into a journal what is new.
// BuildKit may repeat events, change their order, and drop those in flight when
// it stops; so an event counts once per ref, and Sweep is to be called last.
type Witness struct {
	// Exhausted, if set, says whether the daemon's disk is full. BuildKit keeps
	// a build's error on that disk, and where there is no space for it the
	// record of a failed build looks like that of a good one without a result.
	Exhausted func() bool

	// Silence is how long the daemon may take to answer; 0 means 30 s. One that hangs
	// must not keep those who ask from the end.
	Silence time.Duration

	// Shared says that the daemon has had builds before the job, which go on.
	Shared bool

	source  Source
	journal *Journal
	now     func() time.Time

	mu   sync.Mutex
	seen map[string]Outcome // the latest outcome in the journal; "" for the baseline
}

// NewWitness makes a witness of source that writes into journal.
func NewWitness(source Source, journal *Journal, now func() time.Time) *Witness {
	return &Witness{source: source, journal: journal, now: now, seen: map[string]Outcome{}}
}

// baselineOutcome marks refs that the disk brought along.
const baselineOutcome Outcome = "baseline"

// Baseline notes the builds that the daemon knows before the job has begun: they
// rode along on the disk and are not the job's.
func (w *Witness) Baseline(ctx context.Context) error {
	var refs []string
	err := w.listen(ctx, &controlapi.BuildHistoryRequest{EarlyExit: true}, func(_ context.Context, r *controlapi.BuildHistoryRecord) error {
		if b := fromRecord(r); b.Outcome != Running || w.Shared {
			refs = append(refs, b.Ref)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the history on the disk: %w", err)
	}
	w.mu.Lock()
	for _, ref := range refs {
		w.seen[ref] = baselineOutcome
	}
	w.mu.Unlock()
	return w.journal.append(event{Time: w.now().UTC(), Type: eventBaseline, Refs: refs})
}

// Watch listens until ctx is done and connects again whenever the stream ends.
// It returns early only if the journal cannot be written.
func (w *Witness) Watch(ctx context.Context) error {
	for {
		err := w.listen(ctx, &controlapi.BuildHistoryRequest{}, w.note)
		var failed *journalError
		if errors.As(err, &failed) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectAfter):
		}
	}
}

const reconnectAfter = 100 * time.Millisecond

// Sweep takes over what the daemon knows now and the stream may have missed.
func (w *Witness) Sweep(ctx context.Context) error {
	if err := w.listen(ctx, &controlapi.BuildHistoryRequest{EarlyExit: true}, w.note); err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	return nil
}

// Active counts the builds that are under way.
func (w *Witness) Active(ctx context.Context) (int, error) {
	refs, err := w.Going(ctx)
	return len(refs), err
}

// Going lists the job's builds that are under way.
func (w *Witness) Going(ctx context.Context) (refs []string, err error) {
	err = w.listen(ctx, &controlapi.BuildHistoryRequest{ActiveOnly: true, EarlyExit: true}, func(_ context.Context, r *controlapi.BuildHistoryRecord) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.seen[r.Ref] != baselineOutcome {
			refs = append(refs, r.Ref)
		}
		return nil
	})
	return refs, err
}

const finalizeAtOnce = 8

// Finalize has the daemon write the traces of the job's builds now, which it
// would otherwise do some seconds after each build.
func (w *Witness) Finalize(ctx context.Context) error {
	w.mu.Lock()
	var refs []string
	for ref, o := range w.seen {
		if o != baselineOutcome && o != Running {
			refs = append(refs, ref)
		}
	}
	w.mu.Unlock()
	// Each waits for the disk, and they do not have to one after the other.
	errs := make([]error, len(refs))
	var g errgroup.Group
	g.SetLimit(finalizeAtOnce)
	for i, ref := range refs {
		g.Go(func() error {
			_, errs[i] = w.source.UpdateBuildHistory(ctx, &controlapi.UpdateBuildHistoryRequest{Ref: ref, Finalize: true})
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

func (w *Witness) listen(ctx context.Context, req *controlapi.BuildHistoryRequest, fn func(context.Context, *controlapi.BuildHistoryRecord) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil) // ends the stream when fn fails
	if req.EarlyExit {
		silence := w.Silence
		if silence <= 0 {
			silence = maxSilence
		}
		timer := time.AfterFunc(silence, func() { cancel(errSilence) })
		defer timer.Stop()
		every := fn
		fn = func(ctx context.Context, r *controlapi.BuildHistoryRecord) error {
			timer.Stop()
			defer timer.Reset(silence)
			return every(ctx, r)
		}
	}
	err := w.stream(ctx, req, fn)
	if err != nil && errors.Is(context.Cause(ctx), errSilence) {
		return errSilence
	}
	return err
}

const maxSilence = 30 * time.Second

var errSilence = errors.New("buildkitd does not answer")

func (w *Witness) stream(ctx context.Context, req *controlapi.BuildHistoryRequest, fn func(context.Context, *controlapi.BuildHistoryRecord) error) error {
	stream, err := w.source.ListenBuildHistory(ctx, req)
	if err != nil {
		return err
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Record == nil || e.Record.Ref == "" || e.Type == controlapi.BuildHistoryEventType_DELETED {
			continue
		}
		if err := fn(ctx, e.Record); err != nil {
			return err
		}
	}
}

type journalError struct{ error }

func (e *journalError) Unwrap() error { return e.error }

// note writes a record into the journal unless it says nothing new. Whether a
// build has ended is told by the record, not by the event's type.
func (w *Witness) note(ctx context.Context, r *controlapi.BuildHistoryRecord) error {
	b := fromRecord(r)
	if b.Outcome == OK && r.Result == nil && len(r.Results) == 0 && w.Exhausted != nil && w.Exhausted() {
		b.Outcome, b.Error = Failed, "the disk was full, and BuildKit could not write down how the build ended"
	}
	if !w.news(b) {
		return nil
	}
	if b.Outcome != Running {
		w.count(ctx, &b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.isNews(b) {
		return nil
	}
	e := event{Time: w.now().UTC(), Type: eventStarted, Build: &b}
	if b.Outcome != Running {
		e.Type = eventComplete
	}
	if err := w.journal.append(e); err != nil {
		return &journalError{err}
	}
	w.seen[b.Ref] = b.Outcome
	return nil
}

func (w *Witness) news(b Build) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isNews(b)
}

func (w *Witness) isNews(b Build) bool {
	known, ok := w.seen[b.Ref]
	return !ok || (known == Running && b.Outcome != Running)
}

// replayTimeout bounds the count of one build's steps: the journal waits for it.
const replayTimeout = 5 * time.Second

// count counts the steps of a completed build, and their time, in the status that
// BuildKit keeps of it. Where there is none any more, the record's own numbers
// stand, which count what was loaded and exported too.
func (w *Witness) count(ctx context.Context, b *Build) {
	c, err := w.replay(ctx, b.Ref)
	if err != nil {
		if b.TotalSteps > 0 {
			b.Computed = milli(b.Seconds * max(0, 1-float64(b.CachedSteps)/float64(b.TotalSteps)))
		}
		return
	}
	b.CachedSteps, b.TotalSteps = c.Count()
	b.Computed = milli(c.Computed().Seconds())
}

// milli rounds seconds to what is worth showing.
func milli(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

func (w *Witness) replay(ctx context.Context, ref string) (*steps.Counter, error) {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	stream, err := w.source.Status(ctx, &controlapi.StatusRequest{Ref: ref})
	if err != nil {
		return nil, err
	}
	var c steps.Counter
	for {
		s, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &c, nil
		}
		if err != nil {
			return nil, err
		}
		c.Add(client.NewSolveStatus(s))
	}
}

package history

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A source plays a daemon: each call of ListenBuildHistory without EarlyExit gets
// the next of its streams, and afterwards one that stays silent.
type source struct {
	mu        sync.Mutex
	streams   [][]*controlapi.BuildHistoryRecord
	now       []*controlapi.BuildHistoryRecord // what EarlyExit gets
	finalized []string
	fail      error
	hangs     bool          // it says what it knows, and no more
	drained   chan struct{} // closed when the silent stream is reached
}

func (s *source) ListenBuildHistory(ctx context.Context, r *controlapi.BuildHistoryRequest, _ ...grpc.CallOption) (controlapi.Control_ListenBuildHistoryClient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	st := &stream{ctx: ctx}
	switch {
	case r.EarlyExit:
		for _, rec := range s.now {
			if !r.ActiveOnly || rec.CompletedAt == nil {
				st.records = append(st.records, rec)
			}
		}
		st.silent = s.hangs
	case len(s.streams) > 0:
		st.records, s.streams = s.streams[0], s.streams[1:]
	default:
		st.silent = true
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
	return st, nil
}

func (s *source) UpdateBuildHistory(_ context.Context, r *controlapi.UpdateBuildHistoryRequest, _ ...grpc.CallOption) (*controlapi.UpdateBuildHistoryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finalized = append(s.finalized, r.Ref)
	return &controlapi.UpdateBuildHistoryResponse{}, nil
}

// Status plays two statuses of one step each for the ref "a", and knows no other.
func (s *source) Status(_ context.Context, r *controlapi.StatusRequest, _ ...grpc.CallOption) (controlapi.Control_StatusClient, error) {
	if r.Ref != "a" {
		return nil, errors.New("no such build")
	}
	step := func(name string, cached bool, inputs ...string) *controlapi.StatusResponse {
		return &controlapi.StatusResponse{Vertexes: []*controlapi.Vertex{{
			Digest: name, Name: name, Inputs: inputs, Cached: cached,
			Started: timestamppb.New(began), Completed: timestamppb.New(began.Add(1500 * time.Millisecond)),
		}}}
	}
	return &replay{statuses: []*controlapi.StatusResponse{step("[internal] load", false), step("run", true, "from"), step("copy", false, "run")}}, nil
}

type replay struct {
	grpc.ClientStream
	statuses []*controlapi.StatusResponse
}

func (r *replay) Recv() (*controlapi.StatusResponse, error) {
	if len(r.statuses) == 0 {
		return nil, io.EOF
	}
	s := r.statuses[0]
	r.statuses = r.statuses[1:]
	return s, nil
}

type stream struct {
	grpc.ClientStream
	ctx     context.Context
	records []*controlapi.BuildHistoryRecord
	silent  bool
}

func (s *stream) Recv() (*controlapi.BuildHistoryEvent, error) {
	if s.silent {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	if len(s.records) == 0 {
		return nil, io.EOF
	}
	r := s.records[0]
	s.records = s.records[1:]
	// The type is wrong on purpose: the record is what counts.
	return &controlapi.BuildHistoryEvent{Type: controlapi.BuildHistoryEventType_STARTED, Record: r}, nil
}

func TestWitness(t *testing.T) {
	old, a, aDone := record("old", time.Second, codes.OK, ""), record("a", 0, codes.OK, ""), record("a", time.Second, codes.OK, "")
	b, c := record("b", 0, codes.OK, ""), record("c", time.Second, codes.Unknown, "boom")
	src := &source{
		drained: make(chan struct{}),
		now:     []*controlapi.BuildHistoryRecord{old},
		// The stream breaks twice; the replay after that repeats and reorders.
		streams: [][]*controlapi.BuildHistoryRecord{{old, a, a}, {aDone, old, a}, {b}},
	}
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := NewWitness(src, j, func() time.Time { return began })
	if err := w.Baseline(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error)
	go func() { watched <- w.Watch(ctx) }()
	<-src.drained
	// c came and went without the stream telling.
	src.now = []*controlapi.BuildHistoryRecord{old, aDone, b, c}
	if n, err := w.Active(t.Context()); n != 1 || err != nil {
		t.Errorf("%d active, %v", n, err)
	}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-watched; err != nil {
		t.Errorf("watching: %v", err)
	}
	s := read(t, path)
	s.End()
	got := map[string]Outcome{}
	for _, b := range s.Builds {
		got[b.Ref] = b.Outcome
	}
	for _, b := range s.Builds {
		// Those of a are counted; c has no status, so the record's own stand.
		want, ok := map[string][2]int{"a": {1, 2}, "c": {int(c.NumCachedSteps), int(c.NumTotalSteps)}}[b.Ref]
		if ok && [2]int{b.CachedSteps, b.TotalSteps} != want {
			t.Errorf("%s: %d of %d steps cached, want %v", b.Ref, b.CachedSteps, b.TotalSteps, want)
		}
		// Of the one that has no status any more, the share of its time.
		if want := map[string]float64{"a": 1.5, "c": 0.571}[b.Ref]; ok && b.Computed != want {
			t.Errorf("%s: %g s were computed, want %g", b.Ref, b.Computed, want)
		}
	}
	if len(got) != 3 || got["a"] != OK || got["b"] != Lost || got["c"] != Failed {
		t.Errorf("witnessed %v", got)
	}
	if err := w.Finalize(t.Context()); err != nil || len(src.finalized) != 2 {
		t.Errorf("finalized %v, %v", src.finalized, err)
	}
}

// Without a journal the witness has to say that it is deaf, at once.
func TestWitnessWithoutJournal(t *testing.T) {
	src := &source{drained: make(chan struct{}), streams: [][]*controlapi.BuildHistoryRecord{{record("a", 0, codes.OK, "")}}}
	j, err := OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	w := NewWitness(src, j, func() time.Time { return began })
	if err := w.Watch(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestWitnessWithoutDaemon(t *testing.T) {
	down := errors.New("connection refused")
	src := &source{fail: down}
	j, err := OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := NewWitness(src, j, func() time.Time { return began })
	if err := w.Sweep(t.Context()); !errors.Is(err, down) {
		t.Error(err)
	}
	if err := w.Baseline(t.Context()); !errors.Is(err, down) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Watch(ctx); err != nil {
		t.Errorf("a stream that cannot be had is tried again: %v", err)
	}
}

func TestFullDiskHidesErrors(t *testing.T) {
	good := record("good", time.Second, codes.OK, "")
	good.Result = &controlapi.BuildResultInfo{}
	for full, want := range map[bool]string{true: "bare failed, good ok, bad failed, ", false: "bare ok, good ok, bad failed, "} {
		src := &source{now: []*controlapi.BuildHistoryRecord{record("bare", time.Second, codes.OK, ""), good, record("bad", time.Second, codes.Unknown, "x")}}
		path := filepath.Join(t.TempDir(), "journal")
		j, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		w := NewWitness(src, j, func() time.Time { return began })
		w.Exhausted = func() bool { return full }
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, b := range read(t, path).Builds {
			got += b.Ref + " " + string(b.Outcome) + ", "
		}
		if got != want {
			t.Errorf("full %v: %s", full, got)
		}
	}
}

// A daemon that hangs does not keep a builder from its end.
func TestSilence(t *testing.T) {
	j, err := OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := NewWitness(&source{hangs: true, drained: make(chan struct{})}, j, time.Now)
	w.Silence = 20 * time.Millisecond
	if _, err := w.Active(t.Context()); !errors.Is(err, errSilence) {
		t.Errorf("counting: %v", err)
	}
	if err := w.Sweep(t.Context()); !errors.Is(err, errSilence) {
		t.Errorf("sweeping: %v", err)
	}
	if err := w.Baseline(t.Context()); !errors.Is(err, errSilence) {
		t.Errorf("the baseline: %v", err)
	}
}

// What a shared daemon was building before the job is not the job's, when it ends
// neither; what it goes on with is not lost.
func TestSharedWitness(t *testing.T) {
	theirs, done := record("theirs", 0, codes.OK, ""), record("theirs", time.Second, codes.OK, "")
	a, b, gone := record("a", time.Second, codes.OK, ""), record("b", 0, codes.OK, ""), record("gone", 0, codes.OK, "")
	src := &source{drained: make(chan struct{}), now: []*controlapi.BuildHistoryRecord{theirs}}
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := NewWitness(src, j, func() time.Time { return began })
	w.Shared = true
	if err := w.Baseline(t.Context()); err != nil {
		t.Fatal(err)
	}
	src.now = []*controlapi.BuildHistoryRecord{theirs, gone}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if going, err := w.Going(t.Context()); err != nil || len(going) != 1 || going[0] != "gone" {
		t.Errorf("going on: %v, %v", going, err)
	}
	src.now = []*controlapi.BuildHistoryRecord{done, a, b}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	going, err := w.Going(t.Context())
	if err != nil || len(going) != 1 {
		t.Errorf("going on: %v, %v", going, err)
	}
	s := read(t, path)
	s.End(going...)
	got := map[string]Outcome{}
	for _, b := range s.Builds {
		got[b.Ref] = b.Outcome
	}
	if len(got) != 3 || got["a"] != OK || got["b"] != Running || got["gone"] != Lost {
		t.Errorf("witnessed %v", got)
	}
}

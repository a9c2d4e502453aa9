// Package display draws progress on BuildKit's progressui, the display that
// docker build uses, so that a plugin's own steps and a real build's steps
// appear in one list.
package display

import (
	"context"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Modes are the values that --progress takes, as in docker buildx build.
var Modes = []string{"auto", "plain", "tty", "quiet", "rawjson"}

// AddFlag adds --progress, with its completion, to cmd.
func AddFlag(cmd *cobra.Command, mode *string) {
	def := "auto"
	cmd.Flags().StringVar(mode, "progress", def, `Type of progress output ("auto", "plain", "tty", "quiet", "rawjson"); BUILDKIT_PROGRESS sets the default`)
	_ = cmd.RegisterFlagCompletionFunc("progress", cobra.FixedCompletions(Modes, cobra.ShellCompDirectiveNoFileComp))
}

// A Display draws steps until it is closed.
type Display struct {
	mu     sync.Mutex
	closed bool
	seq    int
	ch     chan *client.SolveStatus
	drawn  chan error
	now    func() time.Time
}

var _ progress.Reporter = (*Display)(nil)

// New starts a display on out, usually os.Stderr. Mode is one of [Modes];
// phase is the verb in the header line, such as "repacking". It returns an error
// for an unknown mode, and for "tty" where out is no terminal.
func New(out io.Writer, mode, phase string) (*Display, error) {
	if v := os.Getenv("BUILDKIT_PROGRESS"); v != "" && (mode == "auto" || mode == "") {
		mode = v
	}
	ui, err := progressui.NewDisplay(out, progressui.DisplayMode(mode), progressui.WithPhase(phase))
	if err != nil {
		return nil, err
	}
	d := &Display{ch: make(chan *client.SolveStatus), drawn: make(chan error, 1), now: time.Now}
	go func() {
		// Not the command's context: what was under way when it was cancelled
		// must still be drawn as such.
		_, err := ui.UpdateFrom(context.Background(), d.ch)
		d.drawn <- err
	}()
	return d, nil
}

// Close draws the last state and waits for it. Steps that are still open are
// shown as they are. It is safe to call twice.
func (d *Display) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	close(d.ch)
	d.mu.Unlock()
	return <-d.drawn
}

// Solve returns a channel for the status of one BuildKit solve, whose steps are
// then drawn among the display's own, and a function that waits until all of it
// was taken over. The solver closes the channel.
func (d *Display) Solve() (chan *client.SolveStatus, func()) {
	ch, done := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(done)
		for s := range ch {
			d.send(s)
		}
	}()
	return ch, func() { <-done }
}

func (d *Display) send(s *client.SolveStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.ch <- s
	}
}

// Step implements progress.Reporter.
func (d *Display) Step(name string) progress.Step {
	d.mu.Lock()
	d.seq++
	n := d.seq
	d.mu.Unlock()
	now := d.now()
	s := &step{display: d, parts: map[string]*client.VertexStatus{}, vertex: client.Vertex{
		Digest:  digest.FromString(strconv.Itoa(n) + " " + name),
		Name:    name,
		Started: &now,
	}}
	d.send(&client.SolveStatus{Vertexes: []*client.Vertex{s.copyVertex()}})
	return s
}

type step struct {
	display *Display
	mu      sync.Mutex
	vertex  client.Vertex
	parts   map[string]*client.VertexStatus
	done    bool
}

// redraw bounds how often a part's byte count is sent on.
const redraw = 100 * time.Millisecond

func (s *step) copyVertex() *client.Vertex { v := s.vertex; return &v }

func (s *step) Bytes(id string, current, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	now := s.display.now()
	complete := total > 0 && current >= total
	part, ok := s.parts[id]
	if !ok {
		part = &client.VertexStatus{ID: id, Vertex: s.vertex.Digest, Name: id, Started: &now}
		s.parts[id] = part
	} else if part.Completed != nil || (!complete && now.Sub(part.Timestamp) < redraw) {
		return
	}
	part.Current, part.Total, part.Timestamp = current, total, now
	if complete {
		part.Completed = &now
	}
	c := *part
	s.display.send(&client.SolveStatus{Statuses: []*client.VertexStatus{&c}})
}

func (s *step) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.display.send(&client.SolveStatus{Logs: []*client.VertexLog{{
			Vertex: s.vertex.Digest, Stream: 1, Data: append([]byte(nil), p...), Timestamp: s.display.now(),
		}}})
	}
	return len(p), nil
}

func (s *step) Cached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vertex.Cached = true
}

func (s *step) Done(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	now := s.display.now()
	s.vertex.Completed = &now
	if err != nil {
		s.vertex.Error = err.Error()
	}
	s.display.send(&client.SolveStatus{Vertexes: []*client.Vertex{s.copyVertex()}})
}

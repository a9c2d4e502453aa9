package steps_test

import (
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/dockerfactory/dockerfactory/shared/buildkit/steps"
)

func TestOnlyWhatIsComputedCounts(t *testing.T) {
	base, run, copied := digest.FromString("base"), digest.FromString("run"), digest.FromString("copy")
	var c steps.Counter
	if cached, total := c.Count(); cached != 0 || total != 0 {
		t.Errorf("empty: %d of %d", cached, total)
	}
	c.Add(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: digest.FromString("load"), Name: "[internal] load build definition"},
		{Digest: base, Name: "[1/3] FROM debian"},
		{Digest: run, Name: "[2/3] RUN make", Inputs: []digest.Digest{base}},
		{Digest: copied, Name: "[3/3] COPY . .", Inputs: []digest.Digest{run}},
	}})
	c.Add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: run, Inputs: []digest.Digest{base}, Cached: true}}})
	c.Add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: run, Inputs: []digest.Digest{base}}}})
	c.Add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString("export"), Name: "exporting to image"}}})
	if cached, total := c.Count(); cached != 1 || total != 2 {
		t.Errorf("got %d of %d, want 1 of 2", cached, total)
	}
}

func TestOnlyWhatRanToItsEndIsWork(t *testing.T) {
	at := func(s int) *time.Time {
		t := time.Date(2026, 1, 2, 3, 4, s, 0, time.UTC)
		return &t
	}
	in := []digest.Digest{digest.FromString("base")}
	var c steps.Counter
	if c.Computed() != 0 {
		t.Error("nothing was computed")
	}
	c.Add(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: digest.FromString("pull"), Started: at(0), Completed: at(9)},
		{Digest: digest.FromString("run"), Inputs: in, Started: at(1)},
		{Digest: digest.FromString("cached"), Inputs: in, Cached: true, Started: at(1), Completed: at(2)},
		{Digest: digest.FromString("failed"), Inputs: in, Error: "exit code: 7", Started: at(1), Completed: at(2)},
		{Digest: digest.FromString("going on"), Inputs: in, Started: at(1)},
		{Digest: digest.FromString("beside"), Inputs: in, Started: at(3), Completed: at(5)},
	}})
	c.Add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString("run"), Inputs: in, Started: at(1), Completed: at(4)}}})
	if got := c.Computed(); got != 5*time.Second {
		t.Errorf("%s", got)
	}
}

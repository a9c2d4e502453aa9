package steps_test

import (
	"testing"

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

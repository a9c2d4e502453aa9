package layertest

import (
	"slices"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// A Case is one shape of layers that some program gets wrong.
type Case struct {
	Name string
	// Why the expected tree is right: a section of the image specification's
	// layer.md, of the tar format, or of docs/design/002-layer-application.md.
	Why    string
	Layers [][]byte // uncompressed, bottom first
	// Want is the tree, as [Expect] takes it.
	Want []Entry
	// Shapes are what merging tells of the layers, each once.
	Shapes []layer.Shape
	// AtRoot says that the shape is one at the root only.
	AtRoot bool
	// Differ names the programs that read these layers in another way or refuse
	// them, with what they do. All read what repacking makes of them alike.
	Differ map[Judge]string
	// Lost names the programs that cannot show such a tree, however its layers
	// are written.
	Lost map[Judge]string
}

// A Judge is a program from outside that unpacks images.
type Judge string

// The judges that tests know.
const (
	Kernel    Judge = "overlay"    // layers unpacked one by one, stacked by an overlay mount
	Umoci     Judge = "umoci"      // umoci 0.4.7
	OldEngine Judge = "dockerd 20" // dockerd 20.10, overlay2
	Engine    Judge = "dockerd 29" // dockerd 29, containerd's overlay snapshotter
	Podman    Judge = "podman"     // podman 4.3, overlay
)

// Torture returns all cases; names are unique.
func Torture(t testing.TB) []Case {
	return slices.Concat(whiteoutCases(t), replacementCases(t), linkCases(t), nameCases(t), attributeCases(t), formatCases(t))
}

func layersOf(t testing.TB, layers ...[]Entry) [][]byte {
	out := make([][]byte, len(layers))
	for i, l := range layers {
		out[i] = Tar(t, l...)
	}
	return out
}

// l and is shorten the tables: a layer, and what is expected.
type (
	l  = []Entry
	is = []Entry
)

const twice = "refuses duplicate entries"

// bareParent is what becomes of a directory that the layer does not list.
func bareParent() map[Judge]string {
	return map[Judge]string{
		OldEngine: "the bare parent becomes root's, 0755, with the time of unpacking",
		Podman:    "the bare parent becomes root's, 0755, with the time of unpacking",
		Engine:    "the bare parent has the time of unpacking",
	}
}

// everyone is a Differ of programs that all do the same.
func everyone(does string, judges ...Judge) map[Judge]string {
	m := map[Judge]string{}
	for _, j := range judges {
		m[j] = does
	}
	return m
}

package repack_test

import (
	"fmt"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// Files that have most of their contents in common share a layer, wherever they are in
// the image, and take the room of one of them.
func TestKinShareALayer(t *testing.T) {
	const common, other = 500_000, 100_000
	entries := []Entry{Dir("a"), File("a/first", noise(1, common)+noise(2, other)), Dir("m")}
	for i := range 30 {
		entries = append(entries, File(fmt.Sprintf("m/f%02d", i), noise(uint64(100+i), other)))
	}
	entries = append(entries, Dir("z"), File("z/last", noise(3, other)+noise(1, common)))
	host := newRegistry(t)
	push(t, host+"/kin:1", makeImage(t, "linux/amd64", Tar(t, entries...)))
	r := run(t, host+"/kin:1", host+"/kin:out", repack.Options{TargetSize: repack.MinTargetSize, Jobs: 2, Verify: true})
	if got, most := r.Images[0].BytesAfter, int64(common+32*other+50_000); got > most {
		t.Errorf("the image has %d bytes, at most %d are needed", got, most)
	}
	if r.Images[0].LayersAfter < 4 {
		t.Errorf("only %d layers: nothing was to be decided", r.Images[0].LayersAfter)
	}
}

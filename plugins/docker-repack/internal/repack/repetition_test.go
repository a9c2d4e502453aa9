package repack

import "testing"

func TestFresh(t *testing.T) {
	const window = 4 << 20
	frameOf := func(hashes ...uint32) *frame {
		f := &frame{}
		for i, h := range hashes {
			f.marks = append(f.marks, mark{uint32(i * 1000), h})
		}
		return f
	}
	whole := func(f *frame) piece { return piece{frame: f, size: frameSize} }
	a, b, c := frameOf(1, 2, 3, 4, 1, 2), frameOf(1, 2, 7, 8, 8, 8), frameOf(9)
	r := newRepetition(window)
	for i, step := range []struct {
		f    *frame
		want float64
		why  string
	}{
		{a, 1, "nothing was there before; what repeats within the frame does not count"},
		{b, 0.5, "half of what the frame does not repeat itself was in the one before"},
		{c, 1, "another"},
		{a, 0, "all of it is in the window"},
		{c, 0, "likewise"},
		{c, 0, "likewise"},
		{c, 0, "likewise"},
		{c, 0, "likewise"},
		{b, 1, "a copy beyond the window is new"},
		{a, 0.5, "likewise, but for what another frame has had since"},
	} {
		if got := r.fresh(whole(step.f)); got != step.want {
			t.Errorf("step %d: %f, want %f: %s", i, got, step.want, step.why)
		}
	}
}

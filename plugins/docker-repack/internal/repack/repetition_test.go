package repack

import (
	"cmp"
	"testing"
)

func TestFresh(t *testing.T) {
	const window = 4 << 20
	frameOf := func(hashes ...uint32) *frame {
		f := &frame{}
		for i, h := range hashes {
			f.marks = append(f.marks, mark{uint32(i * 1000), h})
		}
		return f
	}
	a, b, c, d := frameOf(1, 2, 3, 4, 1, 2), frameOf(1, 2, 7, 8, 8, 8), frameOf(9), frameOf(11, 12, 13, 14, 15)
	r := newRepetition(window)
	for i, step := range []struct {
		f    *frame
		want float64
		why  string
		part int64 // of the frame; 0 for all
	}{
		{f: a, want: 1, why: "nothing was there before; what repeats within the frame does not count"},
		{f: b, want: 0.5, why: "half of what the frame does not repeat itself was in the one before"},
		{f: c, want: 1, why: "another"},
		{f: a, want: 0, why: "all of it is in the window"},
		{f: c, want: 0, why: "likewise"},
		{f: c, want: 0, why: "likewise"},
		{f: c, want: 0, why: "likewise"},
		{f: c, want: 0, why: "likewise"},
		{f: b, want: 1, why: "a copy beyond the window is new"},
		{f: a, want: 0.5, why: "likewise, but for what another frame has had since"},
		{f: d, want: 1, part: 3500, why: "the beginning of another"},
		{f: d, want: 0, part: 3500, why: "once more, although it is near: contents may begin alike, or be a copy of a small one"},
	} {
		if got := r.fresh(piece{frame: step.f, size: cmp.Or(step.part, frameSize)}); got != step.want {
			t.Errorf("step %d: %f, want %f: %s", i, got, step.want, step.why)
		}
	}
}

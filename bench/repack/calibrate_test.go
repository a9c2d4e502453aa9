package main

import (
	"math"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/repack/internal/synth"
)

func TestRatesOf(t *testing.T) {
	want := Rates{Gzip: 75, Zstd: 220, Entry: 75 * time.Microsecond, Layer: 40 * time.Millisecond, Start: 200 * time.Millisecond}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	one := want.Start + want.Layer
	got := ratesOf(map[string]time.Duration{
		"one": one, "layers": want.Start + synth.CalibrationLayers*want.Layer,
		"entries": one + synth.CalibrationEntries*want.Entry + seconds(synth.CalibrationEntries*1024/1e6/want.Zstd),
		"zstd":    one + seconds(synth.CalibrationBytes/1e6/want.Zstd), "gzip": one + seconds(synth.CalibrationBytes/1e6/want.Gzip),
	})
	for name, pair := range map[string][2]float64{
		"gzip": {got.Gzip, want.Gzip}, "zstd": {got.Zstd, want.Zstd}, "entry": {float64(got.Entry), float64(want.Entry)},
		"layer": {float64(got.Layer), float64(want.Layer)}, "start": {float64(got.Start), float64(want.Start)},
	} {
		if math.Abs(pair[0]/pair[1]-1) > 1e-3 {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
	noise := ratesOf(map[string]time.Duration{"one": time.Second})
	if noise.Gzip <= 0 || noise.Zstd <= 0 || noise.Entry < 0 || noise.Layer <= 0 || noise.Start <= 0 {
		t.Errorf("rates of noise: %+v", noise)
	}
}

package repack

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestParseTargetSize(t *testing.T) {
	for in, want := range map[string]int64{
		"50MB": 50_000_000, "50mb": 50_000_000, "50M": 50_000_000, "48MiB": 48 << 20, "1.5g": 1_500_000_000, " 2 GiB ": 2 << 30,
		"1000000": 1_000_000, "1e6": 1_000_000, "20000 kb": 20_000_000, "50 MB": 50_000_000, "50Mi": 50 << 20, "0.001TB": 1_000_000_000,
	} {
		if got, err := ParseTargetSize(in); err != nil || got != want {
			t.Errorf("ParseTargetSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, text := range map[string]string{
		"": "not a size", "big": "not a size", "50XB": "not a size", "-5MB": "not a size", "5MBMB": "not a size", "9e99gb": "not a size", "NaN": "not a size", "inf": "not a size",
		"0": "too small", "999kB": "too small", "50": "too small",
	} {
		_, err := ParseTargetSize(in)
		if err == nil || !strings.Contains(err.Error(), text) || fault.HintOf(err) == "" {
			t.Errorf("ParseTargetSize(%q): %v, want %q and a hint", in, err, text)
		}
	}
}

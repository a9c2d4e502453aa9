package repack

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// MinTargetSize is the smallest target: below it, the headers and the parents that
// each layer repeats outweigh what small layers can win.
const MinTargetSize = 1_000_000

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "ki": 1 << 10, "kib": 1 << 10,
	"m": 1e6, "mb": 1e6, "mi": 1 << 20, "mib": 1 << 20,
	"g": 1e9, "gb": 1e9, "gi": 1 << 30, "gib": 1 << 30,
	"t": 1e12, "tb": 1e12, "ti": 1 << 40, "tib": 1 << 40,
}

// MinMemory is the least that [Options] may allow: one worker at the highest level.
const MinMemory = 256 << 20

// ParseTargetSize reads a target size: a number of bytes with an optional decimal
// or binary unit: "50MB", "48MiB", "1.5g".
func ParseTargetSize(s string) (int64, error) {
	size, err := parseSize("target size", s)
	if err == nil && size < MinTargetSize {
		err = fault.Hint(fmt.Errorf("target size %s is too small", s), "use 1MB or more; 20MB to 200MB suit most registries and engines")
	}
	return size, err
}

// ParseMemory reads a size for Options.Memory, written like a target size.
func ParseMemory(s string) (int64, error) {
	size, err := parseSize("memory", s)
	if err == nil && size < MinMemory {
		err = fault.Hint(fmt.Errorf("memory %s is too little", s), "allow 256MiB or more")
	}
	return size, err
}

func parseSize(what, s string) (int64, error) {
	digits := strings.TrimRight(strings.ToLower(strings.TrimSpace(s)), "bkmgti ")
	unit, known := sizeUnits[strings.TrimSpace(strings.ToLower(strings.TrimSpace(s))[len(digits):])]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || math.IsNaN(n) || n < 0 || n*unit > math.MaxInt64/2 {
		return 0, fault.Hint(fmt.Errorf("parsing %s %q: not a size", what, s), "write a number and a unit, such as 50MB or 48MiB")
	}
	return int64(n * unit), nil
}

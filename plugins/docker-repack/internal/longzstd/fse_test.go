package longzstd

import (
	"math"
	"testing"
)

// A logarithm that lay between two whole numbers would be rounded by chance.
func TestCostsAreTheSameEverywhere(t *testing.T) {
	for i := 1; i < len(log2); i++ {
		exact := math.Log2(float64(i)) * bit
		if d := math.Abs(exact - float64(log2[i])); d > 0.5-1e-5 {
			t.Errorf("the logarithm of %d is off by %f", i, d)
		}
	}
}

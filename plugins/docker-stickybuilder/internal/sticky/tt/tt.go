package tt

import (
	"fmt"
	"os"
	"time"
)

var start = time.Now()

func T(s string) {
	if os.Getenv("TT") != "" {
		fmt.Fprintf(os.Stderr, "%7.1f %s\n", float64(time.Since(start).Microseconds())/1000, s)
	}
}

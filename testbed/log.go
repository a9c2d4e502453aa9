package testbed

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// tick is how often a long step says that it still runs.
const tick = 20 * time.Second

// A Log tells the user, line by line, what is installed, built and started.
type Log struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLog returns a Log that writes to w, normally stderr.
func NewLog(w io.Writer) *Log { return &Log{w: w} }

// Say writes one line.
func (l *Log) Say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "testbed: %s\n", fmt.Sprintf(format, args...))
}

// Step announces work and returns the function that ends it: with the seconds
// it took, or with the fact that it failed. In between it gives a sign of life.
func (l *Log) Step(format string, args ...any) (end func(error)) {
	what := fmt.Sprintf(format, args...)
	start := time.Now()
	l.Say("%s …", what)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				l.Say("%s … %.0f s", what, time.Since(start).Seconds())
			}
		}
	}()
	return func(err error) {
		close(stop)
		<-done
		if err != nil {
			l.Say("%s: gave up after %.1f s", what, time.Since(start).Seconds())
			return
		}
		l.Say("%s: done in %.1f s", what, time.Since(start).Seconds())
	}
}

package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxWait bounds what a registry may ask for by Retry-After.
const maxWait = 30 * time.Second

// retry calls fn until it succeeds, fails for good, or has failed too often.
func (c *Client) retry(ctx context.Context, fn func(context.Context) error) error {
	wait := c.options.Backoff
	for try := 1; ; try++ {
		err := fn(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if try >= c.options.Tries || !passing(err) || (try >= triesToConnect && unreachable(err)) {
			return err
		}
		delay := wait
		var refused *Error
		if errors.As(err, &refused) && refused.After > 0 {
			delay = min(refused.After, maxWait)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
		wait = min(2*wait, maxWait)
	}
}

// triesToConnect bounds how often a registry is called that does not answer at all.
const triesToConnect = 3

// unreachable reports whether there is nobody to talk to.
func unreachable(err error) bool {
	var unknown *net.DNSError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &unknown)
}

// permanent marks an error that no further try mends.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// passing reports whether an error may be gone at the next try: answers that say so,
// and whatever happens to connections.
func passing(err error) bool {
	if errors.As(err, new(permanent)) {
		return false
	}
	var status int
	var refused *Error
	var asking *transport.Error
	switch {
	case errors.As(err, &refused):
		status = refused.Status
	case errors.As(err, &asking):
		status = asking.StatusCode
	default:
		return true
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads Retry-After in seconds; the form with a date counts as none.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, int(maxWait/time.Second))) * time.Second
}

var errStalled = errors.New("the connection has stalled")

// A watch cancels its context when nothing has moved for the client's Stall. Time in which
// nobody waits for the registry does not count.
type watch struct {
	timer *time.Timer
	stall time.Duration
	stop  func()
}

func (c *Client) watch(ctx context.Context) (context.Context, watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.options.Stall, func() { cancel(errStalled) })
	return ctx, watch{timer, c.options.Stall, func() { timer.Stop(); cancel(nil) }}
}

// A watched reader is what the registry sends, or is sent. moved is told of each read, with
// the number of bytes.
type watched struct {
	io.Reader
	watch
	sending bool // the registry is waited for between two reads, and not in them
	moved   func(int)
}

func (w watched) Read(p []byte) (int, error) {
	if !w.sending {
		w.timer.Reset(w.stall)
	}
	n, err := w.Reader.Read(p)
	if w.sending {
		w.timer.Reset(w.stall)
	} else {
		w.timer.Stop()
	}
	if w.moved != nil {
		w.moved(n)
	}
	return n, err
}

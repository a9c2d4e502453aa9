package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

const (
	// maxWaits and maxWait bound how often and how long a registry is waited for
	// that asks for patience.
	maxWaits = 6
	maxWait  = time.Minute

	// maxResumes bounds how often a download goes on without having moved.
	maxResumes = 3

	resumePause = 500 * time.Millisecond
)

// patient is the transport below the registry client. It adds what that lacks: to
// wait as long as a busy registry asks, and to go on with a download where the
// connection broke instead of from the beginning.
type patient struct {
	http.RoundTripper
	progress progress.Reporter // hears what is waited for; nil means nobody listens
}

// RoundTrip waits and asks again if the answer is 429 or 503 with Retry-After
// (RFC 9110, section 10.2.3), where the request can be sent again.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for waits := 0; ; waits++ {
		resp, err := p.RoundTripper.RoundTrip(r)
		if err != nil {
			if isBroken(err) {
				p.tell("%s broke the connection", r.URL.Host)()
			}
			return nil, err
		}
		wait, asked := retryAfter(resp)
		if !asked || waits == maxWaits || !replayable(r) {
			if isPassing(resp.StatusCode) {
				p.tell("%s answers %s", r.URL.Host, status(resp))()
			}
			return p.resumable(r, resp), nil
		}
		resp.Body.Close()
		over := p.tell("waiting %s for %s, which answers %s", wait, r.URL.Host, status(resp))
		err = pause(r.Context(), wait)
		over()
		if err != nil {
			return nil, err
		}
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = body
		}
	}
}

// tell reports what is the matter, until over is called. The registry client asks
// again after some answers, in silence and after a pause, so they are told of too.
func (p patient) tell(format string, args ...any) (over func()) {
	if p.progress == nil {
		return func() {}
	}
	step := p.progress.Step(fmt.Sprintf(format, args...))
	return func() { step.Done(nil) }
}

// isPassing reports whether the registry client asks again after an answer.
func isPassing(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

// isBroken reports whether the registry client asks again after an error.
func isBroken(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// status is an answer's status without the text that the registry gave it.
func status(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

func replayable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// retryAfter is how long the registry asks to wait. A date is taken from the
// server's own clock.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	value := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(value); err == nil && n >= 0 {
		return time.Duration(min(n, int(maxWait/time.Second))) * time.Second, true
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return max(0, min(until.Sub(now), maxWait)), true
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resumable lets the body of a blob's whole answer go on after the connection broke.
func (p patient) resumable(r *http.Request, resp *http.Response) *http.Response {
	if r.Method != http.MethodGet || resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 || resp.Uncompressed || r.Header.Get("Range") != "" {
		return resp
	}
	resp.Body = &resumed{ReadCloser: resp.Body, transport: p, request: r, size: resp.ContentLength, etag: resp.Header.Get("ETag")}
	return resp
}

// resumed is an answer's body that asks for its rest when it breaks off.
type resumed struct {
	io.ReadCloser
	transport patient
	request   *http.Request
	size, n   int64
	etag      string
	tries     int // since the last byte
}

func (b *resumed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if n > 0 {
		b.tries = 0
	}
	if err == nil || b.n >= b.size || b.request.Context().Err() != nil {
		return n, err
	}
	if again := b.resume(); again != nil {
		return n, fmt.Errorf("%w, after %d of %d bytes; %w", broken(err), b.n, b.size, again)
	}
	return n, nil
}

// broken is why a body ended: an end before the announced length is none.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// resume asks for the rest until a registry gives it, or has failed to maxResumes
// times in a row. An error says why the rest is not to be had.
func (b *resumed) resume() error {
	for {
		if b.tries == maxResumes {
			return fmt.Errorf("and it did not go on %d times", b.tries)
		}
		if err := pause(b.request.Context(), time.Duration(b.tries)*resumePause); err != nil {
			return err
		}
		b.tries++
		over := b.transport.tell("asking %s for the rest of a download that broke off after %d of %d bytes", b.request.URL.Host, b.n, b.size)
		r := b.request.Clone(b.request.Context())
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.n))
		if b.etag != "" && !strings.HasPrefix(b.etag, "W/") {
			r.Header.Set("If-Range", b.etag)
		}
		resp, err := b.transport.RoundTripper.RoundTrip(r)
		over()
		if err != nil {
			continue
		}
		if resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", b.n)) {
			b.ReadCloser.Close()
			b.ReadCloser = resp.Body
			return nil
		}
		resp.Body.Close()
		if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests {
			return fmt.Errorf("and the registry does not give the rest alone (%s)", resp.Status)
		}
	}
}

package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// broken serves data and breaks off after so many bytes of each answer.
type broken struct {
	data  []byte
	after int
	// ignore makes it answer with the whole, whatever the range; dead with an
	// error once it has broken off.
	ignore, dead bool

	mu     sync.Mutex
	ranges []string
}

func (b *broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	again := len(b.ranges) > 0
	b.ranges = append(b.ranges, r.Header.Get("Range"))
	b.mu.Unlock()
	rest := b.data
	if b.dead && again {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if from, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && !b.ignore {
		n, _ := strconv.Atoi(strings.TrimSuffix(from, "-"))
		rest = b.data[n:]
		w.Header().Set("Content-Range", "bytes "+strconv.Itoa(n)+"-"+strconv.Itoa(len(b.data)-1)+"/"+strconv.Itoa(len(b.data)))
		w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	}
	w.Write(rest[:min(len(rest), b.after)])
}

func get(t *testing.T, h http.Handler) ([]byte, error) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: image.Options{}.RoundTripper()}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// steps is a progress.Reporter that remembers what it was told.
type steps struct {
	progress.Reporter
	mu   sync.Mutex
	told []string
}

func (s *steps) Step(name string) progress.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, name)
	return progress.Discard.Step(name)
}

// Whoever looks on is told why nothing moves.
func TestWaitsAreTold(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		switch n++; n {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			io.WriteString(w, "01234")
		case 3:
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "56789")
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(server.Close)
	heard := &steps{}
	client := &http.Client{Transport: image.Options{Progress: heard}.RoundTripper()}
	for range 2 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	host := strings.TrimPrefix(server.URL, "http://")
	want := []string{
		"waiting 1s for " + host + ", which answers 429 Too Many Requests",
		"asking " + host + " for the rest of a download that broke off after 5 of 10 bytes",
		host + " answers 502 Bad Gateway",
	}
	if !slices.Equal(heard.told, want) {
		t.Errorf("got %q, want %q", heard.told, want)
	}
}

func TestDownloadGoesOnWhereItBroke(t *testing.T) {
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(rand.Int())
	}
	b := &broken{data: data, after: 30_000}
	got, err := get(t, b)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if want := []string{"", "bytes=30000-", "bytes=60000-", "bytes=90000-"}; !slices.Equal(b.ranges, want) {
		t.Errorf("asked for %q", b.ranges)
	}
	for name, b := range map[string]*broken{
		"no ranges": {data: data, after: 1000, ignore: true},
		"dead":      {data: data, after: 1000, dead: true},
		"no bytes":  {data: data, after: 0},
	} {
		got, err := get(t, b)
		if err == nil || len(got) != b.after || len(b.ranges) > 4 {
			t.Errorf("%s: got %d bytes of %d answers, %v", name, len(got), len(b.ranges), err)
		}
	}
}

func TestBusyRegistryIsWaitedFor(t *testing.T) {
	for name, header := range map[string]func(http.Header){
		"seconds": func(h http.Header) { h.Set("Retry-After", "1") },
		"date": func(h http.Header) {
			now := time.Unix(1_700_000_000, 0).UTC() // the server's clock may be any
			h.Set("Date", now.Format(http.TimeFormat))
			h.Set("Retry-After", now.Add(time.Second).Format(http.TimeFormat))
		},
	} {
		var asked []time.Time
		start := time.Now()
		got, err := get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, time.Now())
			if len(asked) == 1 {
				header(w.Header())
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			io.WriteString(w, "here")
		}))
		if err != nil || string(got) != "here" || len(asked) != 2 || time.Since(start) < 900*time.Millisecond {
			t.Errorf("%s: got %q after %d requests and %s, %v", name, got, len(asked), time.Since(start), err)
		}
	}
}

// A wait that no number of nanoseconds can say is a long one, not none.
func TestEndlessWaitIsNotSkipped(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "10000000000")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := image.Options{}.RoundTripper().RoundTrip(r)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) || asked.Load() != 1 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
}

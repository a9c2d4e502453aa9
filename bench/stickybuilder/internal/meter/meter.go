// Package meter counts what goes to and from a registry.
package meter

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
)

// Count is what has passed since the last Reset.
type Count struct {
	Requests int64 `json:"requests"`
	Sent     int64 `json:"sent"`     // bytes of request bodies
	Received int64 `json:"received"` // bytes of response bodies
}

// Moved is the bytes in both directions.
func (c Count) Moved() int64 { return c.Sent + c.Received }

// A Meter stands before a registry.
type Meter struct {
	server                   *httptest.Server
	requests, sent, received atomic.Int64
}

// Listen starts a meter before target, host:port, on a loopback address of its own.
func Listen(target string) *Meter {
	m := &Meter{}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: target})
			r.Out.Host = r.In.Host // the registry answers with addresses that lead through the meter
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = &counted{r.Body, &m.received}
			return nil
		},
		Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
	m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		r.Body = &counted{r.Body, &m.sent}
		proxy.ServeHTTP(w, r)
	}))
	return m
}

// Addr is where clients connect, host:port.
func (m *Meter) Addr() string { return strings.TrimPrefix(m.server.URL, "http://") }

// Reset begins anew and returns what was counted.
func (m *Meter) Reset() Count {
	return Count{m.requests.Swap(0), m.sent.Swap(0), m.received.Swap(0)}
}

// Close ends the meter.
func (m *Meter) Close() { m.server.Close() }

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

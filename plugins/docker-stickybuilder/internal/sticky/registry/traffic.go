package registry

import (
	"io"
	"net/http"
	"sync/atomic"
)

// Traffic is what a client has exchanged with its registry so far, repeated requests
// and those for credentials included. Bytes are those of bodies.
type Traffic struct {
	Requests, SentBytes, ReceivedBytes int64
}

// Traffic returns what was exchanged so far.
func (c *Client) Traffic() Traffic {
	return Traffic{c.meter.requests.Load(), c.meter.sent.Load(), c.meter.received.Load()}
}

// A meter counts what goes through a transport.
type meter struct {
	base                     http.RoundTripper
	requests, sent, received atomic.Int64
}

func (m *meter) RoundTrip(req *http.Request) (*http.Response, error) {
	m.requests.Add(1)
	if req.Body != nil && req.Body != http.NoBody {
		req = req.WithContext(req.Context()) // the caller's stays as it is
		req.Body = &metered{req.Body, &m.sent}
	}
	resp, err := m.base.RoundTrip(req)
	if err == nil {
		resp.Body = &metered{resp.Body, &m.received}
	}
	return resp, err
}

type metered struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.bytes.Add(int64(n))
	return n, err
}

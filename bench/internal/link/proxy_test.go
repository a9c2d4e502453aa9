package link

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What comes through is what was sent, over several connections, and no more of it
// than the tokens of the bucket paid for.
func TestProxy(t *testing.T) {
	body := make([]byte, 300_000)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	p, err := Listen(server.Listener.Addr().String(), 80_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		client := &http.Client{Transport: &http.Transport{}}
		resp, err := client.Post("http://"+p.Addr()+"/", "text/plain", bytes.NewReader(body)) //nolint:noctx // a loopback server
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("got %d bytes, error %v", len(got), err)
		}
		client.CloseIdleConnections()
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", p.Addr()); err == nil { //nolint:noctx // must be refused
		conn.Close()
		t.Error("a closed proxy answers")
	}
}

package meter

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMeterCounts(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append(body, r.Host...))
	}))
	defer target.Close()
	m := Listen(strings.TrimPrefix(target.URL, "http://"))
	defer m.Close()
	for range 2 {
		resp, err := http.Post("http://"+m.Addr()+"/x", "text/plain", strings.NewReader("12345"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "12345"+m.Addr() {
			t.Errorf("answer %q, %v", body, err)
		}
	}
	want := Count{Requests: 2, Sent: 10, Received: 10 + 2*int64(len(m.Addr()))}
	if got := m.Reset(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if got := m.Reset(); got != (Count{}) {
		t.Errorf("after a reset %+v", got)
	}
}

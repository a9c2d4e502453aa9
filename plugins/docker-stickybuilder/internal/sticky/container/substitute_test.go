package container

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMountInstead(t *testing.T) {
	const mine = "buildx_buildkit_b0_state"
	for in, want := range map[string]string{
		`{"HostConfig":{"Memory":12345678901234567,"Mounts":[{"Source":"` + mine + `","Target":"/var/lib/buildkit"},{"Source":"other"}]}}`: `{"HostConfig":{"Memory":12345678901234567,"Mounts":[{"Source":"cache","Target":"/var/lib/buildkit"},{"Source":"other"}]}}`,
		`{"Image":"x"}`:                   `{"Image":"x"}`,
		`{"HostConfig":null}`:             `{"HostConfig":null}`,
		`{"HostConfig":{"Mounts":["?"]}}`: `{"HostConfig":{"Mounts":["?"]}}`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1.51/containers/create", strings.NewReader(in))
		if err := mountInstead(r, mine, "cache"); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		got, err := io.ReadAll(r.Body)
		if string(got) != want || err != nil || r.ContentLength != int64(len(want)) {
			t.Errorf("%s, %d, %v", got, r.ContentLength, err)
		}
	}
	if err := mountInstead(httptest.NewRequest(http.MethodPost, "/containers/create", strings.NewReader("[]")), mine, "cache"); err == nil {
		t.Error("what is no request is taken")
	}
}

package machine

import "testing"

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{
		"go version go1.26.1 linux/amd64": "1.26.1",
		"docker-repack 0.5.0\n":           "0.5.0",
		"/x/regctl: go1.26.1\n\tpath\tgithub.com/regclient/regclient/cmd/regctl\n\tmod\tx\n\tdep\tgithub.com/regclient/regclient\tv0.9.0\th1:x\n": "v0.9.0",
		"*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***":                                                                                   "v1.5.4",
	} {
		if got := version(text); got != want {
			t.Errorf("version(%q) = %q, want %q", text, got, want)
		}
	}
}

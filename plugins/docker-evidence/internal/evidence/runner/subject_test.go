package runner_test

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
)

func TestEnviron(t *testing.T) {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for name, tt := range map[string]struct{ image, more, want []string }{
		"nothing":     {nil, nil, []string{path}},
		"own path":    {[]string{"PATH=/x"}, nil, []string{"PATH=/x"}},
		"later wins":  {[]string{"PATH=/x", "A=1"}, []string{"A=2", "B=3", "A=4"}, []string{"PATH=/x", "B=3", "A=4"}},
		"same prefix": {[]string{"PATH=/x", "AB=1"}, []string{"A=2"}, []string{"PATH=/x", "AB=1", "A=2"}},
	} {
		s := runner.Subject{Image: v1.Config{Env: tt.image}}
		if got := s.Environ(tt.more); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestStartFailure(t *testing.T) {
	for message, want := range map[string]int{
		`exec: "x": executable file not found in $PATH`:    127,
		"exec: \"/x\": stat /x: no such file or directory": 127,
		`exec: "/etc/passwd": permission denied`:           126,
		"exec /bin/x: exec format error":                   126,
		"failed to mount overlay: no space left on device": 0,
		"connection refused":                               0,
	} {
		if got, ok := runner.StartFailure(message); got != want || ok != (want != 0) {
			t.Errorf("%q: got %d, %t; want %d", message, got, ok, want)
		}
	}
}

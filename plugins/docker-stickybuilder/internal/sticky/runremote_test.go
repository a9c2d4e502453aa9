package sticky

import (
	"net"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func TestCheckEndpoint(t *testing.T) {
	opts := func(pairs ...string) map[string]string {
		out := map[string]string{}
		for _, p := range pairs {
			name, value, _ := strings.Cut(p, "=")
			out[name] = value
		}
		return out
	}
	for _, c := range []struct {
		address string
		options map[string]string
		says    string
	}{
		{"tcp://builds.example:1234", nil, ""},
		{"tcp://[::1]:1234", opts("default-load=true"), ""},
		{"unix:///run/buildkit/buildkitd.sock", nil, ""},
		{"tcp://x:1", opts("cacert=/ca", "cert=/c", "key=/k", "servername=s"), ""},
		{"tcp://", nil, "no address"},
		{"unix://relative/path", nil, "no address"},
		{"http://x:1", nil, "no address"},
		{"x:1", nil, "no address"},
		{"/run/buildkitd.sock", nil, "no address"},
		{"tcp://x:one", nil, "parsing --endpoint"},
		{"tcp://x:1", opts("image=y"), "no such option"},
		{"tcp://x:1", opts("cert=/c", "key=/k"), "cacert=PATH"},
		{"tcp://x:1", opts("servername=s"), "cacert=PATH"},
		{"tcp://x:1", opts("cacert=/ca", "key=/k"), "belong together"},
		{"unix:///s", opts("cacert=/ca"), "are for --endpoint tcp"},
	} {
		err := CheckEndpoint(c.address, c.options)
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %v: %v", c.address, c.options, err)
		}
	}
}

// What listens there is no buildkitd. Nobody has to be root to hear that, and nothing is
// made of it.
func TestUpOnNoDaemon(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example ESMTP\r\n"))
			c.Close()
		}
	}()
	h, store := newHost(t)
	h.IsRoot = false
	o := upOptions(t, store)
	o.Driver, o.Endpoint, o.Disk = RemoteDriver, "tcp://"+l.Addr().String(), "none"
	_, err = h.Up(t.Context(), o, progress.Discard)
	if err == nil || !strings.Contains(err.Error(), "connecting to the buildkitd at "+o.Endpoint) || !strings.Contains(fault.HintOf(err), "certificates") {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	if names, err := h.State.Names(); err != nil || len(names) > 0 {
		t.Errorf("builders %v, %v", names, err)
	}
}

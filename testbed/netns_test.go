package testbed

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A server of the host's loopback answers a client that is shut into a
// namespace, under the same address, through Forward alone.
func TestForwardIntoANamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes network namespaces")
	}
	netns := filepath.Join(t.TempDir(), "netns")
	for range 2 {
		if err := makeNetNS(netns); err != nil {
			t.Fatal(err)
		}
	}
	defer unix.Unmount(netns, unix.MNT_DETACH)

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
			go func() {
				defer c.Close()
				question, _ := io.ReadAll(c) // until the client has said everything
				c.Write(append([]byte("you said "), question...))
			}()
		}
	}()
	addr := l.Addr().String()
	ask := func() (string, error) {
		var answer []byte
		err := inNetNS(netns, func() error {
			c, err := net.DialTimeout("tcp", addr, 5*time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.CloseWrite()
			}
			answer, err = io.ReadAll(c)
			return err
		})
		return string(answer), err
	}
	if answer, err := ask(); err == nil {
		t.Fatalf("the namespace is open: %q", answer)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Forward(ctx, netns, addr) }()
	var answer string
	err = poll(t.Context(), 10*time.Second, nil, func(context.Context) (err error) {
		answer, err = ask()
		return err
	})
	if err != nil || answer != "you said hello" {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestInNetNSOfNothing(t *testing.T) {
	called := false
	if err := inNetNS("/nonexistent", func() error { called = true; return nil }); err == nil || called {
		t.Errorf("called %t, %v", called, err)
	}
}

package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Forward listens on addr in the network namespace bound to netns and passes
// each connection to addr in the namespace that it runs in, until ctx ends. So
// an engine that is shut into a namespace reaches the host's loopback registry
// under the very name that everyone else uses, and nothing besides.
func Forward(ctx context.Context, netns, addr string) error {
	var l net.Listener
	err := inNetNS(netns, func() error {
		var lc net.ListenConfig
		var err error
		l, err = lc.Listen(ctx, "tcp", addr)
		return err
	})
	if err != nil {
		return fmt.Errorf("forwarding %s: %w", addr, err)
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		in, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("forwarding %s: %w", addr, err)
			}
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go relay(ctx, in, addr)
	}
}

func relay(ctx context.Context, in net.Conn, addr string) {
	defer in.Close()
	d := net.Dialer{Timeout: 10 * time.Second}
	out, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe(out, in)
	}()
	pipe(in, out)
	<-done
}

// pipe copies one direction and passes its end on.
func pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // a broken connection is the end of it, too
	if tcp, ok := dst.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

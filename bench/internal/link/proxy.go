// Package link stands a slow line between a registry and its clients.
package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// chunk is the largest piece that is sent at once.
const chunk = 16 << 10

// A Proxy forwards TCP connections and lets through, of what comes back from the
// target, so many bits per second over all connections together.
type Proxy struct {
	listener net.Listener
	limiter  *rate.Limiter
	target   string
	ctx      context.Context //nolint:containedctx // of the proxy's own life
	cancel   context.CancelFunc
	conns    sync.WaitGroup
}

// Listen starts a proxy to target, host:port, on a loopback address of its own.
func Listen(target string, bitsPerSecond int64) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed by Close
	if err != nil {
		return nil, fmt.Errorf("shaping a link: %w", err)
	}
	bytesPerSecond := float64(bitsPerSecond) / 8
	// What may go out in 10 ms: a queue as short as a router's.
	burst := max(chunk, int(bytesPerSecond*(10*time.Millisecond).Seconds()))
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{listener: l, limiter: rate.NewLimiter(rate.Limit(bytesPerSecond), burst), target: target, ctx: ctx, cancel: cancel}
	p.conns.Go(p.accept)
	return p, nil
}

// Addr is where clients connect, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.conns.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.conns.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	var d net.Dialer
	server, err := d.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(p.ctx, func() { client.Close(); server.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_ = p.shaped(client, server)
}

func (p *Proxy) shaped(to io.Writer, from io.Reader) error {
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := p.limiter.WaitN(p.ctx, n); err != nil {
				return err
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

package container

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// maxRequest bounds a request to create a container.
const maxRequest = 16 << 20

// Substitute serves the engine's API on a socket until ctx ends, for the one command that
// boots a node: docker buildx mounts a volume of a fixed name as the state of a node, and
// here the container is created with the given volume instead. All else passes through.
func (e *Engine) Substitute(ctx context.Context, listener net.Listener, node, volume string) error {
	dial := e.api.Dialer()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, DisableCompression: true}
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker"
			r.Out.Host = r.In.Host
		},
		Transport:     transport,
		FlushInterval: -1,
	}
	server := &http.Server{ReadHeaderTimeout: answerTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/containers/create") {
			if err := mountInstead(r, Volume(node), volume); err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(w).Encode(map[string]string{"message": err.Error()})
				return
			}
		}
		proxy.ServeHTTP(w, r)
	})}
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(limit)
		_ = server.Close()
	})
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

// mountInstead changes the volume of one name into another in a request to create a
// container.
func mountInstead(r *http.Request, from, to string) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return err
	}
	if len(text) > maxRequest {
		return fmt.Errorf("creating a container: the request is longer than %d bytes", maxRequest)
	}
	request := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // sizes stay as they are
	if err := d.Decode(&request); err != nil {
		return fmt.Errorf("creating a container: %w", err)
	}
	host, _ := request["HostConfig"].(map[string]any)
	mounts, _ := host["Mounts"].([]any)
	for _, m := range mounts {
		if m, ok := m.(map[string]any); ok && m["Source"] == from {
			m["Source"] = to
		}
	}
	if text, err = json.Marshal(request); err != nil {
		return fmt.Errorf("creating a container: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return nil
}

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// push puts the one image of an OCI layout into the loopback registry at addr
// as repo:tag. What is there already is not sent again.
func push(ctx context.Context, layout, addr, repo, tag string) error {
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := readJSON(filepath.Join(layout, "index.json"), &index); err != nil {
		return err
	}
	if len(index.Manifests) != 1 {
		return fmt.Errorf("pushing %s: %d images in the layout, not one", layout, len(index.Manifests))
	}
	top := index.Manifests[0]
	base := "http://" + addr + "/v2/" + repo
	if digest, err := head(ctx, base+"/manifests/"+tag, top.MediaType); err == nil && digest == top.Digest {
		return nil
	}
	var m manifest
	if err := readJSON(blobPath(layout, top.Digest), &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		if err := pushBlob(ctx, layout, base, d); err != nil {
			return fmt.Errorf("pushing %s to %s/%s: %w", d.Digest, addr, repo, err)
		}
	}
	f, err := os.Open(blobPath(layout, top.Digest))
	if err != nil {
		return fmt.Errorf("pushing %s/%s:%s: %w", addr, repo, tag, err)
	}
	defer f.Close()
	if _, err := request(ctx, http.MethodPut, base+"/manifests/"+tag, top.MediaType, f, top.Size, http.StatusCreated); err != nil {
		return fmt.Errorf("pushing %s/%s:%s: %w", addr, repo, tag, err)
	}
	return nil
}

func pushBlob(ctx context.Context, layout, base string, d descriptor) error {
	if _, err := head(ctx, base+"/blobs/"+d.Digest, ""); err == nil {
		return nil
	}
	h, err := request(ctx, http.MethodPost, base+"/blobs/uploads/", "", nil, 0, http.StatusAccepted)
	if err != nil {
		return err
	}
	at, err := url.Parse(base)
	if err != nil {
		return err
	}
	if at, err = at.Parse(h.Get("Location")); err != nil {
		return err
	}
	q := at.Query()
	q.Set("digest", d.Digest)
	at.RawQuery = q.Encode()
	f, err := os.Open(blobPath(layout, d.Digest))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = request(ctx, http.MethodPut, at.String(), "application/octet-stream", f, d.Size, http.StatusCreated)
	return err
}

func head(ctx context.Context, url, accept string) (digest string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return "", err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	return resp.Header.Get("Docker-Content-Digest"), nil
}

func request(ctx context.Context, method, url, media string, body io.Reader, size int64, want int) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	return resp.Header, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the base image: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading the base image %s: %w", path, err)
	}
	return nil
}

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// HasBlob asks whether the repository has a blob.
func (c *Client) HasBlob(ctx context.Context, digest string) (has bool, err error) {
	err = c.retry(ctx, func(ctx context.Context) error {
		ctx, watch := c.watch(ctx)
		defer watch.stop()
		resp, err := c.send(ctx, request{method: http.MethodHead, path: "/blobs/" + digest}, http.StatusOK)
		if errors.Is(err, ErrNotFound) {
			has = false
			return nil
		}
		if err == nil {
			resp.Body.Close()
			has = true
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("asking %s for blob %s: %w", c, digest, err)
	}
	return has, nil
}

// PutBlob uploads data, unless the repository has it. sent is told of bytes as they
// leave, and of a negative number when they have to be sent again. Uploaded says
// whether anything was sent.
func (c *Client) PutBlob(ctx context.Context, data []byte, sent func(int)) (digest string, uploaded bool, err error) {
	digest = digestOf(data)
	if has, err := c.HasBlob(ctx, digest); err != nil || has {
		return digest, false, err
	}
	err = c.retry(ctx, func(ctx context.Context) error { return c.upload(ctx, digest, data, sent) })
	if err != nil {
		return digest, false, fmt.Errorf("uploading %d bytes to %s: %w", len(data), c, err)
	}
	return digest, true, nil
}

// A counter tells of bytes that are sent, and of fewer once they were in vain. The
// transport may go on sending for a moment after it has given up.
type counter struct {
	mu    sync.Mutex
	tell  func(int)
	total int
	over  bool
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tell != nil && !c.over {
		c.total += n
		c.tell(n)
	}
}

func (c *counter) takeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.tell != nil {
		c.tell(-c.total)
	}
}

// upload asks for a session and puts the blob into it in one piece.
func (c *Client) upload(ctx context.Context, digest string, data []byte, sent func(int)) error {
	ctx, watch := c.watch(ctx)
	defer watch.stop()
	resp, err := c.send(ctx, request{method: http.MethodPost, path: "/blobs/uploads/", body: func() io.Reader { return http.NoBody }}, http.StatusAccepted)
	if err != nil {
		return err
	}
	resp.Body.Close()
	u, err := resolve(resp, resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	q := u.Query()
	q.Set("digest", digest)
	u.RawQuery = q.Encode()
	count := counter{tell: sent}
	resp, err = c.send(ctx, request{
		method: http.MethodPut, path: u.String(), size: int64(len(data)),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   func() io.Reader { return watched{bytes.NewReader(data), watch, true, count.add} },
	}, http.StatusCreated, http.StatusNoContent)
	if err == nil {
		return resp.Body.Close()
	}
	count.takeBack()
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// GetBlob hands the blob to fn. fn is called again for a blob that was torn, and has
// to verify what it reads; an error that it returns itself by way of [Permanent] is not
// tried again.
func (c *Client) GetBlob(ctx context.Context, digest string, got func(int), fn func(io.Reader) error) error {
	err := c.retry(ctx, func(ctx context.Context) error {
		ctx, watch := c.watch(ctx)
		defer watch.stop()
		resp, err := c.send(ctx, request{method: http.MethodGet, path: "/blobs/" + digest}, http.StatusOK)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		err = fn(watched{resp.Body, watch, false, got})
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStalled) {
			return cause
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("fetching blob %s from %s: %w", digest, c, err)
	}
	return nil
}

// Permanent keeps GetBlob from trying again.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// ReadBlob returns a blob of at most most bytes that has its digest.
func (c *Client) ReadBlob(ctx context.Context, digest string, most int64, got func(int)) (data []byte, err error) {
	err = c.GetBlob(ctx, digest, got, func(r io.Reader) error {
		if data, err = io.ReadAll(io.LimitReader(r, most+1)); err != nil {
			return err
		}
		if int64(len(data)) > most {
			return Permanent(fmt.Errorf("it has more than %d bytes", most))
		}
		if digestOf(data) != digest {
			return errors.New("its bytes do not have its digest")
		}
		return nil
	})
	return data, err
}

// CheckPush makes sure that blobs may be uploaded, by a session that is not used.
func (c *Client) CheckPush(ctx context.Context) error {
	var place string
	err := c.retry(ctx, func(ctx context.Context) error {
		ctx, watch := c.watch(ctx)
		defer watch.stop()
		resp, err := c.send(ctx, request{method: http.MethodPost, path: "/blobs/uploads/", body: func() io.Reader { return http.NoBody }}, http.StatusAccepted)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if u, err := resolve(resp, resp.Header.Get("Location")); err == nil {
			place = u.String()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("asking %s for permission to push: %w", c, err)
	}
	if place != "" { // registries forget sessions anyway
		if resp, err := c.send(ctx, request{method: http.MethodDelete, path: place}, http.StatusNoContent, http.StatusOK, http.StatusAccepted); err == nil {
			resp.Body.Close()
		}
	}
	return nil
}

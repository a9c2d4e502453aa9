package repack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// ErrDigest is what content that is not what its descriptor says gives.
var ErrDigest = errors.New("content does not match its digest")

// A fetchError is a failure of the transport, which may go away when the blob is
// asked for again, unlike wrong content.
type fetchError struct{ error }

func (e fetchError) Unwrap() error { return e.error }

// passing reports whether what a store answered may be another answer soon.
func passing(err error) bool {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout
	}
	var local *fs.PathError
	return !errors.As(err, &local)
}

// verified reads a blob and fails, at its end at the latest, if size or digest
// are not the descriptor's.
type verified struct {
	io.Closer
	r    io.Reader
	hash hash.Hash
	want v1.Descriptor
	n    int64
	seen func(n int64)
}

func verify(r io.ReadCloser, want v1.Descriptor, seen func(int64)) (io.ReadCloser, error) {
	if want.Digest.Algorithm != "sha256" {
		r.Close()
		return nil, fmt.Errorf("digest algorithm %q is not supported", want.Digest.Algorithm)
	}
	return &verified{Closer: r, r: r, hash: sha256.New(), want: want, seen: seen}, nil
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.n += int64(n)
	v.hash.Write(p[:n])
	if v.seen != nil {
		v.seen(v.n)
	}
	switch {
	case v.n > v.want.Size:
		return 0, v.mismatch("it is longer than the %d bytes its descriptor says", v.want.Size)
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF) && v.n < v.want.Size:
		return n, fetchError{err}
	case v.n < v.want.Size:
		return n, fetchError{v.mismatch("it ends after %d of %d bytes", v.n, v.want.Size)}
	}
	// The registry client may have found the same and not say so by io.EOF.
	if got := hex.EncodeToString(v.hash.Sum(nil)); got != v.want.Digest.Hex {
		return n, v.mismatch("its bytes have the digest sha256:%s", got)
	}
	if !errors.Is(err, io.EOF) {
		return n, fetchError{err}
	}
	return n, io.EOF
}

func (v *verified) mismatch(format string, args ...any) error {
	return fault.Hint(fmt.Errorf("%w: %s", ErrDigest, fmt.Sprintf(format, args...)),
		"the blob is damaged where it is stored: push the image again")
}

// readDocument reads a whole blob that is to be parsed.
func readDocument(r io.ReadCloser, want v1.Descriptor) ([]byte, error) {
	if want.Size > image.MaxDocument {
		r.Close()
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", want.Size, image.MaxDocument)
	}
	v, err := verify(r, want, nil)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return io.ReadAll(v)
}

// A Store is where manifests and blobs can be read by digest.
type Store = image.Store

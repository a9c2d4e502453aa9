// Package getter stands in for github.com/hashicorp/go-getter in this
// repository's builds, by a replace line in go.mod.
//
// syft links go-getter into every program that lists packages, though only its
// snap source downloads anything, which is not used here. With go-getter come the
// SDKs of two clouds: a third of the binary, and of the time that docker waits for
// the plugin's metadata. This package has the names that syft compiles against,
// and refuses to download.
package getter

import (
	"errors"
	"io"
	"net/http"
)

// ErrUnavailable is what every download gives.
var ErrUnavailable = errors.New("downloads are not part of this program")

// A Client would download Src to Dst.
type Client struct {
	Src, Dst string
	Dir      bool
	Getters  map[string]Getter
	Options  []ClientOption
}

// Get returns ErrUnavailable.
func (*Client) Get() error { return ErrUnavailable }

// A ClientOption does nothing.
type ClientOption func(*Client) error

// A Getter would download by one protocol.
type Getter interface{ unavailable() }

type none struct{}

func (none) unavailable() {}

// The getters that syft names.
type (
	HttpGetter struct {
		none
		Client *http.Client
		Header http.Header
	}
	FileGetter struct{ none }
	GitGetter  struct{ none }
	GCSGetter  struct{ none }
	HgGetter   struct{ none }
	S3Getter   struct{ none }
)

// A Decompressor would unpack an archive.
type Decompressor interface{ unavailable() }

// Decompressors are none.
var Decompressors = map[string]Decompressor{}

// LimitedDecompressors returns none.
func LimitedDecompressors(filesLimit int, fileSizeLimit int64) map[string]Decompressor { return nil }

// WithDecompressors does nothing.
func WithDecompressors(map[string]Decompressor) ClientOption {
	return func(*Client) error { return nil }
}

// A ProgressTracker would see the bytes of a download.
type ProgressTracker interface {
	TrackProgress(src string, currentSize, totalSize int64, stream io.ReadCloser) io.ReadCloser
}

// WithProgress does nothing.
func WithProgress(ProgressTracker) func(*Client) error { return func(*Client) error { return nil } }

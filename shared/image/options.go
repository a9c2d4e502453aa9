package image

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Options say how registries are accessed. The zero value is anonymous access
// with the default transport and four transfers at once.
type Options struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper
	UserAgent string
	Jobs      int
}

// Remote returns the options in go-containerregistry's form, bound to ctx.
// Loopback registries are spoken to in plain HTTP where HTTPS does not answer.
func (o Options) Remote(ctx context.Context) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx)}
	if o.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(o.Keychain))
	}
	if o.Transport != nil {
		opts = append(opts, remote.WithTransport(o.Transport))
	}
	if o.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(o.UserAgent))
	}
	if o.Jobs > 0 {
		opts = append(opts, remote.WithJobs(o.Jobs))
	}
	return opts
}

package image

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Options say how images are accessed. The zero value is anonymous access to
// registries with the default transport and four transfers at once, and no engine.
type Options struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper
	UserAgent string
	Jobs      int
	// Engine is what references of the kind Daemon are about; nil if there is none.
	Engine Engine
	// TempDir is for archives that cannot be read by offset; "" means the system's.
	TempDir string
	// Progress is told about what Resolve has to copy there, and what registries are
	// waited for; nil means nobody listens.
	Progress progress.Reporter
}

func (o Options) step(name string) progress.Step {
	if o.Progress == nil {
		return progress.Discard.Step(name)
	}
	return o.Progress.Step(name)
}

// RoundTripper is the transport for registries: Transport, or the default one,
// that waits when a registry asks for it and resumes broken downloads.
func (o Options) RoundTripper() http.RoundTripper {
	if o.Transport != nil {
		return patient{o.Transport, o.Progress}
	}
	return patient{remote.DefaultTransport, o.Progress}
}

// Remote returns the options in go-containerregistry's form, bound to ctx.
// Loopback registries are spoken to in plain HTTP where HTTPS does not answer.
func (o Options) Remote(ctx context.Context) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx), remote.WithTransport(o.RoundTripper())}
	if o.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(o.Keychain))
	}
	if o.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(o.UserAgent))
	}
	if o.Jobs > 0 {
		opts = append(opts, remote.WithJobs(o.Jobs))
	}
	return opts
}

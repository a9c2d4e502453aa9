package repack

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ggcrtransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// checkPush begins an upload to the repository and takes it back, so that a
// registry that is down or says no is known before the source is read.
func checkPush(ctx context.Context, ref image.Reference, o image.Options) error {
	keychain := o.Keychain
	if keychain == nil {
		keychain = authn.NewMultiKeychain() // knows nobody
	}
	// The check, unlike all else of the registry client, does not ask again.
	patient := ggcrtransport.NewRetry(bound{ctx, o.RoundTripper()}, ggcrtransport.WithRetryStatusCodes(
		http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout))
	if err := remote.CheckPushPermission(ref.Name, keychain, patient); err != nil {
		return fmt.Errorf("asking whether %s can be written: %w", ref, image.Explain(err, ref))
	}
	return nil
}

// bound ends requests with a context: the check takes none.
type bound struct {
	ctx context.Context
	http.RoundTripper
}

func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.RoundTripper.RoundTrip(r.WithContext(b.ctx))
}

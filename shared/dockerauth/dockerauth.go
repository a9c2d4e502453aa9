// Package dockerauth makes the user's docker credentials usable by registry
// clients and by BuildKit. Both read the configuration that the docker CLI has
// loaded, so --config, DOCKER_CONFIG, DOCKER_AUTH_CONFIG and credential helpers
// count, which go-containerregistry's default keychain sees only in part.
package dockerauth

import (
	"sync"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
)

// Keychain returns the credentials in config for go-containerregistry. A
// registry that config does not know is accessed anonymously.
func Keychain(config *configfile.ConfigFile) authn.Keychain {
	return &keychain{config: config}
}

type keychain struct {
	mu     sync.Mutex // credential helpers are processes: one at a time
	config *configfile.ConfigFile
}

func (k *keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	host := target.RegistryStr()
	if host == name.DefaultRegistry {
		host = authn.DefaultAuthKey
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	auth, err := k.config.GetAuthConfig(host)
	if err != nil {
		return nil, err
	}
	auth.ServerAddress = ""
	if auth == (types.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{
		Username:      auth.Username,
		Password:      auth.Password,
		Auth:          auth.Auth,
		IdentityToken: auth.IdentityToken,
		RegistryToken: auth.RegistryToken,
	}), nil
}

// Session returns the attachable by which a BuildKit daemon asks for the
// credentials in config during a solve.
func Session(config *configfile.ConfigFile) session.Attachable {
	return authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(config),
	})
}

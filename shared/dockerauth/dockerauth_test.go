package dockerauth_test

import (
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
)

func TestKeychain(t *testing.T) {
	config := configfile.New("config.json")
	// "user:pass", "hub:secret"
	if err := config.LoadFromReader(strings.NewReader(`{"auths":{
		"ghcr.io":{"auth":"dXNlcjpwYXNz"},
		"https://index.docker.io/v1/":{"auth":"aHViOnNlY3JldA=="}}}`)); err != nil {
		t.Fatal(err)
	}
	keychain := dockerauth.Keychain(config)
	for registry, want := range map[string]authn.AuthConfig{
		"ghcr.io":          {Username: "user", Password: "pass"},
		"docker.io":        {Username: "hub", Password: "secret"},
		"quay.io":          {},
		"127.0.0.1:5000":   {},
		"other.ghcr.io":    {},
		"index.docker.io":  {Username: "hub", Password: "secret"},
		"localhost:443":    {},
		"registry.test:80": {},
	} {
		r, err := name.NewRegistry(registry)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := keychain.Resolve(r)
		if err != nil {
			t.Fatalf("%s: %v", registry, err)
		}
		got, err := auth.Authorization()
		if err != nil {
			t.Fatal(err)
		}
		if got.Username != want.Username || got.Password != want.Password {
			t.Errorf("%s: got %s:%s", registry, got.Username, got.Password)
		}
	}
}

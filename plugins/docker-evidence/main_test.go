package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, "docker-evidence", main) }

func TestScripts(t *testing.T) {
	plugintest.Run(t, "docker-evidence", "testdata", func(env *testscript.Env) error {
		return pushTested(t, env)
	})
}

// pushTested fills the script's registry: $REGISTRY/plain:1 says nothing about its
// base; $REGISTRY/based:1 does; $REGISTRY/tested:1 and failed:1 have evidence, by
// a runner that needs no engine, signed with evidence.key, and records beside it.
func pushTested(t *testing.T, env *testscript.Env) error {
	private, public, err := key.Generate()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "evidence.key"), private, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "evidence.pub"), public, 0o644); err != nil {
		return err
	}
	k, err := key.ParsePrivate(private, nil)
	if err != nil {
		return err
	}
	for _, img := range []struct{ name, exit string }{{"plain", ""}, {"based", ""}, {"tested", "0"}, {"failed", "1"}} {
		ref, err := push(env.Getenv("REGISTRY")+"/"+img.name+":1", img.name != "plain")
		if err != nil {
			return err
		}
		if img.exit == "" {
			continue
		}
		digest, err := attest(t, ref, k, img.exit, filepath.Join(env.WorkDir, "records-"+img.name))
		if err != nil {
			return err
		}
		env.Setenv("DIGEST_"+img.name, digest)
	}
	return nil
}

func push(tag string, based bool) (image.Reference, error) {
	ref, err := image.Parse(tag)
	if err != nil {
		return image.Reference{}, err
	}
	img, err := random.Image(64, 2)
	if err != nil {
		return image.Reference{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return image.Reference{}, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return image.Reference{}, err
	}
	if based {
		img = mutate.Annotations(img, map[string]string{
			"org.opencontainers.image.base.name":   "debian:12",
			"org.opencontainers.image.base.digest": "sha256:" + string(bytes.Repeat([]byte("ab"), 32)),
		}).(v1.Image)
	}
	return ref, remote.Write(ref.Name.(name.Tag), img)
}

// attest runs one test that ends with the given status.
func attest(t *testing.T, ref image.Reference, k *key.Private, exit, dir string) (string, error) {
	s, err := image.Resolve(t.Context(), ref, image.Options{})
	if err != nil {
		return "", err
	}
	p, err := image.Platform(s, "", "linux/amd64")
	if err != nil {
		return "", err
	}
	su, err := suite.Parse("smoke.yaml", []byte("commands: [{name: answer, run: [exit, '"+exit+"']}]"))
	if err != nil {
		return "", err
	}
	repository, err := referrers.Open(t.Context(), ref.Name.Context(), true, image.Options{}, referrers.Pace{Settle: time.Millisecond})
	if err != nil {
		return "", err
	}
	result, err := evidence.Run(t.Context(), evidence.Options{
		Subject: s, Platform: p, Suites: []*suite.Suite{su}, Runner: answering{}, Key: k, Attach: repository, RecordDir: dir,
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	})
	if err != nil {
		return "", err
	}
	_, err = record.ParseBase(result.Record.Base.Name + "@" + result.Record.Base.Digest)
	return result.Record.Image.Manifest, err
}

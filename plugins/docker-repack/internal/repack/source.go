package repack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// An original is an image as it is read: its documents parsed and checked, its
// layers still to come.
type original struct {
	store       Store
	descriptor  v1.Descriptor
	manifest    v1.Manifest
	rawManifest []byte
	rawConfig   []byte
	config      struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
		RootFS       struct {
			DiffIDs []v1.Hash `json:"diff_ids"`
		} `json:"rootfs"`
	}
}

// size is that of the compressed layers, in bytes.
func (o *original) size() int64 {
	var n int64
	for _, l := range o.manifest.Layers {
		n += l.Size
	}
	return n
}

func (o *original) platform() v1.Platform {
	return v1.Platform{OS: o.config.OS, Architecture: o.config.Architecture, Variant: o.config.Variant}
}

// platformText is a platform as people are shown it: what a config or an index says
// may be any text.
func platformText(p v1.Platform) string {
	if quoted := strconv.Quote(p.String()); quoted[1:len(quoted)-1] != p.String() {
		return quoted
	}
	return p.String()
}

// errArtifact is what a manifest gives that is no image's.
var errArtifact = errors.New("is not a container image")

// errWindows is what an image for Windows gives.
var errWindows = errors.New("is a Windows image, whose layers are not plain root filesystems")

// missing is the first layer that the source says it does not have, if any: engines
// and copying programs leave out the platforms that they do not need.
func (o *original) missing() (v1.Descriptor, bool) {
	has, ok := o.store.(interface{ Has(d v1.Descriptor) bool })
	if ok {
		for _, l := range o.manifest.Layers {
			if l.MediaType.IsDistributable() && !has.Has(l) {
				return l, true
			}
		}
	}
	return v1.Descriptor{}, false
}

// readManifest reads and verifies a manifest.
func readManifest(ctx context.Context, store interface {
	Manifest(context.Context, v1.Descriptor) ([]byte, error)
}, d v1.Descriptor,
) ([]byte, error) {
	raw, err := store.Manifest(ctx, d)
	if err == nil {
		raw, err = readDocument(io.NopCloser(bytes.NewReader(raw)), d)
	}
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d.Digest, err)
	}
	return raw, nil
}

// open reads an image's manifest and config and refuses what cannot be repacked.
func open(ctx context.Context, store Store, d v1.Descriptor) (*original, error) {
	o := &original{store: store, descriptor: d}
	var err error
	if o.rawManifest, err = readManifest(ctx, store, d); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(o.rawManifest, &o.manifest); err != nil {
		return nil, fmt.Errorf("parsing manifest %s: %w", d.Digest, err)
	}
	if !o.manifest.Config.MediaType.IsConfig() {
		return nil, fault.Hint(fmt.Errorf("%s %w: its config has the media type %q", d.Digest, errArtifact, o.manifest.Config.MediaType),
			"artifacts have no root filesystem to repack")
	}
	r, err := store.Blob(ctx, o.manifest.Config)
	if err == nil {
		o.rawConfig, err = readDocument(r, o.manifest.Config)
	}
	if err != nil {
		return nil, fmt.Errorf("reading config %s: %w", o.manifest.Config.Digest, err)
	}
	if err := json.Unmarshal(o.rawConfig, &o.config); err != nil {
		return nil, fmt.Errorf("parsing config %s: %w", o.manifest.Config.Digest, err)
	}
	return o, o.check()
}

func (o *original) check() error {
	if strings.EqualFold(o.config.OS, "windows") {
		return fault.Hint(fmt.Errorf("%s %w", o.descriptor.Digest, errWindows), "choose the other platforms of the index: --platform 'linux/*'")
	}
	for i, l := range o.manifest.Layers {
		if err := checkLayerType(l.MediaType); err != nil {
			return fmt.Errorf("layer %d, %s: %w", i, l.Digest, err)
		}
	}
	if n, m := len(o.manifest.Layers), len(o.config.RootFS.DiffIDs); n != m {
		return fault.Hint(fmt.Errorf("image %s is malformed: its manifest lists %d layers, its config %d", o.descriptor.Digest, n, m),
			"the image was put together from parts that do not belong together: rebuild it")
	}
	return nil
}

// dockerZstdLayer is what some tools call a zstd layer in Docker's own manifests.
const dockerZstdLayer types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

func checkLayerType(t types.MediaType) error {
	s := string(t)
	switch {
	case strings.HasSuffix(s, "+encrypted"):
		return fault.Hint(fmt.Errorf("the layer is encrypted (%s)", s), "decrypt the image first: skopeo copy --decryption-key KEY …")
	case !t.IsDistributable():
		return fault.Hint(fmt.Errorf("the layer is foreign (%s): its content is not in the registry and may not be passed on", s),
			"images on non-distributable base layers cannot be repacked")
	case t.IsLayer(), t == dockerZstdLayer:
		return nil
	}
	return fault.Hint(fmt.Errorf("unknown layer media type %q", s), "only tar layers, plain or with gzip or zstd, are read")
}

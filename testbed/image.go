package testbed

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type imageConfig struct {
	Created      string `json:"created"`
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Env []string
		Cmd []string
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []history `json:"history"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

// writeImage makes an image of one layer out of the tree below root, as an OCI
// image layout in dir. index.json comes last: without it there is no image.
func writeImage(ctx context.Context, dir, root string, newest time.Time) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return fmt.Errorf("writing an image: %w", err)
	}
	layer, diffID, err := writeLayer(ctx, blobs, root, newest)
	if err != nil {
		return err
	}
	created := newest.UTC().Format(time.RFC3339)
	c := imageConfig{Created: created, Architecture: runtime.GOARCH, OS: "linux"}
	c.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	c.Config.Cmd = []string{"bash"}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{diffID}
	c.History = []history{{created, "debootstrap --variant=minbase " + baseSuite}}
	config, err := writeJSON(blobs, mediaConfig, c)
	if err != nil {
		return err
	}
	m, err := writeJSON(blobs, mediaManifest, manifest{2, mediaManifest, config, []descriptor{layer}})
	if err != nil {
		return err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []descriptor{m}})
	if err != nil {
		return fmt.Errorf("writing an image: %w", err)
	}
	for name, data := range map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index} {
		if err := writeFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("writing an image: %w", err)
		}
	}
	return nil
}

func writeLayer(ctx context.Context, blobs, root string, newest time.Time) (descriptor, string, error) {
	f, err := os.CreateTemp(blobs, ".layer-*")
	if err != nil {
		return descriptor{}, "", fmt.Errorf("writing a layer: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	packed, plain := sha256.New(), sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(f, packed), 1<<20)
	zw := gzip.NewWriter(buffered)
	if err := writeTree(ctx, io.MultiWriter(zw, plain), root, newest); err != nil {
		return descriptor{}, "", err
	}
	if err := zw.Close(); err != nil {
		return descriptor{}, "", fmt.Errorf("writing a layer: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return descriptor{}, "", fmt.Errorf("writing a layer: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		return descriptor{}, "", fmt.Errorf("writing a layer: %w", err)
	}
	if err := f.Chmod(0o644); err != nil {
		return descriptor{}, "", fmt.Errorf("writing a layer: %w", err)
	}
	d := descriptor{mediaLayer, digestOf(packed), fi.Size()}
	if err := os.Rename(f.Name(), blobPath(filepath.Dir(filepath.Dir(blobs)), d.Digest)); err != nil {
		return descriptor{}, "", fmt.Errorf("writing a layer: %w", err)
	}
	return d, digestOf(plain), nil
}

func writeJSON(blobs, media string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, fmt.Errorf("writing an image: %w", err)
	}
	h := sha256.New()
	h.Write(data)
	d := descriptor{media, digestOf(h), int64(len(data))}
	if err := writeFile(blobPath(filepath.Dir(filepath.Dir(blobs)), d.Digest), data, 0o644); err != nil {
		return descriptor{}, fmt.Errorf("writing an image: %w", err)
	}
	return d, nil
}

func digestOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

func blobPath(layout, digest string) string {
	return filepath.Join(layout, "blobs", "sha256", digest[len("sha256:"):])
}

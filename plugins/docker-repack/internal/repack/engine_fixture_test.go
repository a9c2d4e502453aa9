package repack_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
	mobyclient "github.com/moby/moby/client"
)

// engine is a docker engine that keeps archives as they are loaded; an old one
// keeps of them what Docker 20.10 does, and saves it in that form.
type engine struct {
	t      *testing.T
	modern bool
	arch   string // "" for amd64
	mu     sync.Mutex
	images map[string][]byte
}

func newEngine(t *testing.T, modern bool) *engine {
	return &engine{t: t, modern: modern, images: map[string][]byte{}}
}

func (e *engine) Info(context.Context, mobyclient.InfoOptions) (mobyclient.SystemInfoResult, error) {
	info := system.Info{Driver: "overlay2", DriverStatus: [][2]string{{"Backing Filesystem", "extfs"}}}
	if e.modern {
		info = system.Info{Driver: "overlayfs", DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}}
	}
	return mobyclient.SystemInfoResult{Info: info}, nil
}

func (e *engine) ServerVersion(context.Context, mobyclient.ServerVersionOptions) (mobyclient.ServerVersionResult, error) {
	if e.modern {
		return mobyclient.ServerVersionResult{APIVersion: "1.52", Os: "linux", Arch: "amd64"}, nil
	}
	return mobyclient.ServerVersionResult{APIVersion: "1.41", Os: "linux", Arch: cmp.Or(e.arch, "amd64")}, nil
}

func (e *engine) ImageLoad(_ context.Context, r io.Reader, _ ...mobyclient.ImageLoadOption) (mobyclient.ImageLoadResult, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	entries := map[string][]byte{}
	for t := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		entries[h.Name], _ = io.ReadAll(t)
	}
	var m []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(entries["manifest.json"], &m); err != nil || len(m) != 1 || len(m[0].RepoTags) != 1 {
		return io.NopCloser(strings.NewReader(`{"errorDetail":{"message":"bad archive"},"error":"bad archive"}`)), nil
	}
	if !e.modern {
		data = oldArchive(e.t, m[0].Config, m[0].RepoTags, m[0].Layers, entries)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images[m[0].RepoTags[0]] = data
	return io.NopCloser(strings.NewReader(`{"stream":"Loaded image"}`)), nil
}

func (e *engine) ImageSave(_ context.Context, names []string, _ ...mobyclient.ImageSaveOption) (mobyclient.ImageSaveResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	data, ok := e.images[names[0]]
	if !ok {
		return nil, fmt.Errorf("no such image: %s: %w", names[0], cerrdefs.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// oldArchive is what docker save of 20.10 makes: layers in directories, unpacked,
// and a link where one was there before.
func oldArchive(t *testing.T, config string, tags, layers []string, entries map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data []byte) {
		h.Size, h.Mode = int64(len(data)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	first := map[string]string{}
	for i, l := range layers {
		name := fmt.Sprintf("%064d/layer.tar", i)
		names = append(names, name)
		plain := gunzip(t, entries[l])
		if at, ok := first[string(plain)]; ok {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "../" + at}, nil)
			continue
		}
		first[string(plain)] = name
		add(tar.Header{Typeflag: tar.TypeReg, Name: name}, plain)
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "0123.json"}, entries[config])
	raw, _ := json.Marshal([]map[string]any{{"Config": "0123.json", "RepoTags": tags, "Layers": names}})
	add(tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json"}, raw)
	repositories, _ := json.Marshal(map[string]any{"app": map[string]string{"1": "0"}})
	add(tar.Header{Typeflag: tar.TypeReg, Name: "repositories"}, repositories)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := tarLayer(t, data).Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return must(io.ReadAll(r))
}

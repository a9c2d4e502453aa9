// Package sbom lists what an image contains, as SPDX 2.3 in JSON, with syft's
// cataloguers.
//
// The image is read through go-containerregistry, so it is the one that was
// resolved, with the credentials and the digest checks of everything else; syft
// opens no connection of its own.
package sbom

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/anchore/stereoscope/pkg/file"
	stereoscope "github.com/anchore/stereoscope/pkg/image"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/format/common/spdxhelpers"
	"github.com/anchore/syft/syft/source/stereoscopesource"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	_ "modernc.org/sqlite" // reads the databases of RPM

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// MediaType is the type of a document.
const MediaType = "application/spdx+json"

// Format is the version of the document, as it names it itself.
const Format = "SPDX-2.3"

// Options of [Generate].
type Options struct {
	// Reference is the image's name by digest, "repository@sha256:…".
	Reference string
	// Created is the document's time of creation.
	Created time.Time
}

// A Document is an SBOM.
type Document struct {
	JSON     []byte // compact, without a final newline
	Packages int    // without the image itself
}

// Generate reads every layer of img and returns its SBOM. The same image and
// options give the same bytes. It writes the uncompressed layers to a temporary
// directory and removes them again.
func Generate(ctx context.Context, img v1.Image, opts Options) (Document, error) {
	doc, err := generate(ctx, img, opts)
	if err != nil {
		if ctx.Err() != nil {
			return Document{}, context.Cause(ctx)
		}
		err = fmt.Errorf("listing packages of %s: %w", opts.Reference, err)
		if errors.Is(err, syscall.ENOSPC) {
			err = fault.Hint(err, "the uncompressed layers need room in the temporary directory: name another with TMPDIR, or leave the list out with --sbom=false")
		}
		return Document{}, err
	}
	return doc, nil
}

func generate(ctx context.Context, img v1.Image, opts Options) (_ Document, rerr error) {
	manifest, err := img.RawManifest()
	if err != nil {
		return Document{}, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return Document{}, err
	}
	temp := file.NewTempDirGenerator("docker-evidence")
	defer func() {
		if err := temp.Cleanup(); err != nil && rerr == nil {
			rerr = err
		}
	}()
	cache, err := temp.NewDirectory("layers")
	if err != nil {
		return Document{}, err
	}
	read := stereoscope.New(img, temp, cache,
		stereoscope.WithManifest(manifest), stereoscope.WithConfig(config), stereoscope.WithRepoDigests(opts.Reference))
	if err := read.Read(ctx); err != nil {
		return Document{}, err
	}
	src := stereoscopesource.New(read, stereoscopesource.ImageConfig{Reference: opts.Reference})
	defer src.Close()
	found, err := syft.CreateSBOM(ctx, src, syft.DefaultCreateSBOMConfig())
	if err != nil {
		return Document{}, err
	}
	if err := ctx.Err(); err != nil {
		return Document{}, err
	}

	// The encoder would take the time from the clock and a random namespace.
	doc := spdxhelpers.ToFormatModel(*found)
	doc.CreationInfo.Created = opts.Created.UTC().Format(time.RFC3339)
	doc.DocumentNamespace = ""
	order(doc)
	content, err := intoto.Marshal(doc)
	if err != nil {
		return Document{}, err
	}
	doc.DocumentNamespace = fmt.Sprintf("https://dockerfactory.dev/spdx/%x", sha256.Sum256(content))
	if content, err = intoto.Marshal(doc); err != nil {
		return Document{}, err
	}
	return Document{content, found.Artifacts.Packages.PackageCount()}, nil
}

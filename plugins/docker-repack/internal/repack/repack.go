package repack

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/pulltime"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// DefaultTargetSize is the target size of layers, in compressed bytes, that
// [Options] mean by 0.
const DefaultTargetSize = 50_000_000

// DefaultMaxLayers is what [Options] mean by 0, and EngineLayers what engines can
// have at most.
const (
	DefaultMaxLayers = plan.DefaultMaxLayers
	EngineLayers     = plan.EngineLayers
)

// KeepBaseAuto is the number of base layers that stands for as many as the base
// image has.
const KeepBaseAuto = -1

// Options of [Run].
type Options struct {
	TargetSize  int64  // of a compressed layer, in bytes
	Compression string // one of Compressions; "" is what suits the destination
	Level       string // one of Levels
	// Platforms selects images of an index; none means all, of which those for
	// Windows stay as they are. A single image has to be for one of them.
	Platforms []image.PlatformPattern
	// MaxLayers bounds the layers of a result, kept ones included; 0 means
	// DefaultMaxLayers.
	MaxLayers int
	// Previous is the result of an earlier repack: of its layers, those that the
	// new tree still has are kept as they are.
	Previous *image.Subject
	// KeepBase is how many of the source's lowest layers stay as they are, or
	// KeepBaseAuto to find out where the base image ends.
	KeepBase int
	// Resolve finds the base image that annotations name, for KeepBaseAuto; nil
	// leaves that to the history alone. What it finds needs no closing.
	Resolve func(ctx context.Context, ref image.Reference) (image.Subject, error)
	Jobs    int // workers; 0 means one
	// Memory is about how much the work may hold, in bytes; 0 means DefaultMemory.
	// It bounds the workers, and the result does not depend on it. A tree of very
	// many entries, and one worker, take what they need.
	Memory int64
	// Limits are what the layers of one source image may make the work hold or do, all
	// of them together; the zero value means the defaults.
	Limits  layer.Limits
	TempDir string // for the spool and finished layers; "" means the system's
	// Verify reads the result back from the destination and compares it, before
	// the result gets its name.
	Verify bool
	// Analyze makes [Run] fill Result.Analysis; [Plan] always does.
	Analyze bool
	// Links are what an [Analysis] predicts pull times for.
	Links []pulltime.Link
	// Top is how many files and groups each list of an [Analysis] has at most; 0
	// means DefaultTop.
	Top      int
	Progress progress.Reporter // nil means nobody listens
}

func (o Options) withDefaults() Options {
	if o.TargetSize == 0 {
		o.TargetSize = DefaultTargetSize
	}
	if o.Top == 0 {
		o.Top = DefaultTop
	}
	if o.Progress == nil {
		o.Progress = progress.Discard
	}
	if o.MaxLayers == 0 {
		o.MaxLayers = DefaultMaxLayers
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	o.Jobs = max(o.Jobs, 1)
	return o
}

// Validate checks the options before any work is done.
func (o Options) Validate() error {
	_, err := newCodec(o.Compression, o.Level)
	return err
}

// A Result tells what [Run] has made.
type Result struct {
	SourceDigest string        `json:"sourceDigest"`
	Digest       string        `json:"digest"`
	Images       []ImageResult `json:"images"`
	// Warnings tell what does not apply to the result any more, and where engines
	// may have shown something else of the source than what the result has.
	Warnings []string `json:"warnings,omitempty"`
	// Analysis is nil without Options.Analyze.
	Analysis *Analysis `json:"-"`
}

// An ImageResult is one platform of a [Result]. Sizes are in bytes.
type ImageResult struct {
	Platform     string `json:"platform"`
	SourceDigest string `json:"sourceDigest"`
	Digest       string `json:"digest"`
	Tree         string `json:"tree"` // canonical tree digest
	Verified     bool   `json:"verified"`

	LayersBefore int   `json:"layersBefore"`
	LayersAfter  int   `json:"layersAfter"`
	BytesBefore  int64 `json:"bytesBefore"` // compressed layers
	BytesAfter   int64 `json:"bytesAfter"`
	LayersKept   int   `json:"layersKept"` // of those after, as they were before
	BytesKept    int64 `json:"bytesKept"`
	// Sharing is nil if no base image is known.
	Sharing      *Sharing `json:"sharing,omitempty"`
	LargestLayer int64    `json:"largestLayer"` // compressed, after
	BytesSent    int64    `json:"bytesSent"`    // compressed layers that the destination did not have

	Entries        int   `json:"entries"`        // of the root filesystem
	FileBytes      int64 `json:"fileBytes"`      // contents of all files, uncompressed
	DeadBytes      int64 `json:"deadBytes"`      // contents that upper layers had hidden, uncompressed
	DuplicateBytes int64 `json:"duplicateBytes"` // contents that other files have too, uncompressed
	SpoolBytes     int64 `json:"spoolBytes"`     // temporary disk for contents
}

// Run repacks what source stands for, an image or an index, into dst. Under the
// destination's name nothing appears before all of it is there and, with
// Options.Verify, has been compared.
func Run(ctx context.Context, source image.Subject, dst Destination, opts Options) (_ *Result, err error) {
	defer func() {
		if err != nil {
			dst.Abort()
		}
	}()
	opts = opts.withDefaults()
	limits := limitsOf(dst)
	if err := limits.apply(&opts, source.IsIndex()); err != nil {
		return nil, err
	}
	c, err := newCodec(opts.Compression, opts.Level)
	if err != nil {
		return nil, err
	}
	r := &run{
		opts: opts, codec: c, source: source.Store(), from: source.Reference.Name, dst: dst,
		result: &Result{SourceDigest: source.Descriptor.Digest.String()},
	}
	if source.Reference.Kind != image.Registry {
		r.from = nil
	}
	if opts.Analyze {
		r.result.Analysis = &Analysis{Source: source.Reference.String(), SourceDigest: r.result.SourceDigest}
	}
	var doc document
	if source.IsIndex() {
		doc, err = r.index(ctx, source.Descriptor)
	} else {
		doc, err = r.single(ctx, source.Descriptor)
	}
	if err != nil {
		return nil, err
	}
	r.result.Digest = doc.descriptor.Digest.String()
	if limits.firstOnly && len(r.result.Images) > 1 {
		r.warn("engines before Docker 25, and other programs that take a docker archive for one image, see that for %s alone", r.result.Images[0].Platform)
	}
	if err := progress.Do(opts.Progress, "naming the result", func(progress.Step) error {
		return dst.Publish(ctx, doc.descriptor, doc.raw)
	}); err != nil {
		return nil, err
	}
	if r.result.Analysis != nil {
		r.result.Analysis.Warnings = r.result.Warnings
	}
	return r.result, nil
}

type run struct {
	opts   Options
	codec  codec
	source Store
	from   name.Reference // of a source in a registry, else nil
	dst    Destination
	result *Result
	// artifacts are the manifests of the index that are no images' and go along.
	artifacts map[v1.Hash]bool
	// passed are images of the index that stay as they are.
	passed []v1.Descriptor
}

// single repacks a source that is one image.
func (r *run) single(ctx context.Context, d v1.Descriptor) (document, error) {
	o, err := r.openSingle(ctx, d)
	if err != nil {
		return document{}, err
	}
	return r.image(ctx, o, platformText(o.platform()))
}

func (r *run) openSingle(ctx context.Context, d v1.Descriptor) (*original, error) {
	o, err := r.open(ctx, d)
	if err == nil && !r.wants(o.platform()) {
		err = noPlatform([]v1.Platform{o.platform()})
	}
	return o, err
}

func (r *run) open(ctx context.Context, d v1.Descriptor) (*original, error) {
	return open(ctx, r.source, d)
}

func (r *run) wants(p v1.Platform) bool {
	for _, want := range r.opts.Platforms {
		if want.Match(p) {
			return true
		}
	}
	return len(r.opts.Platforms) == 0
}

func (r *run) warn(format string, args ...any) {
	r.result.Warnings = append(r.result.Warnings, fmt.Sprintf(format, args...))
}

package evidence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/tree"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/verify"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// echo runs "exit N" and nothing else.
type echo struct{ trouble error }

func (e echo) Use(ctx context.Context, fn func(context.Context, smoke.Image) error) error {
	if e.trouble != nil {
		return e.trouble
	}
	return fn(ctx, e)
}

func (echo) Host() record.Host {
	return record.Host{OS: "linux", Arch: "amd64", Runner: "docker", Version: "1"}
}

func (echo) Run(_ context.Context, p smoke.Process) (int, error) {
	var n int
	fmt.Sscan(p.Args[1], &n)
	fmt.Fprintln(p.Stdout, "exiting with", n)
	return n, nil
}

const manifestID = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// setUp pushes an index with an image for two platforms and returns the options
// for a run on the first one.
func setUp(t *testing.T, label string) (evidence.Options, *key.Private, *referrers.Repository) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	ref, err := image.Parse(strings.TrimPrefix(server.URL, "http://") + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := random.Image(256, 2)
		if err == nil && label != "" {
			img, err = mutate.Config(img, v1.Config{Labels: map[string]string{wire.LabelManifestID: label, wire.LabelManifestName: "app"}})
		}
		if err != nil {
			t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	if err := remote.WriteIndex(ref.Name, idx); err != nil {
		t.Fatal(err)
	}
	s, err := image.Resolve(t.Context(), ref, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := image.Platform(s, "linux/amd64", "")
	if err != nil {
		t.Fatal(err)
	}
	su, err := suite.Parse("smoke.yaml", []byte("commands: [{name: one, run: [exit, '0']}]"))
	if err != nil {
		t.Fatal(err)
	}
	pem, _, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.ParsePrivate(pem, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := referrers.Open(t.Context(), ref.Name.Context(), true, image.Options{}, referrers.Pace{Settle: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	base, err := record.ParseBase("debian:12@" + manifestID)
	if err != nil {
		t.Fatal(err)
	}
	return evidence.Options{
		Subject: s, Platform: p, Suites: []*suite.Suite{su}, Runner: echo{}, Base: &base,
		Key: k, Attach: r, RecordDir: filepath.Join(t.TempDir(), "records"),
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	}, k, r
}

func TestRunAndVerify(t *testing.T) {
	for name, tt := range map[string]struct {
		exit   string
		runner echo
		want   record.Status
	}{
		"pass":  {"0", echo{}, record.Pass},
		"fail":  {"1", echo{}, record.Fail},
		"error": {"0", echo{errors.New("the engine is gone")}, record.Error},
	} {
		t.Run(name, func(t *testing.T) {
			opts, k, r := setUp(t, manifestID)
			opts.Runner, opts.Suites[0].Commands[0].Args[1], opts.SBOM = tt.runner, tt.exit, true
			result, err := evidence.Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if result.Record.Status != tt.want || (result.Trouble != nil) != (tt.want == record.Error) {
				t.Errorf("status %s, trouble %v", result.Record.Status, result.Trouble)
			}
			if m := result.Record.Manifest; m == nil || m.ID != manifestID || m.Name != "app" {
				t.Errorf("manifest %+v", m)
			}
			if err := result.Record.Validate(); err != nil {
				t.Error(err)
			}
			if want, err := tree.Digest(t.Context(), opts.Platform.Image, progress.Discard.Step("")); err != nil || result.Record.Image.Tree != want {
				t.Errorf("tree %q, want %s; %v", result.Record.Image.Tree, want, err)
			}
			report, err := verify.Verify(t.Context(), r, opts.Platform.Descriptor.Digest,
				verify.Options{Key: k.Public(), Status: tt.want, Types: []string{wire.PredicateSPDX, wire.PredicateTestResult}})
			if err != nil || !report.Valid {
				t.Errorf("not valid: %v, %v", report.Reasons, err)
			}
			// The index, with its other platform, was not tested.
			report, err = verify.Verify(t.Context(), r, opts.Subject.Descriptor.Digest, verify.Options{Key: k.Public(), Status: tt.want})
			if err != nil || report.Valid {
				t.Errorf("the index is valid, %v", err)
			}
			written, err := os.ReadFile(result.File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := record.Parse(written); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunAgainChangesNothing(t *testing.T) {
	opts, _, r := setUp(t, "")
	opts.SBOM = true
	first, err := evidence.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadDir(opts.RecordDir)
	second, err := evidence.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := json.Marshal(first)
	two, _ := json.Marshal(second)
	if string(one) != string(two) {
		t.Errorf("got\n%s, then\n%s", one, two)
	}
	after, _ := os.ReadDir(opts.RecordDir)
	list, err := r.List(t.Context(), opts.Platform.Descriptor.Digest)
	if err != nil || len(list) != 4 || len(before) != len(after) || len(after) != 6 {
		t.Errorf("%d referrers, %d and %d files, %v", len(list), len(before), len(after), err)
	}
}

func TestRefusedBeforeAnythingRuns(t *testing.T) {
	for name, tt := range map[string]struct {
		label  string
		change func(*evidence.Options)
		err    string
		hint   string
	}{
		"no base":          {"", func(o *evidence.Options) { o.Base = nil }, "the base image is not known", "--base NAME@sha256:DIGEST"},
		"another manifest": {manifestID, func(o *evidence.Options) { o.ManifestID = "sha256:" + strings.Repeat("c", 64) }, "it was built from manifest " + manifestID, "--manifest-id"},
		"a label gone mad": {"x", func(*evidence.Options) {}, `manifest id "x" is not sha256:`, ""},
		"a missing variable": {"", func(o *evidence.Options) {
			o.Suites[0].Commands[0].Env = []suite.Variable{{Name: "NOPE", FromCaller: true}}
		}, "variable NOPE is not set here", "set it"},
	} {
		t.Run(name, func(t *testing.T) {
			opts, _, r := setUp(t, tt.label)
			tt.change(&opts)
			_, err := evidence.Run(t.Context(), opts)
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("err = %v, hint %q", err, fault.HintOf(err))
			}
			nothingLeft(t, opts, r)
		})
	}
}

func TestRecordOfALayoutHoldsNoPath(t *testing.T) {
	opts, _, _ := setUp(t, "")
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(opts.Platform.Image)
	}
	if err != nil {
		t.Fatal(err)
	}
	opts.Subject.Reference = image.Reference{Kind: image.Layout, Dir: dir}
	opts.Attach, opts.SBOM = nil, true
	if _, err := evidence.Run(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(opts.RecordDir, "*"))
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(data), dir) {
			t.Errorf("%s holds the path of the layout; %v", filepath.Base(file), err)
		}
	}
}

func TestInterruptedRunLeavesNothing(t *testing.T) {
	opts, _, r := setUp(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := evidence.Run(ctx, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	nothingLeft(t, opts, r)
}

func nothingLeft(t *testing.T, opts evidence.Options, r *referrers.Repository) {
	t.Helper()
	if _, err := os.Stat(opts.RecordDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record directory is there: %v", err)
	}
	if list, err := r.List(t.Context(), opts.Platform.Descriptor.Digest); err != nil || len(list) > 0 {
		t.Errorf("attached: %v, %v", list, err)
	}
}

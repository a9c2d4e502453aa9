package evidence

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// describe begins the record with what is known before anything runs, so that an
// image that cannot have a record is refused at once.
func describe(opts Options) (record.Record, error) {
	img := opts.Platform.Image
	config, err := img.ConfigFile()
	if err != nil {
		return record.Record{}, describeErr(err, opts)
	}
	configDigest, err := img.ConfigName()
	if err != nil {
		return record.Record{}, describeErr(err, opts)
	}
	r := record.Record{
		Schema:   wire.PredicateCompatibility,
		Platform: opts.Platform.Platform.String(),
		Notes:    opts.Notes,
		Image: record.Image{
			Name:     imageName(opts),
			Manifest: opts.Platform.Descriptor.Digest.String(),
			Config:   configDigest.String(),
			DiffIDs:  hashes(config.RootFS.DiffIDs),
		},
	}
	if opts.Subject.IsIndex() {
		r.Image.Index = opts.Subject.Descriptor.Digest.String()
	}
	if r.Manifest, err = manifestOf(config.Config.Labels, opts.ManifestID); err != nil {
		return record.Record{}, describeErr(err, opts)
	}
	if opts.Base != nil {
		r.Base = *opts.Base
	} else if r.Base, err = record.FindBase(opts.Subject, opts.Platform); err != nil {
		return record.Record{}, describeErr(err, opts)
	}
	return r, nil
}

// imageName keeps the machine's paths out of records.
func imageName(opts Options) string {
	ref := opts.Subject.Reference
	if ref.Kind == image.Registry {
		return ref.Name.Context().Name()
	}
	if ref.Tag != "" {
		return ref.Tag
	}
	return "oci-layout"
}

func manifestOf(labels map[string]string, id string) (*record.Manifest, error) {
	label := labels[wire.LabelManifestID]
	switch {
	case id == "" && label == "":
		return nil, nil
	case id == "":
		id = label
	case label != "" && label != id:
		return nil, fault.Hint(fmt.Errorf("it was built from manifest %s, not %s", label, id), "leave --manifest-id out, or test the image that was built from it")
	}
	if !record.IsDigest(id) {
		return nil, fmt.Errorf("manifest id %q is not sha256: and 64 hex digits", id)
	}
	return &record.Manifest{ID: id, Name: labels[wire.LabelManifestName]}, nil
}

// fill adds what the tests said.
func fill(r *record.Record, tests smoke.Result) {
	r.Status, r.Host = tests.Status, tests.Host
	r.Suites = []record.Suite{}
	for _, report := range tests.Reports {
		s := record.Suite{
			Name: report.Suite.Name, Kind: "smoke", Digest: report.Suite.Digest, Status: report.Status,
			Millis: report.Duration.Milliseconds(), Tests: []record.Test{},
			Log: describeFile(report.Suite.Name+".log", logType, report.Log),
		}
		for _, o := range report.Outcomes {
			s.Tests = append(s.Tests, record.Test{Name: o.Name, Status: o.Status, Reason: o.Reason, Millis: o.Duration.Milliseconds()})
		}
		s.Counts = record.Count(s.Tests)
		r.Suites = append(r.Suites, s)
	}
}

const logType = "text/plain; charset=utf-8"

func describeFile(name, mediaType string, data []byte) intoto.Descriptor {
	return intoto.Descriptor{
		Name: name, MediaType: mediaType, Digest: intoto.Digests(sha256Of(data)),
		Annotations: map[string]string{"size": strconv.Itoa(len(data))},
	}
}

// testResult states the same in the vocabulary that other tools read. It has no
// word for tests without an answer; they count as failed.
func testResult(r record.Record, tests smoke.Result) intoto.TestResult {
	t := intoto.TestResult{Result: intoto.Passed, Configuration: []intoto.Descriptor{}}
	if r.Status != record.Pass {
		t.Result = intoto.Failed
	}
	for i, s := range r.Suites {
		t.Configuration = append(t.Configuration, intoto.Descriptor{
			Name: s.Name, Digest: intoto.Digests(s.Digest),
			Annotations: map[string]string{"size": strconv.FormatInt(tests.Reports[i].Suite.Size, 10)},
		})
		for _, test := range s.Tests {
			name := strings.Join([]string{s.Name, test.Name}, "/")
			if test.Status == record.Pass {
				t.PassedTests = append(t.PassedTests, name)
			} else {
				t.FailedTests = append(t.FailedTests, name)
			}
		}
	}
	return t
}

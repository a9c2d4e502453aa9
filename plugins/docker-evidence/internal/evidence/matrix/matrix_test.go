package matrix_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/matrix"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

func sha(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func made(manifest, platform string, status record.Status, minute int) record.Record {
	tests := []record.Test{{Name: "runs", Status: status}}
	return record.Record{
		Schema: wire.PredicateCompatibility, Status: status, Platform: platform,
		Manifest: &record.Manifest{ID: sha("a"), Name: manifest},
		Image:    record.Image{Name: "registry.test/app", Manifest: sha("b"), Config: sha("c")},
		Base:     record.Base{Name: "debian", Digest: sha("d"), Source: "flag"},
		Suites:   []record.Suite{{Name: "smoke", Status: status, Counts: record.Count(tests), Tests: tests}},
		SBOM:     &record.SBOM{Packages: 7},
		Finished: time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC),
	}
}

// files puts records into a directory as docker evidence run does, with bundles
// signed by k.
func files(t *testing.T, k *key.Private, records ...record.Record) fstest.MapFS {
	t.Helper()
	dir := fstest.MapFS{}
	for _, r := range records {
		data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		stem, err := r.Stem()
		if err != nil {
			t.Fatal(err)
		}
		payload, err := intoto.New(intoto.Descriptor{Name: "app", Digest: intoto.Digests(r.Image.Manifest)}, wire.PredicateCompatibility, r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Sign(k, intoto.PayloadType, payload)
		if err != nil {
			t.Fatal(err)
		}
		dir[stem+".json"] = &fstest.MapFile{Data: data}
		dir[stem+matrix.BundleSuffix] = &fstest.MapFile{Data: b}
		dir[stem+".spdx.json"] = &fstest.MapFile{Data: []byte("{}")}
		dir[stem+".smoke.log"] = &fstest.MapFile{Data: []byte("ok\n")}
	}
	return dir
}

func newKey(t *testing.T) *key.Private {
	t.Helper()
	private, _, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.ParsePrivate(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewestRecordDecides(t *testing.T) {
	k := newKey(t)
	dir := files(t, k,
		made("app", "linux/amd64", record.Pass, 1),
		made("app", "linux/amd64", record.Fail, 3),
		made("app", "linux/amd64", record.Pass, 2),
		made("app", "linux/arm64", record.Pass, 1),
		made("zeta", "linux/amd64", record.Error, 1))
	cells, err := matrix.Read(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cells {
		got = append(got, c.Manifest+" "+c.Platform+" "+string(c.Status))
		if c.Signed != "" {
			t.Errorf("%s: signed = %q without a key", c.File, c.Signed)
		}
	}
	want := "app linux/amd64 fail, app linux/arm64 pass, zeta linux/amd64 error"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if c := cells[0]; c.Records != 3 || c.Tests.Fail != 1 || c.Packages != 7 || c.Image != "registry.test/app@"+sha("b") {
		t.Errorf("got %+v", c)
	}
}

func TestFailureOfTheSameSecondDecides(t *testing.T) {
	for i := range 8 { // whatever the order of the files' names
		a, b := made("app", "linux/amd64", record.Pass, 1), made("app", "linux/amd64", record.Fail, 1)
		a.Notes = strings.Repeat("x", i)
		cells, err := matrix.Read(files(t, newKey(t), a, b), nil)
		if err != nil || len(cells) != 1 || cells[0].Status != record.Fail || cells[0].Records != 2 {
			t.Errorf("got %+v, %v", cells, err)
		}
	}
}

func TestSigned(t *testing.T) {
	k := newKey(t)
	r := made("app", "linux/amd64", record.Pass, 1)
	stem, err := r.Stem()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(fstest.MapFS)
		key    *key.Private
		want   string
	}{
		"as it was written": {func(fstest.MapFS) {}, k, "yes"},
		"no bundle":         {func(d fstest.MapFS) { delete(d, stem+matrix.BundleSuffix) }, k, "no bundle"},
		"another key":       {func(fstest.MapFS) {}, newKey(t), bundle.ErrKey.Error()},
		"edited record": {func(d fstest.MapFS) {
			f := d[stem+".json"]
			f.Data = []byte(strings.Replace(string(f.Data), `"packages": 7`, `"packages": 8`, 1))
		}, k, "the record is not what was signed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, k, r)
			tt.change(dir)
			cells, err := matrix.Read(dir, tt.key.Public())
			if err != nil || len(cells) != 1 {
				t.Fatal(cells, err)
			}
			if cells[0].Signed != tt.want {
				t.Errorf("signed = %q, want %q", cells[0].Signed, tt.want)
			}
		})
	}
}

func TestDamagedRecordIsAnError(t *testing.T) {
	dir := fstest.MapFS{"0123456789ab-0123456789ab.json": {Data: []byte(`{"schema":"x"}`)}, "half.json": {Data: []byte(`{`)}}
	_, err := matrix.Read(dir, nil)
	for name := range dir {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err = %v, does not name %s", err, name)
		}
	}
	if cells, err := matrix.Read(fstest.MapFS{}, nil); err != nil || len(cells) != 0 {
		t.Errorf("an empty directory: %v, %v", cells, err)
	}
}

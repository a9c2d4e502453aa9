// Package matrix sums a directory of records up: one cell for each manifest and
// platform, with the newest answer. An older pass does not hide a newer failure, nor does one
// of the same second.
package matrix

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// BundleSuffix is what the file of a record's signed bundle ends in, instead of
// ".json".
const BundleSuffix = ".compatibility.sigstore.json"

// maxRecord bounds a record file, in bytes.
const maxRecord = 8 << 20

// A Cell is what is known about one manifest on one platform.
type Cell struct {
	Manifest   string        `json:"manifest"`             // the manifest's name, else the image's
	ManifestID string        `json:"manifestId,omitempty"` // "sha256:<hex>"
	Platform   string        `json:"platform"`
	Status     record.Status `json:"status"`
	Tests      record.Counts `json:"tests"` // of all suites
	Packages   int           `json:"packages"`
	Image      string        `json:"image"` // repository@digest that was tested
	Finished   time.Time     `json:"finished"`
	Records    int           `json:"records"` // that there are for the cell, this one among them
	File       string        `json:"file"`    // the newest record
	// Signed tells whether the record's bundle holds it, signed by the key.
	// It is empty if no key was given.
	Signed string `json:"signed,omitempty"` // "yes", or why not
}

// Read returns the cells of the records in dir, by manifest, id and platform.
// With a key, each newest record is checked against its bundle. Files that belong
// to records are passed over; records that cannot be read are an error, which
// names them all.
func Read(dir fs.FS, public *key.Public) ([]Cell, error) {
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, err
	}
	cells := map[[3]string]*Cell{}
	newest := map[*Cell]record.Record{}
	var damaged fault.List
	for _, name := range names {
		if strings.Contains(strings.TrimSuffix(name, ".json"), ".") {
			continue // a bundle or an SBOM
		}
		r, err := read(dir, name)
		if err != nil {
			damaged.Add(fmt.Errorf("reading record %s: %w", name, err))
			continue
		}
		c := cell(r, name)
		at := [3]string{c.Manifest, c.ManifestID, c.Platform}
		old := cells[at]
		if old != nil {
			c.Records += old.Records
			if !r.Outweighs(newest[old]) {
				old.Records = c.Records
				continue
			}
			delete(newest, old)
		}
		cells[at], newest[&c] = &c, r
	}
	if err := damaged.Err(); err != nil {
		return nil, err
	}
	out := make([]Cell, 0, len(cells))
	for _, c := range cells {
		if public != nil {
			c.Signed = signed(dir, newest[c], c.File, public)
		}
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.ManifestID, b.ManifestID), cmp.Compare(a.Platform, b.Platform))
	})
	return out, nil
}

func read(dir fs.FS, name string) (record.Record, error) {
	data, err := readFile(dir, name, maxRecord)
	if err != nil {
		return record.Record{}, err
	}
	return record.Parse(data)
}

func readFile(dir fs.FS, name string, limit int64) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, err
}

func cell(r record.Record, file string) Cell {
	c := Cell{
		Manifest: path.Base(r.Image.Name), Platform: r.Platform, Status: r.Status,
		Image: r.Image.Name + "@" + r.Image.Manifest, Finished: r.Finished, Records: 1, File: file,
	}
	if m := r.Manifest; m != nil {
		c.ManifestID = m.ID
		c.Manifest = cmp.Or(m.Name, c.Manifest)
	}
	for _, s := range r.Suites {
		c.Tests.Total += s.Counts.Total
		c.Tests.Pass += s.Counts.Pass
		c.Tests.Fail += s.Counts.Fail
		c.Tests.Error += s.Counts.Error
	}
	if r.SBOM != nil {
		c.Packages = r.SBOM.Packages
	}
	return c
}

// signed returns "yes" if the bundle beside the record holds that very record,
// signed by public, and else what is wrong.
func signed(dir fs.FS, r record.Record, file string, public *key.Public) string {
	data, err := readFile(dir, strings.TrimSuffix(file, ".json")+BundleSuffix, bundle.MaxSize)
	if err != nil {
		return "no bundle"
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return err.Error()
	}
	payloadType, payload, err := b.Verify(public)
	if err != nil {
		return err.Error()
	}
	s, err := intoto.Parse(payloadType, payload)
	if err != nil {
		return err.Error()
	}
	if s.PredicateType != wire.PredicateCompatibility {
		return "the bundle holds no record"
	}
	if !equal(s.Predicate, r) {
		return "the record is not what was signed"
	}
	return "yes"
}

func equal(predicate []byte, r record.Record) bool {
	p, err := record.Parse(predicate)
	if err != nil {
		return false
	}
	x, errX := p.Encode()
	y, errY := r.Encode()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

package pkgdb

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rpmdb "github.com/anchore/go-rpmdb/pkg"
	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

// databases returns rpm databases of real distributions, which the library that is
// the judge here comes with.
func databases(t testing.TB) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/anchore/go-rpmdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, base := range []string{"Packages", "Packages.db", "rpmdb.sqlite"} {
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "pkg/testdata/*", base))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s in %s: %v", base, dir, err)
		}
		out = append(out, found...)
	}
	return out
}

func readRPM(data []byte) (map[string][]string, error) {
	got := map[string][]string{}
	blobs := bdbBlobs
	switch {
	case len(data) > 4 && string(data[:4]) == "RpmP":
		blobs = ndbBlobs
	case len(data) > 6 && string(data[:6]) == "SQLite":
		blobs = sqliteBlobs
	}
	err := blobs(data, func(blob []byte) {
		if pkg, paths, err := parseHeader(blob); err == nil && pkg != "" {
			got[pkg] = append(got[pkg], paths...)
		}
	})
	for _, paths := range got {
		slices.Sort(paths)
	}
	return got, err
}

// Our readers find what a library for the purpose finds.
func TestRPM(t *testing.T) {
	formats := map[string]int{}
	for _, file := range databases(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		db, err := rpmdb.Open(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		packages, err := db.ListPackages()
		db.Close()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want := map[string][]string{}
		for _, p := range packages {
			names, err := p.InstalledFileNames()
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				if name, ok := relative(n); ok {
					want[p.Name] = append(want[p.Name], name)
				}
			}
			if want[p.Name] == nil {
				want[p.Name] = []string(nil)
			}
		}
		for _, paths := range want {
			slices.Sort(paths)
		}
		got, err := readRPM(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(got) == 0 {
			t.Fatalf("%s: %d packages", file, len(got))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %.2000s", file, diff)
		}
		formats[filepath.Base(file)]++
	}
	t.Log(formats)
}

func FuzzRPM(f *testing.F) {
	for _, file := range databases(f) {
		if info, err := os.Stat(file); err != nil || info.Size() > 4<<20 {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 300<<10)])
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, blobs := range []func([]byte, func([]byte)) error{sqliteBlobs, ndbBlobs, bdbBlobs} {
			_ = blobs(data, func(blob []byte) { _, _, _ = parseHeader(blob) })
		}
		_, _, _ = parseHeader(data)
	})
}

// Whatever byte of a real database is wrong, nothing panics.
func TestDamagedRPM(t *testing.T) {
	for _, file := range databases(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 2<<20 {
			continue
		}
		for at := 0; at < min(len(data), 1<<16); at += 1 + at/8 {
			old := data[at]
			data[at] ^= 0xff
			_, _ = readRPM(data)
			data[at] = old
		}
		for n := 1; n < len(data); n *= 3 {
			_, _ = readRPM(data[:n])
		}
	}
}

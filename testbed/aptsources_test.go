package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const deb822 = `Types: deb deb-src
# a comment inside of a stanza
URIs: http://deb.debian.org/debian
 http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: bookworm
Components: main
`

func TestParseDeb822(t *testing.T) {
	got := parseDeb822(strings.ReplaceAll(deb822, "\n", "\r\n"))
	suites := []string{"bookworm", "bookworm-updates"}
	want := []source{
		{"http://deb.debian.org/debian", suites, []string{"main"}},
		{"http://mirror.example/debian", suites, []string{"main"}},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(source{})); d != "" {
		t.Error(d)
	}
}

func TestParseList(t *testing.T) {
	got := parseList(`# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] https://user:secret@proxy.example/debian bookworm main contrib # why
deb-src http://deb.debian.org/debian bookworm main
deb broken
`)
	want := []source{{"https://user:secret@proxy.example/debian", []string{"bookworm"}, []string{"main", "contrib"}}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(source{})); d != "" {
		t.Error(d)
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add(deb822)
	f.Add("deb [a=b] http://x/debian s c\n ]deb [")
	f.Fuzz(func(_ *testing.T, text string) {
		sourcesFile(chooseMirror(append(parseDeb822(text), parseList(text)...)).sources)
	})
}

func TestHostSourcesAreReadInAptsOrder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sources.list"), "deb http://one/debian bookworm main\n")
	write(t, filepath.Join(dir, "sources.list.d", "b.list"), "deb http://three/debian bookworm main\n")
	write(t, filepath.Join(dir, "sources.list.d", "a.sources"), "Types: deb\nURIs: http://two/debian\nSuites: bookworm\nComponents: main\n")
	write(t, filepath.Join(dir, "sources.list.d", "c.list.save"), "deb http://four/debian bookworm main\n")
	var got []string
	for _, s := range hostSources(dir) {
		got = append(got, s.uri)
	}
	if d := cmp.Diff([]string{"http://one/debian", "http://two/debian", "http://three/debian"}, got); d != "" {
		t.Error(d)
	}
}

func TestChooseMirror(t *testing.T) {
	main := []string{"main"}
	for _, c := range []struct {
		name string
		host []source
		uri  string
		want []source
	}{
		{
			name: "the same release",
			host: []source{
				{"https://packages.example/apt", []string{"cloud"}, main},
				{"http://deb.debian.org/debian", []string{"bookworm", "bookworm-updates", "bookworm-backports"}, main},
				{"http://deb.debian.org/debian-security", []string{"bookworm-security"}, []string{"main", "non-free"}},
			},
			uri: "http://deb.debian.org/debian",
			want: []source{
				{"http://deb.debian.org/debian", []string{"bookworm", "bookworm-updates"}, main},
				{"http://deb.debian.org/debian-security", []string{"bookworm-security"}, main},
			},
		},
		{
			name: "credentials stay on the host",
			host: []source{{"https://me:secret@mirror.example/debian", []string{"bookworm"}, main}},
			uri:  "https://me:secret@mirror.example/debian",
			want: []source{{"https://mirror.example/debian", []string{"bookworm"}, main}},
		},
		{
			name: "a later release lends its archive",
			host: []source{{"http://mirror.example/debian/", []string{"trixie", "trixie-updates"}, main}},
			uri:  "http://mirror.example/debian/",
			want: []source{{"http://mirror.example/debian/", []string{"bookworm", "bookworm-updates"}, main}},
		},
		{
			name: "Ubuntu has none",
			host: []source{{"http://archive.ubuntu.com/ubuntu", []string{"noble"}, main}},
			uri:  "http://deb.debian.org/debian",
			want: []source{{"http://deb.debian.org/debian", []string{"bookworm", "bookworm-updates"}, main}},
		},
		{
			name: "a medium is no mirror",
			host: []source{{"cdrom:[Debian]/", []string{"bookworm"}, main}, {"file:/srv/debian", []string{"bookworm"}, main}},
			uri:  "http://deb.debian.org/debian",
			want: []source{{"http://deb.debian.org/debian", []string{"bookworm", "bookworm-updates"}, main}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := chooseMirror(c.host)
			if m.uri != c.uri {
				t.Errorf("bootstrapping from %s, want %s", m.uri, c.uri)
			}
			if d := cmp.Diff(c.want, m.sources, cmp.AllowUnexported(source{})); d != "" {
				t.Error(d)
			}
			if text := sourcesFile(m.sources); strings.Contains(text, "secret") {
				t.Errorf("the image would hold a password:\n%s", text)
			}
		})
	}
}

func TestSourcesFileIsReadBack(t *testing.T) {
	want := []source{
		{"http://a/debian", []string{"bookworm", "bookworm-updates"}, []string{"main"}},
		{"http://b/debian-security", []string{"bookworm-security"}, []string{"main"}},
	}
	if d := cmp.Diff(want, parseDeb822(sourcesFile(want)), cmp.AllowUnexported(source{})); d != "" {
		t.Error(d)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

package pkgdb

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// tree merges entries, and returns a reader of their contents.
func tree(t testing.TB, entries ...Entry) (*layer.Tree, Reader) {
	t.Helper()
	data := Tar(t, entries...)
	set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	merged, err := layer.Merge([]*layer.Changeset{set})
	if err != nil {
		t.Fatal(err)
	}
	return merged, func(e layer.Entry) ([]byte, error) {
		for _, x := range entries {
			if x.Name == e.Path {
				return []byte(x.Body), nil
			}
		}
		return nil, errors.New("no such file")
	}
}

func TestOwners(t *testing.T) {
	merged, read := tree(t,
		Symlink("lib", "usr/lib"), Symlink("bin", "/usr/bin"),
		File("var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib\n/lib/libc.so.6\n/usr/share/doc/libc6\n/usr/share/doc/libc6/copyright\n"),
		File("var/lib/dpkg/info/libc6:amd64.md5sums", ""),
		File("var/lib/dpkg/info/python3-foo.list", "/usr/lib/python3/dist-packages/foo/a.py\n/bin/foo\n/gone\n"),
		File("var/lib/dpkg/status", ""),
		File("var/lib/dpkg/status.d/tzdata.md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/share/zoneinfo/UTC\n"),
		File("usr/lib/libc.so.6", "x"), File("usr/share/doc/libc6/copyright", "x"), File("usr/bin/foo", "x"), File("usr/share/zoneinfo/UTC", "x"),
		File("usr/lib/python3/dist-packages/foo/a.py", "x"), File("usr/lib/python3/dist-packages/foo/__pycache__/a.pyc", "x"),
		File("lib/apk/db/installed", ""),
		File("opt/v/lib/site-packages/bar-1.2.dist-info/RECORD", "bar/x.py,sha256=1,2\n../../bin/bar,,\n\"bar/a,b.py\",,\nbar-1.2.dist-info/RECORD,,\n"),
		File("opt/v/lib/site-packages/bar/x.py", ""), File("opt/v/lib/site-packages/bar/a,b.py", ""), File("opt/v/bin/bar", ""), File("opt/v/bin/other", ""),
		File("opt/v/lib/site-packages/Baz-2.egg-info", ""), File("opt/v/lib/site-packages/single.py", ""),
		File("app/node_modules/@s/p/index.js", ""), File("app/node_modules/q/node_modules/r/index.js", ""), File("app/node_modules/.lock", ""),
		File("app/lib/guava-33.1-jre.jar", ""), File("app/lib/app.jar", ""), File("app/main", ""),
	)
	o, problems := Read(merged, read)
	if len(problems) > 0 {
		t.Error(problems)
	}
	for name, want := range map[string]Package{
		"usr/lib/libc.so.6":                                   {Deb, "libc6"},
		"usr/share/doc/libc6/copyright":                       {Deb, "libc6"},
		"var/lib/dpkg/info/libc6:amd64.md5sums":               {Deb, "libc6"},
		"usr/bin/foo":                                         {Deb, "python3-foo"},
		"usr/lib/python3/dist-packages/foo/__pycache__/a.pyc": {Deb, "python3-foo"},
		"usr/share/zoneinfo/UTC":                              {Deb, "tzdata"},
		"opt/v/lib/site-packages/bar/x.py":                    {Python, "bar"},
		"opt/v/lib/site-packages/bar/a,b.py":                  {Python, "bar"},
		"opt/v/bin/bar":                                       {Python, "bar"},
		"opt/v/lib/site-packages/Baz-2.egg-info":              {Python, "baz"},
		"opt/v/lib/site-packages/single.py":                   {Python, "single"},
		"app/node_modules/@s/p/index.js":                      {Node, "app/node_modules/@s/p"},
		"app/node_modules/q/node_modules/r/index.js":          {Node, "app/node_modules/q"},
		"app/lib/guava-33.1-jre.jar":                          {Java, "app/lib/guava"},
		"app/lib/app.jar":                                     {Java, "app/lib/app"},
		"app/main":                                            {},
		"var/lib/dpkg/status":                                 {},
		"app/node_modules/.lock":                              {},
	} {
		if got, ok := o.Of(name); got != want || ok != (want != Package{}) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestAPK(t *testing.T) {
	merged, read := tree(t,
		File("lib/apk/db/installed", "C:Q1\nP:musl\nV:1.2\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:Q1\n\nP:busybox\nF:\nF:bin\nR:busybox\n"),
		File("lib/ld-musl-x86_64.so.1", "x"), File("bin/busybox", "x"), File("bin/mine", "x"),
	)
	o, _ := Read(merged, read)
	for name, want := range map[string]Package{"lib/ld-musl-x86_64.so.1": {APK, "musl"}, "bin/busybox": {APK, "busybox"}} {
		if got, _ := o.Of(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// A damaged database is told of and costs nothing but its groups.
func TestDamagedDatabase(t *testing.T) {
	merged, read := tree(t, File("var/lib/rpm/rpmdb.sqlite", "SQLite format 3\x00"), File("a", "x"))
	o, problems := Read(merged, read)
	if _, ok := o.Of("a"); ok || len(problems) != 1 {
		t.Error(problems)
	}
}

// Symlinks may lead in circles.
func TestSymlinkLoop(t *testing.T) {
	merged, read := tree(t, Symlink("a", "b"), Symlink("b", "a"), Symlink("c", "c/c"), File("var/lib/dpkg/info/x.list", "/a/f\n/c/f\n"))
	Read(merged, read)
}

func FuzzText(f *testing.F) {
	f.Add([]byte("P:musl\nF:lib\nR:x\n\n"))
	f.Add([]byte("bar/x.py,sha256=1,2\n\"a\nb\",,"))
	f.Add([]byte("/usr/../../x\n/.\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(paths []string) {
			for _, p := range paths {
				if p == "" || p[0] == '/' {
					t.Errorf("path %q", p)
				}
			}
		}
		check(parseList(data))
		check(parseSums(data))
		check(parseRecord(data, "usr/lib/site-packages"))
		parseInstalled(data, func(_ string, paths []string) { check(paths) })
	})
}

// What a database says of paths that no tree has takes no memory to speak of.
func TestHostilePaths(t *testing.T) {
	deep := strings.Repeat("/a", 10_000)
	lines := make([]string, 60)
	for i := range lines {
		lines[i] = fmt.Sprintf("/%d%s/x\n", i, deep[:3000])
	}
	merged, read := tree(t,
		Dir("a"), Symlink("a/a", "."), File("a/x", ""),
		File("var/lib/dpkg/info/p.list", deep+"/x\n"+strings.Join(lines, "")+"/a/x\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o, problems := Read(merged, read)
	runtime.ReadMemStats(&after)
	if p, ok := o.Of("a/x"); !ok || p.Name != "p" || len(problems) > 0 {
		t.Errorf("got %v, %v, %v", p, ok, problems)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 30<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

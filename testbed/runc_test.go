package testbed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpecFile(t *testing.T) {
	for line, want := range map[string]string{
		"--root /r --log /l create --bundle /b --pid-file /p id": "/b/config.json",
		"--root=/r create --bundle=/b id":                        "/b/config.json",
		"run id":                                                 "config.json",
		"--root /r exec --process /p.json --detach id":           "/p.json",
		"exec id sh":                                             "",
		"--root /r delete --force id":                            "",
		"features":                                               "",
	} {
		if got := specFile(strings.Fields(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestDropCaps(t *testing.T) {
	const caps = `{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"],"ambient":[]}`
	for what, spec := range map[string]string{
		"a container": `{"ociVersion":"1.0.2","process":{"args":["sh"],"oomScoreAdj":9007199254740993,"capabilities":` + caps + `},"linux":{"x":1}}`,
		"a process":   `{"args":["sh"],"oomScoreAdj":9007199254740993,"capabilities":` + caps + `}`,
	} {
		path := filepath.Join(t.TempDir(), "spec")
		write(t, path, spec)
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dropCaps(path, []string{"CAP_SYS_RESOURCE"}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.NewReplacer(`"CAP_CHOWN","CAP_SYS_RESOURCE"`, `"CAP_CHOWN"`, `["CAP_SYS_RESOURCE"]`, `[]`).Replace(spec)
		if d := cmp.Diff(decode(t, want), decode(t, string(got))); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: its mode is %v, %v", what, fi.Mode(), err)
		}
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // or a changed number would look the same
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDropCapsLeavesTheRestAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec")
	for _, spec := range []string{`{ "process": {"args": ["sh"]} }`, `{ "process": {"capabilities": {"bounding": ["CAP_CHOWN"]}} }`} {
		write(t, path, spec)
		if err := dropCaps(path, []string{"CAP_SYS_RESOURCE"}); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != spec {
			t.Errorf("%s became %s", spec, got)
		}
	}
	write(t, path, `{"process":`)
	if err := dropCaps(path, []string{"CAP_SYS_RESOURCE"}); err == nil {
		t.Error("half a specification was taken")
	}
}

func TestCapsOutside(t *testing.T) {
	for bounding, want := range map[string][]string{
		"000001ffffffffff": nil,
		"000001fffeffffff": {"CAP_SYS_RESOURCE"},
		"000000ffffffffff": {"CAP_CHECKPOINT_RESTORE"},
	} {
		got, err := capsOutside("Name:\tx\nCapBnd:\t"+bounding+"\n", 40)
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v, %v", bounding, got, err)
		}
	}
	// An older kernel has no bit for what it does not know.
	if got, err := capsOutside("CapBnd:\t0000003fffffffff\n", 37); err != nil || len(got) > 0 {
		t.Errorf("an older kernel: %v, %v", got, err)
	}
	if _, err := capsOutside("Name:\tx\n", 40); err == nil {
		t.Error("a status without a bounding set was taken")
	}
}

func TestShimOf(t *testing.T) {
	const run = "/cache/state/run"
	join := func(args ...string) string { return strings.Join(args, "\x00") + "\x00" }
	for _, c := range []struct {
		cmdline, id string
		ok          bool
	}{
		{join("/x/containerd-shim-runc-v2", "-namespace", "moby", "-id", "abc", "-address", run+"/containerd.sock"), "abc", true},
		{join("containerd-shim-runc-v2", "-id", "abc", "-address", "/run/containerd/containerd.sock"), "abc", false},
		{join("containerd-shim-runc-v2", "-id", "abc", "-address", run+"-other/containerd.sock"), "abc", false},
		{join("vi", "-address", run+"/containerd.sock"), "", false},
		{join("containerd-shim-runc-v2", "-address"), "", false},
		{"", "", false},
	} {
		if id, ok := shimOf(c.cmdline, run); id != c.id || ok != c.ok {
			t.Errorf("%q: %q %t", c.cmdline, id, ok)
		}
	}
}

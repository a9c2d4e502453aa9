package testbed

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFreeSubnet(t *testing.T) {
	taken := []netip.Prefix{netip.MustParsePrefix("172.31.0.1/24"), netip.MustParsePrefix("172.31.1.128/30"), netip.MustParsePrefix("fe80::1/64")}
	if got, err := freeSubnet(taken); err != nil || got.String() != "172.31.2.0/24" {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := freeSubnet([]netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}); err == nil {
		t.Errorf("got %s of a network that is in use", got)
	}
}

func TestBridgeName(t *testing.T) {
	one, two := bridgeName("/home/one/.cache/dockerfactory"), bridgeName("/tmp/other")
	if one == two || len(one) > 15 {
		t.Errorf("bridges are named %s and %s; the kernel takes 15 bytes", one, two)
	}
	for _, r := range bridgeRules(one, "172.31.0.0/24") {
		argv := strings.Join(iptables("-I", r), " ")
		if !strings.Contains(argv, "--comment dockerfactory testbed") || !strings.HasPrefix(argv, "iptables -w -t ") {
			t.Errorf("a rule that cannot be told from the user's: %s", argv)
		}
	}
}

func TestMountsBelow(t *testing.T) {
	const info = `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:5 / /work/a rw - tmpfs x rw
31 30 0:6 / /work/a/in\040side rw - tmpfs x rw
32 22 0:7 / /work/ab rw - tmpfs x rw
33 22 0:8 / /work/a rw - overlay x rw
`
	want := []string{"/work/a", "/work/a/in side", "/work/a"}
	if d := cmp.Diff(want, mountsBelow(info, "/work/a")); d != "" {
		t.Error(d)
	}
}

func TestMissing(t *testing.T) {
	needs := []need{{program: "a", pkg: "one"}, {file: "/b", pkg: "two"}, {program: "c", pkg: "two"}, {program: "d", pkg: "three"}}
	got := missing(needs, func(n need) bool { return n.program == "a" })
	if d := cmp.Diff([]string{"two", "three"}, got); d != "" {
		t.Error(d)
	}
	if !(need{program: "sh"}).met() || !(need{file: "/proc/self/stat"}).met() || (need{program: "no-such-program"}).met() || (need{file: "/nonexistent"}).met() {
		t.Error("what is there and what is not is told wrongly")
	}
}

func TestV1Controllers(t *testing.T) {
	const table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t1\t1\nmemory\t0\t1\t1\npids\t4\t1\t0\ndevices\t5\t9\t1\n"
	if d := cmp.Diff([]string{"cpu", "devices"}, v1Controllers(table)); d != "" {
		t.Error(d)
	}
}

func TestNewEnough(t *testing.T) {
	for text, want := range map[string]bool{
		"buildkitd github.com/moby/buildkit v0.33.0 rev": true,
		"buildkitd github.com/moby/buildkit v0.17.0":     true,
		"buildkitd github.com/moby/buildkit v0.16.9":     false,
		"github.com/docker/buildx v1.0.0-rc1 abc":        true,
		"no version": false,
	} {
		if _, ok := newEnough(text, [2]int{0, 17}); ok != want {
			t.Errorf("%q: %t", text, ok)
		}
	}
	if v, ok := newEnough("Docker version 20.10.24+dfsg1, build 297e128", oldestDocker); ok || v != "20.10.24" {
		t.Errorf("Debian's old docker: %s %t", v, ok)
	}
}

// The testbed's own directory, on PATH by its exports, must not be taken for
// the user's, nor its links to the user's programs.
func TestLookUserPassesOwnDirectories(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "cache"), filepath.Join(dir, "bin")
	program(t, filepath.Join(theirs, "docker"), "echo 29")
	write(t, filepath.Join(ours, "set", "x"), "")
	if err := relink(filepath.Join(theirs, "docker"), filepath.Join(ours, "set", "docker")); err != nil {
		t.Fatal(err)
	}
	program(t, filepath.Join(ours, "set", "buildkitd"), "echo v0.33.0")
	env := func(path string) func(string) string {
		return func(name string) string { return map[string]string{"PATH": path}[name] }
	}
	set := filepath.Join(ours, "set")
	if got := lookUser("docker", ours, env(set+":relative::"+theirs)); got != filepath.Join(theirs, "docker") {
		t.Errorf("found %q", got)
	}
	if got := lookUser("buildkitd", ours, env(set+":"+theirs)); got != "" {
		t.Errorf("found %q, a tool of the testbed's own", got)
	}
}

func TestUserBuildx(t *testing.T) {
	home := t.TempDir()
	plugin := filepath.Join(home, ".docker", "cli-plugins", "docker-buildx")
	env := func(name string) string { return map[string]string{"HOME": home}[name] }
	for text, want := range map[string]string{"github.com/docker/buildx v0.30.1 x": plugin, "github.com/docker/buildx v0.10.0 x": ""} {
		program(t, plugin, "echo "+text)
		got, _ := userBuildx(t.Context(), filepath.Join(home, "cache"), env)
		if want != "" && got != want || want == "" && got == plugin {
			t.Errorf("with %s: %q", text, got)
		}
	}
}

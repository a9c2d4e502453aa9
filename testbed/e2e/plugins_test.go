//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var plugins = map[string]string{"stitch": "verify", "stickybuilder": "down", "evidence": "verify", "repack": "verify"}

func TestDockerListsThePlugins(t *testing.T) {
	listed := must(t, "", "docker", "info", "--format", "{{range .ClientInfo.Plugins}}{{.Name}} {{.Vendor}}, {{end}}")
	for name, verb := range plugins {
		contains(t, listed, name+" Docker Factory")
		contains(t, must(t, "", "docker", name, "--help"), "docker "+name, verb)
		binary := filepath.Join(bed.config, "cli-plugins", "docker-"+name)
		contains(t, must(t, "", binary, "--help"), verb)
		contains(t, must(t, "", binary, "docker-cli-plugin-metadata"), `"SchemaVersion": "0.1.0"`, `"Vendor"`)
		// Completion, through docker and without it.
		contains(t, must(t, "", "docker", "__complete", name, ""), verb+"\t")
		contains(t, must(t, "", binary, "__complete", ""), verb+"\t")
		contains(t, must(t, "", "docker", "__complete", name, verb, "--format", ""), "json")
		contains(t, fails(t, 125, "", "docker", name, verb, "--no-such-flag"), "ERROR: unknown flag: --no-such-flag")
	}
	contains(t, fails(t, 125, "", "docker", "stitch", "rendr"), `"render"`)
}

func TestInstallAndUninstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cli-plugins")
	script, err := filepath.Abs("../../install.sh")
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(bed.config, "cli-plugins")
	must(t, "", script, "--from", from, "--dir", dir)
	must(t, "", script, "--from", from, "--dir", dir) // again
	for name := range plugins {
		must(t, "", filepath.Join(dir, "docker-"+name), "docker-cli-plugin-metadata")
	}
	must(t, "", script, "--uninstall", "--dir", dir)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	contains(t, fails(t, 125, "", script, "--no-such-flag"), "unknown argument")
	contains(t, fails(t, 1, "", script, "--from", "/nonexistent"), "no such file")

	// Without Go, from a checkout.
	cmd := exec.Command(script, "--dir", dir)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}
	if _, err := exec.LookPath("/usr/bin/go"); err != nil {
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "no go on PATH") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

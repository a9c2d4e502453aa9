//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The main job on the example factory, with judges from outside at each step.
func TestFactory(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/factory")); err != nil {
		t.Fatal(err)
	}
	b := newBuilder(t, t.TempDir())
	b.up()

	repo := repository(t)
	source, packed := repo+":1.0", repo+":1.0-repacked"
	var built struct {
		Digest     string `json:"digest"`
		ManifestID string `json:"manifestId"`
	}
	mustJSON(t, &built, dir, "docker", "stitch", "build", "app", "--builder", b.name, "--push", "-t", source)
	must(t, dir, "docker", "stitch", "verify", source)

	// Evidence by both runners: on the builder itself, and on the engine.
	keys := filepath.Join(t.TempDir(), "evidence")
	must(t, dir, "docker", "evidence", "key", "generate", "--output-prefix", keys)
	for _, runner := range []string{"buildkit", "docker"} {
		records := t.TempDir()
		must(t, dir, "docker", "evidence", "run", source, "--suite", "suites/smoke.yaml", "--runner", runner,
			"--builder", b.name, "--key", keys+".key", "--record-dir", records)
		checkRecord(t, records, runner, built.Digest, built.ManifestID)
		judgeOffline(t, records, platformDigest(t, source), keys+".pub")
	}
	must(t, dir, "docker", "evidence", "verify", source, "--key", keys+".pub")
	judgeEvidence(t, source, keys+".pub")

	var report struct {
		Digest string `json:"digest"`
		Images []struct {
			BytesBefore int64 `json:"bytesBefore"`
			BytesAfter  int64 `json:"bytesAfter"`
			DeadBytes   int64 `json:"deadBytes"`
		} `json:"images"`
	}
	mustJSON(t, &report, dir, "docker", "repack", source, packed, "--target-size", "20MB")
	if i := report.Images[0]; i.DeadBytes == 0 || i.BytesAfter >= i.BytesBefore {
		t.Errorf("got %+v, want dead bytes gone and a smaller image", i)
	}
	must(t, dir, "docker", "repack", "verify", source, packed)
	judgeTrees(t, source, packed)

	run := []string{"docker", "run", "--rm", "--pull", "always"}
	command := []string{"find", "brass bolt", "--limit", "3"}
	before := must(t, "", append(append(run, source), command...)...)
	after := must(t, "", append(append(run, packed), command...)...)
	if before == "" || before != after {
		t.Errorf("the images answer differently:\n%s\n%s", before, after)
	}

	if r := b.down(); r.Decision != "commit" {
		t.Errorf("got %+v, want a commit", r)
	}
}

// checkRecord reads the one record in dir.
func checkRecord(t *testing.T, dir, runner, index, manifestID string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Status   string                  `json:"status"`
			Manifest struct{ ID string }     `json:"manifest"`
			Image    struct{ Index string }  `json:"image"`
			Base     struct{ Digest string } `json:"base"`
			Host     struct{ Runner string } `json:"host"`
			SBOM     struct{ Packages int }  `json:"sbom"`
		}
		if err := json.Unmarshal(data, &r); err != nil || r.Status == "" {
			continue // the SBOM or a bundle
		}
		if r.Status != "pass" || r.Manifest.ID != manifestID || r.Image.Index != index || r.Host.Runner != runner ||
			!strings.HasPrefix(r.Base.Digest, "sha256:") || r.SBOM.Packages < 50 {
			t.Errorf("the record says %+v", r)
		}
		return
	}
	t.Errorf("no record in %v", found)
}

// judgeOffline has cosign verify the bundles in dir without any network: the
// public key is all that it needs.
func judgeOffline(t *testing.T, dir, digest, key string) {
	t.Helper()
	hex := strings.TrimPrefix(digest, "sha256:")
	for suffix, kind := range map[string]string{
		"compatibility": "https://dockerfactory.dev/attestation/compatibility/v1", "spdx": "https://spdx.dev/Document",
	} {
		bundles, err := filepath.Glob(filepath.Join(dir, "*."+suffix+".sigstore.json"))
		if err != nil || len(bundles) != 1 {
			t.Fatalf("bundles %v, %v", bundles, err)
		}
		verify := func(hex string) result {
			return try(t, "", "unshare", "-n", filepath.Join(bed.tools, "cosign"), "verify-blob-attestation", "--key", key,
				"--bundle", bundles[0], "--insecure-ignore-tlog", "--type", kind, "--digest", hex, "--digestAlg", "sha256")
		}
		if r := verify(hex); r.status != 0 {
			t.Errorf("cosign refuses the %s bundle: %s", suffix, r.stderr)
		}
		if r := verify(strings.Repeat("0", 64)); r.status == 0 {
			t.Errorf("cosign accepts the %s bundle for another image", suffix)
		}
	}
}

// judgeEvidence has cosign verify what is attached, and oras list it.
func judgeEvidence(t *testing.T, ref, key string) {
	t.Helper()
	platform := strings.SplitN(ref, ":1.0", 2)[0] + "@" + platformDigest(t, ref)
	for _, kind := range []string{"https://dockerfactory.dev/attestation/compatibility/v1", "https://spdx.dev/Document"} {
		must(t, "", filepath.Join(bed.tools, "cosign"), "verify-attestation", "--key", key, "--insecure-ignore-tlog",
			"--allow-http-registry", "--type", kind, platform)
	}
	listed := must(t, "", filepath.Join(bed.tools, "oras"), "discover", "--plain-http", "--format", "json", platform)
	contains(t, listed, "application/vnd.dev.sigstore.bundle.v0.3+json", "https://spdx.dev/Document", "https://dockerfactory.dev/attestation/compatibility/v1")
}

// platformDigest is the digest of the image for this machine in the index at ref.
func platformDigest(t *testing.T, ref string) string {
	t.Helper()
	return must(t, "", filepath.Join(bed.tools, "crane"), "digest", "--insecure", "--platform", "linux/amd64", ref)
}

// judgeTrees unpacks both images by umoci, and by the engine, and has find and
// diff compare the results.
func judgeTrees(t *testing.T, a, b string) {
	t.Helper()
	dir := t.TempDir()
	for i, ref := range []string{a, b} {
		name := string(rune('a' + i))
		layout := filepath.Join(dir, name)
		// umoci 0.4 reads gzip only; skopeo recompresses, and changes nothing else.
		must(t, "", "skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-compress-format", "gzip", "docker://"+ref, "oci:"+layout+":x")
		must(t, "", "umoci", "unpack", "--image", layout+":x", layout+"-umoci")
		id := must(t, "", "docker", "create", "--pull", "always", ref)
		tar := layout + ".tar"
		must(t, "", "docker", "export", "-o", tar, id)
		must(t, "", "docker", "rm", id)
		must(t, "", "mkdir", layout+"-engine")
		must(t, "", "tar", "-C", layout+"-engine", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tar)
	}
	for _, pair := range [][2]string{{"a-umoci/rootfs", "b-umoci/rootfs"}, {"a-engine", "b-engine"}} {
		left, right := filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])
		must(t, "", "diff", "-r", "--no-dereference", left, right)
		// The size of a directory is the filesystem's affair; the rest is what an
		// engine puts into every container.
		list := `find . -printf '%P %y %m %U %G %s %T@ %l\n' | sed '/^ d/d; / d /s/ [0-9]* \([0-9.]*\) $/ \1/' |
			grep -vE '^(\.dockerenv|dev|dev/.*|proc|sys|etc|etc/(hostname|hosts|resolv.conf|mtab)) ' | LC_ALL=C sort; getfattr -R -h -d -m - .`
		if x, y := must(t, left, "sh", "-c", list), must(t, right, "sh", "-c", list); x != y || len(x) < 10000 {
			t.Errorf("find tells the trees apart:\n%s", must(t, "", "sh", "-c", "(cd "+left+" && "+list+") > "+dir+"/x; (cd "+right+" && "+list+") > "+dir+"/y; diff "+dir+"/x "+dir+"/y | head -20; true"))
		}
	}
}

package image_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

func TestParse(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]string{
		"alpine":                        "registry index.docker.io/library/alpine:latest",
		"docker://ghcr.io/o/a:1":        "registry ghcr.io/o/a:1",
		"127.0.0.1:5000/app:v1":         "registry 127.0.0.1:5000/app:v1",
		"oci://some/dir":                "oci layout some/dir",
		"oci:///abs/dir:tag":            "oci layout /abs/dir|tag",
		"oci:///a:b/dir":                "oci layout /a:b/dir",
		"oci://dir@" + digest:           "oci layout dir@" + digest,
		"oci-archive://a/f.tar":         "oci archive a/f.tar",
		"oci-archive://a/f.tar:1.0":     "oci archive a/f.tar|1.0",
		"docker-archive://a/f.tar":      "docker archive a/f.tar",
		"docker-archive://f.tar:h.io/a": "docker archive f.tar h.io/a:latest",
		"docker-archive://f.tar:app:1":  "docker archive f.tar index.docker.io/library/app:1",
		"docker-daemon://app":           "docker engine index.docker.io/library/app:latest",
		"docker-daemon://" + digest:     "docker engine id " + digest,

		// As skopeo writes it.
		"oci:/abs/dir:tag":            "oci layout /abs/dir|tag",
		"oci:./dir":                   "oci layout ./dir",
		"oci:dir/sub:tag":             "oci layout dir/sub|tag",
		"docker-archive:/f.tar:app:1": "docker archive /f.tar index.docker.io/library/app:1",
		"docker-daemon:app:1":         "docker engine index.docker.io/library/app:1",
		// Names like others, or not to be told from them.
		"oci:1.0":              "error write oci://1.0, or docker://oci:1.0 for",
		"docker-archive:f.tar": "error write docker-archive://f.tar",
		"docker:24":            "registry index.docker.io/library/docker:24",

		"gopher://x":                "error use a plain name",
		"containers-storage://x":    "error use a plain name",
		"oci://":                    "error ",
		"oci-archive://:tag":        "error ",
		"oci://dir@sha256:1":        "error ",
		"docker-archive://f.tar:A!": "error ",
		"docker-daemon://":          "error ",
		"Not A Name":                "error ",
		"registry.test/a@sha256:":   "error ",
	} {
		ref, err := image.Parse(in)
		if hint, ok := strings.CutPrefix(want, "error "); ok {
			if err == nil || !strings.HasPrefix(fault.HintOf(err), hint) {
				t.Errorf("Parse(%q) = %+v, %v, hint %q", in, ref, err, fault.HintOf(err))
			}
			continue
		}
		got := string(ref.Kind)
		if ref.Dir != "" {
			got += " " + ref.Dir
		}
		if ref.Tag != "" {
			got += "|" + ref.Tag
		}
		if ref.Digest != (v1.Hash{}) {
			got += "@" + ref.Digest.String()
		}
		if ref.ID != "" {
			got += " id " + ref.ID
		}
		if ref.Name != nil {
			got += " " + ref.Name.Name()
		}
		if err != nil || got != want || ref.String() != in {
			t.Errorf("Parse(%q) = %q, %q (%v), want %q", in, got, ref, err, want)
		}
	}
}

func TestPlatformPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, platform string
		want              bool
	}{
		{"linux/amd64", "linux/amd64", true},
		{"linux/amd64", "linux/arm64", false},
		{"linux/arm", "linux/arm/v7", true},
		{"linux/arm", "linux/arm64", false},
		{"linux/arm/v6", "linux/arm/v7", false},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/arm64/v8", true},
		{"linux/*", "linux/arm/v7", true},
		{"linux/*", "windows/amd64:10.0", false},
		{"LINUX/*64", "linux/amd64", true},
		{"*/arm*", "linux/arm64", true},
		{"*arm64", "linux/arm64", true},
		{"*", "linux/riscv64", true},
		{"linux/[as]*", "linux/s390x", true},
		{"windows/amd64:10.0", "windows/amd64:10.0", true},
		{"windows/amd64", "windows/amd64:10.0", true},
	} {
		p, err := image.ParsePlatformPattern(tt.pattern)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		have, err := v1.ParsePlatform(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(*have); got != tt.want {
			t.Errorf("%q selects %q: %v", tt.pattern, tt.platform, got)
		}
	}
	for _, bad := range []string{"", "linux", "/amd64", "a/b/c/d", "linux/[", "linux/"} {
		if p, err := image.ParsePlatformPattern(bad); err == nil {
			t.Errorf("%q is taken, as %q", bad, p)
		}
	}
}

func TestOnly(t *testing.T) {
	for s, ok := range map[string]bool{"app": true, "oci://dir": true, "docker-archive://f.tar": false, "docker-daemon://app": false} {
		ref, err := image.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := ref.Only(image.Registry, image.Layout); (err == nil) != ok || (err != nil && !strings.HasSuffix(fault.HintOf(err), "docker repack "+s+" oci://DIR")) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

package image

import (
	"errors"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A PlatformPattern selects platforms. It is a platform, "linux/arm/v7", or the
// beginning of one, "linux/arm", or either with the wildcards of path.Match, of
// which * also matches slashes: "linux/*".
type PlatformPattern string

// ParsePlatformPattern checks a pattern. Without wildcards it has to name an
// operating system and an architecture.
func ParsePlatformPattern(s string) (PlatformPattern, error) {
	p := PlatformPattern(strings.ToLower(s))
	if _, err := path.Match(p.flat(), ""); err != nil {
		return "", err
	}
	if p.Exact() {
		want, err := v1.ParsePlatform(string(p))
		if err != nil {
			return "", err
		}
		if want.OS == "" || want.Architecture == "" {
			return "", errors.New("not a platform")
		}
	}
	return p, nil
}

// Exact reports whether the pattern has no wildcards.
func (p PlatformPattern) Exact() bool { return !strings.ContainsAny(string(p), "*?[") }

// flat makes slashes a character like others, for path.Match.
func (p PlatformPattern) flat() string { return strings.ReplaceAll(string(p), "/", "\x00") }

// Match reports whether the pattern selects the platform. A platform without
// variant is arm64's v8: engines take the two for one.
func (p PlatformPattern) Match(have v1.Platform) bool {
	base := have.OS + "/" + have.Architecture
	names := []string{base}
	switch {
	case have.Variant != "":
		names = append(names, base+"/"+have.Variant)
	case have.Architecture == "arm64":
		names = append(names, base+"/v8")
	}
	if have.OSVersion != "" {
		for _, n := range names[:len(names):len(names)] {
			names = append(names, n+":"+have.OSVersion)
		}
	}
	for _, n := range names {
		if ok, _ := path.Match(p.flat(), strings.ReplaceAll(strings.ToLower(n), "/", "\x00")); ok {
			return true
		}
	}
	return false
}

package cmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// checkFlags refuses what would be of no effect, as somebody may rely on it.
func (o upOptions) checkFlags(up sticky.UpOptions) error {
	if up.Driver == sticky.RemoteDriver {
		for _, flag := range []string{"buildkitd", "config", "max-size", "allow-insecure-entitlement"} {
			if o.changed(flag) {
				return fmt.Errorf("--%s: a remote buildkitd is somebody else's, and configured there", flag)
			}
		}
	}
	if up.Disk == disk.None {
		for _, flag := range []string{"key", "ref", "fallback", "keep", "read-only"} {
			if o.changed(flag) {
				return fmt.Errorf("--%s is for disks that are kept, and --disk none is not", flag)
			}
		}
	}
	if isVolume(up.Disk) {
		return o.checkVolume(up)
	}
	return nil
}

// diskSchemes are those of disks with generations.
var diskSchemes = []string{disk.SchemeDir + ":", disk.SchemeOCI + ":"}

// allDisks are what builders may have.
var allDisks = append(slices.Clone(diskSchemes), disk.SchemeVolume+":", disk.None)

func defaultDisk(h sticky.Host) string { return "dir:" + filepath.Join(string(h.State), "pool") }

// diskSpec is the value of --disk with an absolute path.
func diskSpec(value string) (string, error) {
	spec, err := disk.ParseSpec(value)
	if err != nil {
		return "", cliplugin.Usage(err)
	}
	if spec.Scheme != disk.SchemeDir {
		return spec.String(), nil
	}
	if spec.Path, err = filepath.Abs(spec.Path); err != nil {
		return "", err
	}
	return spec.String(), nil
}

func isVolume(spec string) bool { return strings.HasPrefix(spec, disk.SchemeVolume+":") }

// checkVolume refuses what a docker volume cannot be.
func (o upOptions) checkVolume(up sticky.UpOptions) error {
	for _, flag := range []string{"key", "ref", "fallback", "keep"} {
		if o.changed(flag) {
			return fmt.Errorf("--%s is for disks with generations, and a docker volume has none", flag)
		}
	}
	switch {
	case o.readOnly:
		return fault.Hint(fmt.Errorf("--read-only: %w", sticky.ErrNoGenerations), "use another disk, or --disk none")
	case up.Driver == sticky.ProcessDriver, up.Buildkitd != "":
		return fault.Hint(errors.New("--disk volume:NAME is for --driver docker-container: a process has no docker volume"), "leave --driver and --buildkitd out, or name a disk with dir:PATH")
	}
	return nil
}

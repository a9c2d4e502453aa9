package cliplugin

import "runtime/debug"

// version is stamped by the build: -ldflags "-X …/shared/cliplugin.version=v1.2.3".
var version string

// Version returns the version stamped into the binary, else the module version
// that `go install` recorded, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

#!/bin/sh
# Installs docker stitch, stickybuilder, evidence and repack as docker CLI plugins.
#
#   ./install.sh                      from a checkout: build with Go and install
#   ./install.sh                      from an unpacked release: install the binaries beside it
#   ./install.sh --from ARCHIVE       from a release archive (.tar.gz) or a directory of binaries
#   ./install.sh --uninstall
#
# It never needs root: the default place is the user's own plugin directory.
set -eu

plugins="stitch stickybuilder evidence repack"
module=github.com/dockerfactory/dockerfactory

usage() {
	cat <<EOF
Usage: install.sh [--dir DIR] [--from ARCHIVE|DIR] [--uninstall]

  --dir DIR     install into DIR (default: \${DOCKER_CONFIG:-\$HOME/.docker}/cli-plugins)
  --from PATH   take the binaries from a release archive or a directory
  --uninstall   remove the four plugins from DIR
  --help        show this text
EOF
}

say() { printf '%s\n' "install: $*" >&2; }

die() { # message, hint
	printf 'ERROR: %s\n' "$1" >&2
	[ -z "${2:-}" ] || printf '\nhint: %s\n' "$2" >&2
	exit "${3:-1}"
}

config=${DOCKER_CONFIG:-${HOME:+$HOME/.docker}}
dir=
from=
uninstall=
while [ $# -gt 0 ]; do
	case $1 in
	--dir | --from)
		[ $# -ge 2 ] || die "$1 needs a value" "see install.sh --help" 125
		case $1 in --dir) dir=$2 ;; --from) from=$2 ;; esac
		shift
		;;
	--dir=*) dir=${1#--dir=} ;;
	--from=*) from=${1#--from=} ;;
	--uninstall) uninstall=1 ;;
	-h | --help) usage && exit 0 ;;
	*) die "unknown argument: $1" "see install.sh --help" 125 ;;
	esac
	shift
done
if [ -z "$dir" ]; then
	[ -n "$config" ] || die "neither DOCKER_CONFIG nor HOME is set" "say where to install: install.sh --dir DIR"
	dir=$config/cli-plugins
fi

if [ -n "$uninstall" ]; then
	for name in $plugins; do
		path=$dir/docker-$name
		if [ -e "$path" ] || [ -L "$path" ]; then
			rm -f "$path" || die "removing $path: no permission" "run this as the user that owns $dir"
			say "removed $path"
		fi
	done
	exit 0
fi

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
staging=
cleanup() {
	[ -z "$staging" ] || rm -rf "$staging"
	for name in $plugins; do rm -f "$dir/.docker-$name.$$"; done
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$dir" 2>/dev/null || die "creating $dir: no permission" "choose another place: install.sh --dir DIR"
[ -w "$dir" ] || die "writing to $dir: no permission" "choose another place: install.sh --dir DIR"

build() {
	command -v go >/dev/null 2>&1 || die "building the plugins: no go on PATH" \
		"install Go (https://go.dev/dl), or take a release archive: install.sh --from ARCHIVE"
	version=$(git -C "$here" describe --tags --always --dirty 2>/dev/null || echo dev)
	say "building $version with $(go env GOVERSION) (the first time takes minutes)"
	for name in $plugins; do
		(cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false \
			-ldflags "-s -w -X $module/shared/cliplugin.version=$version" \
			-o "$1/docker-$name" "./plugins/docker-$name") ||
			die "building docker-$name failed" "the messages above come from go build"
		say "built docker-$name"
	done
}

# The directory that holds the four binaries.
if [ -n "$from" ] && [ -d "$from" ]; then
	source=$from
elif [ -n "$from" ]; then
	[ -f "$from" ] || die "reading $from: no such file or directory"
	staging=$(mktemp -d)
	tar -xzf "$from" -C "$staging" || die "unpacking $from failed" "is it a .tar.gz release archive?"
	source=$(dirname "$(find "$staging" -name docker-stitch -type f | head -n 1)")
elif [ -f "$here/go.mod" ]; then
	staging=$(mktemp -d)
	source=$staging
	build "$staging"
else
	source=$here
fi
for name in $plugins; do
	[ -f "$source/docker-$name" ] || die "$source holds no docker-$name" "take a release archive or a checkout"
done

# Each file appears under its name only when it is complete.
for name in $plugins; do
	cp "$source/docker-$name" "$dir/.docker-$name.$$" &&
		chmod 755 "$dir/.docker-$name.$$" &&
		mv -f "$dir/.docker-$name.$$" "$dir/docker-$name" ||
		die "writing $dir/docker-$name failed" "is the disk full?"
	say "installed $dir/docker-$name"
done

# Ask docker, if there is one, whether it sees what was installed.
if command -v docker >/dev/null 2>&1; then
	for name in $plugins; do
		case $dir in
		*/cli-plugins) listed=$(docker --config "${dir%/cli-plugins}" "$name" --help 2>&1 || docker "$name" --help 2>&1) || listed= ;;
		*) listed=$(docker "$name" --help 2>&1) || listed= ;;
		esac
		case $listed in
		*"docker $name"*) ;;
		*) die "docker does not list the plugin $name in $dir" \
			"add \"cliPluginsExtraDirs\": [\"$dir\"] to ${config:-\$HOME/.docker}/config.json" ;;
		esac
	done
	say "docker lists all four: docker stitch, docker stickybuilder, docker evidence, docker repack"
else
	say "no docker on PATH: call the plugins as $dir/docker-stitch and so on"
fi

#!/usr/bin/env bash
# The suite's main job on examples/factory, end to end, on real parts: a builder on
# a sticky disk, stitched builds, tests and signed evidence, repacked images, and
# a second job on the disk that the first one left. Run it with "make demo".
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
began=$SECONDS

title() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }
[ -t 2 ] && [ -z "${NO_COLOR:-}" ] || title() { printf '\n== %s\n' "$*" >&2; }

title "the machine: what is missing is installed or built"
go run ./testbed/cmd/testbed up --profile demo
eval "$(go run ./testbed/cmd/testbed env --profile demo)"

title "the four plugins"
./install.sh

# With a docker CLI the plugins are called as its commands, else directly.
if [ -n "$(command -v docker || true)" ]; then
	plugin() { docker "$@"; }
else
	plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
	plugin() { local name=$1 && shift && "$plugins/docker-$name" "$@"; }
fi
buildx() { "$DOCKERFACTORY_CLI_PLUGINS/docker-buildx" "$@"; }
run() { # shows the command, then runs it
	printf '\n$ docker %s\n' "$*" >&2
	plugin "$@"
}

work=${DOCKERFACTORY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dockerfactory}/demo
records=$work/records
builder=factory-demo
registry=$DOCKERFACTORY_REGISTRY
mkdir -p "$work" "$records"
cd "$root/examples/factory"

# Whatever happens, the builder does not stay.
trap 'plugin stickybuilder down "$builder" --commit never --quiet >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM

up() { # prints "warm" or "cold"
	run stickybuilder up "$builder" --key factory-demo --config "$DOCKERFACTORY_BUILDKITD_CONFIG" --format '{{.Cache}}'
}

megabytes() { printf '%d.%01d MB' $(($1 / 1000000)) $(($1 % 1000000 / 100000)); }

# build MANIFEST sets seconds, cached, steps and digest.
build() {
	read -r seconds cached steps digest < <(run stitch build "$1" --builder "$builder" --push -t "$registry/demo/$1:1.0" \
		--format '{{.Seconds}} {{.Cached}} {{.Steps}} {{.Digest}}')
	[ -n "${digest:-}" ] || exit 1
}

title "job 1: a builder on a clone of the sticky disk"
disk=$(up)
echo "the disk is $disk" >&2

title "stitch: one Dockerfile for each manifest, named by its content"
for manifest in app app_next; do
	run stitch render "$manifest" -o "$work/Dockerfile.$manifest"
	run stitch verify "$work/Dockerfile.$manifest"
done

title "build and push, on the sticky builder"
declare -A built
for manifest in app app_next; do
	build "$manifest"
	built[$manifest]="$seconds s, $cached of $steps steps cached"
	built[$manifest.digest]=$digest
	echo "$manifest: ${built[$manifest]}" >&2
done

evidence_line='{{.Record.Status}}: {{with index .Record.Suites 0}}{{.Counts.Pass}} of {{.Counts.Total}} tests{{end}}, {{.Record.SBOM.Packages}} packages in the SBOM'
title "evidence: test the digest, list its packages, record, sign, attach"
if [ ! -f "$work/evidence.key" ]; then
	run evidence key generate --output-prefix "$work/evidence"
fi
for manifest in app app_next; do
	built[$manifest.evidence]=$(run evidence run "$registry/demo/$manifest:1.0" --suite suites/smoke.yaml --builder "$builder" \
		--key "$work/evidence.key" --record-dir "$records" --format "$evidence_line")
	echo "$manifest: ${built[$manifest.evidence]}" >&2
	run evidence verify "$registry/demo/$manifest:1.0" --key "$work/evidence.pub"
done

title "repack: the same root filesystem in layers that pull fastest"
for manifest in app app_next; do
	read -r before after layers_before layers_after repacked tree < <(run repack "$registry/demo/$manifest:1.0" "$registry/demo/$manifest:1.0-repacked" \
		--target-size 20MB --format '{{$d := .Digest}}{{range .Images}}{{.BytesBefore}} {{.BytesAfter}} {{.LayersBefore}} {{.LayersAfter}} {{$d}} {{.Tree}}{{end}}')
	[ -n "${tree:-}" ] || exit 1
	built[$manifest.size]="$(megabytes "$before") -> $(megabytes "$after"), $((100 * after / before)) %"
	built[$manifest.layers]="$layers_before -> $layers_after"
	built[$manifest.repacked]=$repacked
	built[$manifest.tree]=$tree
	run repack verify "$registry/demo/$manifest:1.0" "$registry/demo/$manifest:1.0-repacked"
done

title "the matrix of what was tested"
run evidence matrix --records "$records" --key "$work/evidence.pub"

title "job 1 ends: the disk is committed, because every build succeeded"
run stickybuilder down "$builder"

title "job 2: a fresh clone of the disk that job 1 left; plain buildx this time"
up >/dev/null
started=$(date +%s%N)
for manifest in app app_next; do
	printf '\n$ docker buildx build --builder %s -f Dockerfile.%s .\n' "$builder" "$manifest" >&2
	buildx build --builder "$builder" -f "$work/Dockerfile.$manifest" --output type=cacheonly .
done
again=$((($(date +%s%N) - started) / 100000000))
job2=$(run stickybuilder down "$builder" --format '{{range .Builds}}{{.CachedSteps}} of {{.TotalSteps}}, {{end}}{{.Decision}}')
trap - EXIT

title "summary"
for manifest in app app_next; do
	cat <<EOF
$manifest
  image size            ${built[$manifest.size]}
  layers                ${built[$manifest.layers]}
  job 1 build           ${built[$manifest]}
  evidence              ${built[$manifest.evidence]}
  image                 $registry/demo/$manifest:1.0
                        ${built[$manifest.digest]}
  repacked              $registry/demo/$manifest:1.0-repacked
                        ${built[$manifest.repacked]}
  root filesystem       ${built[$manifest.tree]}, equal in both
EOF
done
cat <<EOF
job 1                   on a $disk disk
job 2, both images      $((again / 10)).$((again % 10)) s on the disk of job 1; steps cached: $job2
records                 $records
public key              $work/evidence.pub
the demo took           $((SECONDS - began)) s
EOF
if [ "$disk" = cold ]; then
	echo "run it again: every unchanged step comes from the disk"
else
	echo "this run was warm: the builder started on the disk of the run before"
fi

#!/usr/bin/env bash
# The whole test suite on the real engine, buildkitd, runc and registry. It makes
# the machine able to run it first, and says what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."

go run ./testbed/cmd/testbed up --profile test --old-engine --podman
eval "$(go run ./testbed/cmd/testbed env --profile test)"

# With this set, a missing part of the testbed fails a test instead of skipping it.
export DOCKERFACTORY_E2E=1

# Nothing of the user's configuration takes part, and nothing is left in it.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export DOCKER_CONFIG=$scratch/docker
unset BUILDX_BUILDER BUILDX_CONFIG DOCKER_HOST DOCKER_CONTEXT

# With a profile the compiler would compile all packages once more, for nothing.
export GOFLAGS="${GOFLAGS:-} -pgo=off"

go vet -tags e2e ./...
# The scenarios come last and alone: they look for whatever is left behind on the
# machine, mounts and loop devices of other tests among it.
# -count=1: what runs outside of the tests is no input that go's test cache knows.
scenarios=github.com/dockerfactory/dockerfactory/testbed/e2e
go list -tags e2e ./... | grep -vx "$scenarios" | xargs go test -count=1 -race -tags e2e -p 2 -timeout 40m
go test -count=1 -race -tags e2e -timeout 40m "$scenarios"

#!/usr/bin/env bash
# gofmt, go vet and golangci-lint, the last built from its pinned module.
set -euo pipefail
cd "$(dirname "$0")/.."

lint=$(go run ./testbed/cmd/testbed tools golangci-lint | tail -n 1)
go vet -tags e2e ./...
"$lint" run --build-tags e2e ./...

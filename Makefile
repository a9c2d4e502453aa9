# Two commands matter: make demo and make test. Both need Go, git, make and root
# (or sudo) on a Debian or Ubuntu machine, and fetch or build the rest.

export GOTOOLCHAIN ?= local
GO ?= go
testbed := $(GO) run ./testbed/cmd/testbed

.PHONY: demo test unit e2e lint install docs profile bench bench-repack bench-stickybuilder down

demo: ## the main job, end to end, on examples/factory
	@./examples/demo.sh

test: ## everything: unit, commands, real engine
	@./testbed/test.sh

unit: ## only the tests that need no engine, registry or root
	$(GO) test -pgo=off ./...

lint:
	@./testbed/lint.sh

install: ## build the four plugins and install them for this user
	./install.sh

docs: ## write docs/reference anew from the commands
	UPDATE_DOCS=1 $(GO) test -count=1 -run TestReference ./plugins/docker-*

profile: ## what docker-repack spends its time on, for the compiler (go.dev/doc/pgo)
	$(GO) test -run '^$$' -bench BenchmarkRun -benchtime 2x -pgo=off -cpuprofile $(CURDIR)/plugins/docker-repack/default.pgo ./plugins/docker-repack/internal/repack
	rm -f repack.test

bench: bench-repack bench-stickybuilder ## the suite and its peers, side by side; see bench/README.md

bench-repack bench-stickybuilder: bench-%:
	$(testbed) up --profile test
	$(GO) run ./bench/$* -date $$(date +%F) $(BENCH)

down: ## stop what the testbed has started
	$(testbed) down

# Everything that can be done in this repository; `make help` lists it.
# Nothing is written outside the checkout but the local platform's networks,
# mounts and control groups, and `make clean` takes those away too.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules --no-print-directory

GO ?= go
# The commit that `make proto-lint` looks for breaking changes against.
AGAINST ?= HEAD

LOCAL := .local
BIN := $(LOCAL)/bin
GANTRY := $(BIN)/gantry
PROTO_TOOLS := $(LOCAL)/parts/proto
LINT_TOOLS := $(LOCAL)/parts/lint
SERVICES := ipaas cluster-mgr ingress-agent portal gantry
WORKSPACE := proto pkg services
# Modules outside the workspace, each with a go.sum of its own.
OUTSIDE := examples/hello test tools/containerd tools/etcd tools/helm tools/kubernetes tools/kwok tools/lint tools/proto tools/registry
PACKAGES := $(WORKSPACE:%=./%/...)

# The programs share their compiled packages with the Kubernetes parts, which
# are built with the same two settings.
STATIC := CGO_ENABLED=0
BUILD_FLAGS := -trimpath -buildvcs=$(shell git rev-parse --quiet --verify HEAD >/dev/null 2>&1 && echo auto || echo false)

STARTED := $(or $(STARTED),$(shell date +%s))
export STARTED
# Prints a line with the seconds since make began.
SAY = printf '[%4d s] %s\n' "$$(($$(date +%s) - STARTED))"

.PHONY: help all build parts test test-unit test-chart test-e2e lint lint-go fmt generate generate-check \
	proto-deps proto-tools proto-lint tidy-check demo bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

all: build lint test ## Build, lint and test

build: ## Build the five programs into .local/bin
	@$(SAY) 'build: $(SERVICES)'
	@mkdir -p $(BIN)
	@$(STATIC) $(GO) build $(BUILD_FLAGS) -o $(BIN)/ $(SERVICES:%=./services/%)

parts: build ## Get what the local platform runs: build Kubernetes, containerd, etcd, registry; install Debian packages
	@$(SAY) 'parts of the local platform'
	@if [ "$$(id -u)" -eq 0 ]; then \
		$(GANTRY) local parts; \
	else \
		echo 'SKIP parts: installing them needs root; integration and e2e tests that want them are skipped'; \
	fi

test: parts test-unit test-chart test-e2e ## Run all tests; those that need root say SKIP without it

test-unit: ## Run unit, property and integration tests, with the race detector
	@$(SAY) 'unit, property and integration tests'
	@$(GO) test -race -timeout 20m $(PACKAGES)
	@cd examples/hello && GOWORK=off $(GO) test -race ./...

test-chart: ## Render the Helm chart and check what it asks for
	@$(SAY) 'Helm chart'
	@cd tools/helm && GOWORK=off $(GO) test -count=1 ./...

test-e2e: build ## Run the scenarios on the local platform; it is fresh at the start and gone at the end
	@$(SAY) 'e2e scenarios'
	@cd test && GOWORK=off $(GO) test -race -count=1 -v -timeout 45m ./...

lint: lint-go proto-lint ## Check style, architecture and the API's shape

lint-go: $(LINT_TOOLS)/golangci-lint
	@$(SAY) 'lint: $(WORKSPACE)'
	@$(STATIC) $(LINT_TOOLS)/golangci-lint run $(PACKAGES)
	@for module in examples/hello test tools/helm; do \
		$(SAY) "lint: $$module"; \
		(cd $$module && GOWORK=off $(STATIC) $(CURDIR)/$(LINT_TOOLS)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...); \
	done

fmt: $(LINT_TOOLS)/golangci-lint proto-tools ## Format Go and proto files
	@$(LINT_TOOLS)/golangci-lint fmt $(WORKSPACE) examples test tools
	@$(PROTO_TOOLS)/buf format --write proto

generate: proto-tools proto-deps ## Generate Go and OpenAPI from proto/
	@$(SAY) 'generate'
	@$(PROTO_TOOLS)/buf generate
	@$(PROTO_TOOLS)/buf generate --template buf.gen.openapi.yaml

generate-check: generate ## Fail unless the committed generated code is what generate makes
	@git diff --exit-code --stat -- proto/gen
	@test -z "$$(git ls-files --others --exclude-standard -- proto/gen)" || \
		{ echo 'these generated files are not committed:'; git ls-files --others --exclude-standard -- proto/gen; exit 1; }

proto-deps: ## Print the .proto files that the API imports from their pinned Go modules
	@cd tools/proto && GOWORK=off $(GO) run ./deps ../../$(LOCAL)/proto-deps

proto-tools:
	@$(SAY) 'proto tools'
	@mkdir -p $(PROTO_TOOLS)
	@cd tools/proto && GOWORK=off $(GO) build -o ../../$(PROTO_TOOLS)/ tool

proto-lint: proto-tools proto-deps ## Lint proto/ and refuse breaking changes since $AGAINST (default HEAD)
	@$(SAY) 'lint: proto'
	@$(PROTO_TOOLS)/buf lint
	@if git rev-parse --quiet --verify '$(AGAINST):proto' >/dev/null; then \
		before=$$(mktemp -d $(LOCAL)/proto-before.XXXXXX); trap "rm -rf $$before" EXIT; \
		git archive '$(AGAINST)' buf.yaml proto | tar -x -C $$before; \
		mkdir $$before/.local && cp -r $(LOCAL)/proto-deps $$before/.local/; \
		$(PROTO_TOOLS)/buf breaking --against $$before; \
	fi

tidy-check: ## Fail unless go.mod and go.sum of every module are tidy
	@for module in $(WORKSPACE) $(OUTSIDE); do \
		$(SAY) "tidy: $$module"; \
		(cd $$module && GOWORK=off $(GO) mod tidy -diff); \
	done

demo: build ## Start two real clusters and do the main job on them, under load
	@$(GANTRY) demo

bench: build ## Run the benchmarks; BENCH='--size smoke' takes 3 minutes instead of 25
	@packages=$$(grep -rl --include='*_test.go' '^func Benchmark' $(WORKSPACE) | xargs -r -n1 dirname | sort -u | sed 's|^|./|'); \
	$(GO) test -run '^$$' -bench . -benchmem $$packages
	@$(GANTRY) local parts --nodes=fake
	@cd test && GOWORK=off $(GO) run ./bench $(BENCH)

# The mark in /run is there as long as anything of a platform is.
clean: ## Take the local platform down, also after a crash, and remove all that was built
	@if [ -x $(GANTRY) ]; then \
		$(GANTRY) local down --purge; \
	elif [ -e /run/gantry-local ] || [ -d $(LOCAL)/run ]; then \
		$(GO) run ./services/gantry local down --purge --dir $(LOCAL); \
	fi
	@if grep -qF ' $(CURDIR)/$(LOCAL)/' /proc/self/mountinfo 2>/dev/null; then \
		echo 'something is still mounted below $(LOCAL); nothing more was removed:'; \
		grep -F ' $(CURDIR)/$(LOCAL)/' /proc/self/mountinfo; exit 1; \
	fi
	@rm -rf --one-file-system $(LOCAL)

$(LINT_TOOLS)/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	@$(SAY) 'build golangci-lint'
	@mkdir -p $(LINT_TOOLS)
	@cd tools/lint && GOWORK=off $(GO) build -o ../../$(LINT_TOOLS)/ tool
	@touch $@

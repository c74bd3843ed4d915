# Gantry. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all

LOCAL    := .local
BIN      := $(LOCAL)/bin
PARTS    := $(LOCAL)/parts
SERVICES := ipaas cluster-mgr ingress-agent portal gantry
MODULES  := proto pkg services
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
GOFILES   = $(shell git ls-files -co --exclude-standard '*.go' ':!proto/gen')

# One line with the time since the start, before each longer step.
STARTED := $(shell date +%s)
STEP     = printf '== %s (%d s)\n' "$(1)" $$(( $$(date +%s) - $(STARTED) ))

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: all
all: build lint test-unit ## Build, lint and test without the local platform

.PHONY: build
build: ## Build the services and the command line into .local/bin
	@$(call STEP,build)
	@go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BIN)/ $(SERVICES:%=./services/%)

.PHONY: parts
parts: build ## Build or install what the local platform is made of
	@$(call STEP,parts)
	@$(BIN)/gantry local parts

.PHONY: test
test: ## All tests: unit, integration, and the scenarios on two real clusters
	@$(MAKE) --no-print-directory parts
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory test-e2e

.PHONY: test-unit
test-unit: ## Unit, property and integration tests with the race detector
	@$(call STEP,tests of the modules)
	@go test -race -timeout 20m $(MODULES:%=./%/...)
	@cd examples/hello && GOWORK=off go test -race ./...

.PHONY: test-e2e
test-e2e: build ## The numbered scenarios of test/ on the local platform (root)
	@$(call STEP,scenarios on the local platform)
	@cd test && GOWORK=off go test -count=1 -timeout 45m -v ./...

.PHONY: lint
lint: $(PARTS)/lint/golangci-lint $(PARTS)/proto/buf proto-deps ## Check style and architecture
	@$(call STEP,lint)
	@$(PARTS)/proto/buf lint
	@for m in $(MODULES); do (cd $$m && ../$(PARTS)/lint/golangci-lint run --config ../.golangci.yml ./...); done

.PHONY: fmt
fmt: ## Format Go and proto
	@gofmt -w $(GOFILES)
	@$(PARTS)/proto/buf format -w proto

.PHONY: generate
generate: $(PARTS)/proto/buf proto-deps ## Generate Go and OpenAPI from proto/
	@$(PARTS)/proto/buf lint
	@$(PARTS)/proto/buf generate

.PHONY: generate-check
generate-check: generate ## Fail when the committed generated code is not fresh
	@git diff --exit-code --stat proto/gen

.PHONY: proto-deps
proto-deps: # the .proto files that ours import, from their Go modules
	@cd tools/proto && GOWORK=off go run ./deps ../../$(LOCAL)/proto-deps

.PHONY: tidy-check
tidy-check: ## Fail when a go.mod is not tidy, or does not build by itself
	@for m in $(MODULES) test tools/proto examples/hello; do (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build ./...); done

.PHONY: demo
demo: build ## The main job on two real clusters, from one command (root)
	@$(BIN)/gantry demo

.PHONY: bench
bench: ## Benchmarks, with their peers or floors beside them
	@go test -run '^$$' -bench . -benchmem ./services/...

.PHONY: clean
clean: ## Stop the local platform and remove everything below .local
	@if [ -d $(LOCAL) ]; then go run ./services/gantry local down --purge; fi
	@rm -rf $(LOCAL)

$(PARTS)/lint/golangci-lint: tools/lint/go.mod
	@$(call STEP,build golangci-lint)
	@cd tools/lint && GOWORK=off go build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && touch ../../$@

$(PARTS)/proto/buf: tools/proto/go.mod
	@$(call STEP,build buf and its plugins)
	@cd tools/proto && GOWORK=off go build -o ../../$(PARTS)/proto/ tool && touch ../../$@

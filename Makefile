.DEFAULT_GOAL := help
GOLANGCI_LINT_VERSION := v2.15.0
GORELEASER_VERSION := v2.13.0
SYFT_VERSION := v1.57.0
FUZZTIME ?= 30s
comma := ,

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

# A profile for profile-guided optimisation, as 'go build -pgo' takes it.
PGO ?= off

# The same commit, profile and Go version give the same bytes, in whatever folder:
# no paths (-trimpath), no C compiler, and no date but the commit's (-buildvcs).
.PHONY: build
build: ## Build bin/poolfill (PGO: a profile)
	CGO_ENABLED=0 go build -trimpath -buildvcs=true -pgo=$(PGO) -ldflags '-s -w' -o bin/poolfill ./cmd/poolfill

.PHONY: completions
completions: ## Write the completions for shells to bin/completions
	@mkdir -p bin/completions
	@for shell in bash zsh fish powershell; do \
		go run ./cmd/poolfill completion $$shell >bin/completions/poolfill.$$shell || exit 1; \
	done
	@mv bin/completions/poolfill.powershell bin/completions/poolfill.ps1

# The tools take minutes to build, once. SKIP=sbom does without syft.
.PHONY: release-snapshot
release-snapshot: ## Make a release's archives, packages, checksums and SBOMs in dist/ (SKIP: parts to leave out; PGO)
	@git remote | grep -q . || { echo "goreleaser needs a repository with a remote: run this in a clone"; exit 1; }
	@command -v goreleaser >/dev/null || go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)
	@case ",$(SKIP)," in *,sbom,*) ;; *) command -v syft >/dev/null || go install github.com/anchore/syft/cmd/syft@$(SYFT_VERSION) ;; esac
	PATH="$$PATH:$$(go env GOPATH)/bin" PGO=$(PGO) goreleaser release --snapshot --clean --skip=publish$(if $(SKIP),$(comma)$(SKIP))

.PHONY: man
man: ## Write the man pages to bin/man, and beside each one as packages want it, packed
	@rm -rf bin/man
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) go run -tags man ./cmd/poolfill bin/man
	@gzip -9nk bin/man/*.1

.PHONY: pictures
pictures: ## Draw the README's pictures again, from a run's output
	go test ./cmd/poolfill -run '^TestThePictureOfARun$$' -count 1 -update

.PHONY: test
test: ## Run the tests
	go test ./...

.PHONY: race
race: ## Run the tests with the race detector
	go test -race ./...

.PHONY: cover
cover: ## Show the coverage of the packages on the data's way
	go test -cover ./reader ./batcher ./ratelimit ./uploader ./pipeline

# The sizes of the chaos test; it chooses a seed itself where none is given.
RUNS ?= 32
KILLS ?= 320
ROWS ?= 20000

.PHONY: chaos
chaos: ## Kill uploads at random and compare what came of them (SEED, RUNS, KILLS, ROWS)
	SEED=$(SEED) RUNS=$(RUNS) KILLS=$(KILLS) ROWS=$(ROWS) \
		go test -tags chaos -run '^TestChaos' -count 1 -v -parallel 4 -timeout 60m ./cmd/poolfill

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (default 30s)
	@for dir in $$(grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$dir/*_test.go | sed 's/^func //'); do \
			echo "$$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$dir || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## Measure whole runs next to other programs' (BENCH: its flags, such as -long; -help shows them)
	go run ./bench $(BENCH)

.PHONY: lint
lint: ## Check the format and run the linters (installs golangci-lint)
	@command -v golangci-lint >/dev/null || go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	PATH="$$PATH:$$(go env GOPATH)/bin" golangci-lint run

.PHONY: ci
ci: ## Run what CI runs
	bash .ci/run

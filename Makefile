# The commands of the project. Each is also what CI runs; see .ci/run.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOBUILD := go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
SUM     := go run ./internal/tools/testsum

.PHONY: metadata-diff help build test race lint fmt generate fuzz mutants bench demo services e2e long package check powercut soak

help: ## print this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /\1\t/' | expand -t 12

build: ## build appgovd and appgov-sim into bin/
	$(GOBUILD) -o bin/ ./cmd/...

test: services build ## install what the tests need, then run them all
	go test -p 2 -timeout 15m -json ./... | $(SUM)

race: services ## run all tests under the race detector
	go test -race -p 2 -timeout 20m -json ./... | $(SUM)

lint: ## linters, formatting, vet, exposure of the unit file, generated files
	internal/tools/lint.sh

fmt: ## format the Go files
	gofmt -l -w $$(git ls-files -co --exclude-standard '*.go')

generate: ## write the generated files again
	go generate ./...

metadata-diff: ## what a newer $metadata of Graph changes for the decoders: make metadata-diff FILE=metadata.xml
	@test -n "$(FILE)" || { echo "usage: make metadata-diff FILE=metadata.xml (of https://graph.microsoft.com/v1.0/\$$metadata)"; exit 2; }
	go test -count=1 -v -run '^TestMetadataDiff$$' ./internal/provider/msgraph/normalise -metadata $(abspath $(FILE))

fuzz: ## fuzz every target, FUZZ_BUDGET seconds together (default 400)
	internal/tools/fuzz.sh

mutants: ## break one promise after the other; the test of each must turn red
	internal/tools/mutants.sh

bench: ## run the benchmarks
	internal/tools/bench.sh

demo: build ## a simulated tenant, appgovd beside it, and the alerts that come out
	internal/tools/demo.sh

services: ## install Kafka, Elasticsearch, OpenSearch, rsyslog, syslog-ng, Alertmanager and strace for the tests
	internal/tools/services/services.sh

e2e: services build ## the whole end-to-end test against the simulated tenant
	go test -count=1 -timeout 30m -run E2E -json ./internal/e2e -e2e.full | $(SUM)

long: services build ## the long suites: race, crash points, fuzz, end to end; each with a budget
	internal/tools/long.sh

powercut: ## 5,000 power cuts of a real ext4 disk below the ledger; as root
	go test -count=1 -timeout 60m -v -run TestPowerCut ./internal/proof -proof.cuts 5000

soak: services ## 30 minutes of faults between the daemon, the cloud and every sink, then peace
	go test -count=1 -timeout 60m -v -run TestSoak ./internal/e2e -e2e.soak 30m

package: build ## deb and rpm into dist/
	internal/tools/package.sh $(VERSION)

check: lint test long ## everything that CI runs

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## static binaries into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

test: ## all tests, on real input (STK from apt); installs the Debian packages it needs
	./scripts/deps.sh test
	./scripts/test.sh

check: ## formatting, vet, import rules, race detector
	./scripts/deps.sh check
	./scripts/check.sh

demo: build ## build the real SuperTuxKart images for two architectures, push them, run them
	./scripts/deps.sh demo
	go run ./examples/supertuxkart/demo

.PHONY: help build test check demo generate

generate: ## write generated files anew
	go test ./builder/pipeline -run "Schema|Faults" -update

# disable_grpc_modules leaves out what gocloud's gcs does not need; grpcnotrace gRPC's debug pages, and with their templates what
# else the linker would have to keep.
TAGS    := disable_grpc_modules,grpcnotrace
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOL    := go tool -modfile=tools/go.mod
# Flags of scripts/testsummary; .ci/run sets them.
TESTSUMMARY ?=
FUZZTIME    ?= 10s

.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## static binaries into bin/
	@mkdir -p bin
	CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

images: ## container images of our own programs in dist/images; REGISTRY=HOST/PREFIX [PLAIN_HTTP=1] [TAG=v1] pushes them instead
	REGISTRY='$(REGISTRY)' PLAIN_HTTP='$(PLAIN_HTTP)' TAG='$(TAG)' VERSION='$(VERSION)' ./scripts/images.sh

release-dry-run: ## what a release publishes, in dist/release: images, charts, binaries, bills of materials, checksums; read back, not published
	VERSION='$(VERSION)' ./scripts/release.sh

test: ## all tests, on real input (STK from apt); installs the Debian packages it needs
	@./scripts/deps.sh test
	@CONTAINERD=$$(./scripts/containerd.sh) ./scripts/test.sh $(TESTSUMMARY)

check: ## format, vet, lint, import rules, generated files, short tests with the race detector
	@./scripts/deps.sh check
	@./scripts/check.sh

format: ## rewrite files the way check wants them
	$(TOOL) golangci-lint fmt
	$(TOOL) shfmt -w -i 2 -ci scripts/*.sh .ci/run

generate: ## write generated files anew
	./scripts/generate.sh

demo: build ## build the real SuperTuxKart images for two architectures and run them
	@./scripts/deps.sh demo
	go run ./examples/supertuxkart/demo -containerd "$$(./scripts/containerd.sh)"

demo-source: build ## the same from source code: compile the server for both architectures (half an hour) and run it
	@./scripts/deps.sh demo-source
	go run ./examples/supertuxkart/demo -containerd "$$(./scripts/containerd.sh)" -pipeline examples/supertuxkart/pipeline-source.yaml

bench: build ## against BuildKit and the AWS sample's pattern on the real data; writes docs/benchmarks.md
	@./scripts/deps.sh bench
	cd test/bench && go run .

bench-commits: build ## what 60 artists' commits cost, against a fixed split and BuildKit; writes docs/benchmarks-commits.md
	@./scripts/deps.sh bench
	cd test/bench && go run . -commits

bench-sidecar: ## the sidecar's footprint and latency with the real game; writes docs/benchmarks-sidecar.md
	@./scripts/deps.sh demo
	go test ./examples/supertuxkart/live -run '^$$' -bench . -benchtime 1x -timeout 30m -doc "$$PWD/docs/benchmarks-sidecar.md"

bench-warmer: build ## a real containerd is warmed, against ctr and the AWS sample's pattern; writes docs/benchmarks-warmer.md
	@./scripts/deps.sh bench-warmer
	cd test/bench && go run . -warmer

bench-kube: ## a Fleet's new image reaches a thousand nodes, on a real kube-apiserver; writes docs/benchmarks-kube.md
	KUBE_BINARIES=$$(./scripts/kube-apiserver.sh) go test -count=1 -v -timeout 30m -run '^TestManyNodes$$' ./cmd/warmer -nodes 1000 -rounds 5 -doc "$$PWD/docs/benchmarks-kube.md"

prove-cosign: build ## the real cosign accepts what builder signs
	@./scripts/deps.sh cosign
	./scripts/prove-cosign.sh

prove-buildkit: ## a real BuildKit daemon runs what pipelines compile
	@./scripts/deps.sh buildkit
	BUILDKITD=$$(./scripts/buildkitd.sh) go test -count=1 -v -run BuildKit ./cmd/builder

prove-containerd: ## a real containerd 2, 1.7 and the distribution's are warmed, killed, filled up and started from
	@./scripts/deps.sh containerd
	CONTAINERD=$$(./scripts/containerd.sh) go test -count=1 -v ./cmd/warmer ./warmer/...
	CONTAINERD=$$(./scripts/containerd.sh 1) go test -count=1 -v ./cmd/warmer
	CONTAINERD=$$(./scripts/containerd.sh debian) go test -count=1 -v ./cmd/warmer

prove-kube: ## agent, controller and gate on a real kube-apiserver, whose first build takes ten minutes
	@./scripts/deps.sh containerd
	KUBE_BINARIES=$$(./scripts/kube-apiserver.sh) CONTAINERD=$$(./scripts/containerd.sh) go test -count=1 -v -timeout 20m ./warmer/kube/... && \
	KUBE_BINARIES=$$(./scripts/kube-apiserver.sh) CONTAINERD=$$(./scripts/containerd.sh) go test -count=1 -v -run 'Cluster|Gate|ManyNodes' ./cmd/warmer

e2e: build ## the whole product on a real cluster of two nodes, whose first build takes ten minutes; as root
	@./scripts/deps.sh e2e
	@KUBERNETES=$$(./scripts/kubernetes.sh) MODULE=test/e2e ./scripts/test.sh $(TESTSUMMARY)

prove-profile: build ## bots race on every track with no more assets than the server's profile; writes docs/profile-supertuxkart.md
	@./scripts/deps.sh demo
	go run ./examples/supertuxkart/races -doc docs/profile-supertuxkart.md

prove-profile-source: build ## the same for the server compiled from source (half an hour more)
	@./scripts/deps.sh demo-source
	go run ./examples/supertuxkart/races -pipeline examples/supertuxkart/pipeline-source.yaml -doc docs/profile-supertuxkart.md

fuzz: ## every fuzz target for FUZZTIME (10s)
	./scripts/fuzz.sh $(FUZZTIME)

clean: ## remove what the other targets made, the demo's cache included
	rm -rf bin dist .cache

.PHONY: help build images release-dry-run test check format generate demo demo-source e2e bench bench-commits bench-sidecar bench-warmer bench-kube prove-cosign prove-buildkit prove-containerd prove-kube prove-profile prove-profile-source fuzz clean

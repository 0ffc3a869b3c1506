# make test needs nothing but Go. Whatever else a target needs it fetches once, into $TEST_CACHE (default ~/.cache/weir).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GO ?= go
TEST_CACHE ?= $(HOME)/.cache/weir
export TEST_CACHE
# The binary is built without cgo, so the tests are too; and one set of flags means one set of compiled packages.
export CGO_ENABLED := 0
BINARY := $(CURDIR)/dist/weir
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(TEST_CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION)
HELM_VERSION := v3.22.0
HELM := $(TEST_CACHE)/bin/helm-$(HELM_VERSION)
FUZZTIME ?= 5s
SETTINGS := test/peer/broker.settings

.PHONY: deploy-check cluster build test race check lint vet fuzz generate generate-check conformance interop interop-cluster interop-moves interop-racks peer peer-cluster peer-record fault registry-kill registry-bench contract-bench torture model cluster-test cluster-chaos cluster-restore schemathesis on-kafka nightly bench sim clean

## build: the binary, static, in dist/
build:
	$(GO) build -o $(BINARY) ./cmd/weir

## test: every test that needs nothing but Go
test:
	$(GO) test ./...

## race: the same with the race detector and with invariants checked
race:
	CGO_ENABLED=1 $(GO) test -race -tags invariants ./...

## check: what CI runs before it tests against anything else
check: vet lint generate-check race

vet:
	$(GO) vet ./...
	$(GO) vet -tags invariants,peer,fault,torture,cluster,clusterchaos ./...
	cd test/interop/go && $(GO) vet ./...
	cd test/interop/registry/go && $(GO) vet ./...

## lint: gofumpt, import order, staticcheck and the linters of .golangci.yml
lint: $(GOLANGCI)
	$(GOLANGCI) run --allow-parallel-runners ./...

$(GOLANGCI):
	mkdir -p $(dir $@)
	GOBIN=$(dir $@)build $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(dir $@)build/golangci-lint $@

## fuzz: every fuzz target for FUZZTIME; `test` and `race` run their seeds
fuzz:
	@grep -rlE '^func Fuzz' --include='*_test.go' cmd internal test | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$dir/*_test.go | cut -c6-); do \
	    echo "== $$dir $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$dir; \
	  done; \
	done

generate:
	$(GO) generate ./...

## generate-check: fails if generated files are not up to date
generate-check: generate
	git diff --exit-code

## interop: other people's clients against the binary. CLIENTS="kcat java" runs only those
interop: build
	$(if $(CLIENTS),test/with-broker.sh weir $(SETTINGS) BROKER bash -c 'test/interop/run.sh $$BROKER $(CLIENTS)',test/interop/halves.sh)

## conformance: what a Schema Registry has to answer, asked of the binary's
conformance: build
	test/with-broker.sh weir $(SETTINGS) BROKER bash -c '$(BINARY) schema conformance $$REGISTRY -o table'

## peer: the same exchanges with the binary and with Apache Kafka, compared
peer: build
	test/with-broker.sh kafka $(SETTINGS) KAFKA_PEER test/with-broker.sh weir $(SETTINGS) WEIR_PEER \
	  $(GO) test -tags peer -count=1 -v -run TestAnswersEqualKafkas ./test/peer

## interop-cluster: the same clients against three brokers with etcd and an S3 server
interop-cluster: build
	test/with-broker.sh cluster $(SETTINGS) BROKER bash -c 'test/interop/run.sh $$BROKER $(CLIENTS)'

## interop-moves: the same while each broker gives its shards away, or with MOVES=-k is killed
interop-moves: build
	test/with-broker.sh cluster $(SETTINGS) BROKER test/moves.sh $(MOVES) bash -c 'test/interop/run.sh $$BROKER $(CLIENTS)'

## interop-racks: Kafka's consumer in each rack of a cluster of three brokers with racks of their own
interop-racks: build
	test/with-broker.sh cluster test/interop/java/racks.settings BROKER bash -c 'test/interop/run.sh $$BROKER java-racks'

## peer-cluster: the same exchanges with the first broker of a cluster of CLUSTER_BROKERS (1 or 3), which is given all shards
peer-cluster: build
	PEER_CLUSTER=$${CLUSTER_BROKERS:-1} CLUSTER_BROKERS=$${CLUSTER_BROKERS:-1} test/with-broker.sh cluster $(SETTINGS) WEIR_PEER \
	  test/peer/on-one.sh $(GO) test -tags peer -count=1 -v -run TestAnswersEqualKafkas ./test/peer

## peer-record: records the answers of Apache Kafka anew
peer-record:
	test/with-broker.sh kafka $(SETTINGS) KAFKA_PEER $(GO) test -tags peer -count=1 ./test/peer -rewrite

## fault: kills, a full disk and garbage. Needs root, for a tmpfs
fault: build
	TEST_BINARY=$(BINARY) $(GO) test -tags fault -count=1 -v -timeout 20m ./test/fault

## registry-kill: kills in the middle of registrations of schemas; FAULT_ROUNDS (6)
registry-kill: build
	TEST_BINARY=$(BINARY) $(GO) test -tags fault -count=1 -v -timeout 10m -run TestRegistrationsSurviveKills ./test/fault

## contract-bench: what contracts cost a producer: off, observe and reject in turns; LEVELS, ROUNDS, SECS, RECORD_BYTES, CODECS
contract-bench: build
	TEST_BINARY=$(BINARY) bench/contract.sh

## registry-bench: start, memory and lookups of a registry with 50,000 schemas
registry-bench: build
	$(GO) run ./bench/registry -binary $(BINARY)

## torture: transactions and groups under kills, with zombies, for TORTURE_SECONDS (300)
torture: build
	TEST_BINARY=$(BINARY) $(GO) test -tags torture -count=1 -v -timeout 60m ./test/torture

## deploy-check: the Helm chart by Helm itself, the unit by systemd
deploy-check: build $(HELM)
	HELM=$(HELM) test/deploy/check.sh

$(HELM):
	mkdir -p $(dir $@)
	GOBIN=$(dir $@)build $(GO) install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
	mv $(dir $@)build/helm $@

## cluster-test: tests against a real S3 server and a real etcd, which test/servers builds. CLUSTER_PACKAGES=./x runs only those
CLUSTER_PACKAGES ?= $$(grep -rlE '^//go:build .*\bcluster\b' --include='*_test.go' cmd internal test | xargs -n1 dirname | sort -u | sed 's|^|./|')
cluster-test:
	servers=$$(test/servers/build.sh) && eval "$$servers" && \
	  $(GO) test -tags cluster -count=1 -timeout 10m $(CLUSTER_PACKAGES)

## cluster: three brokers, etcd and an S3 server on loopback, until it is interrupted
cluster: build
	test/cluster.sh $(CLUSTER)

## cluster-chaos: three brokers, etcd and S3 under kills, stalls, cuts and storms, for CHAOS_SECONDS (600); CHAOS_SEED repeats a run,
## CHAOS_FAULTS="kill,stall" makes only those. Then how long fail-over, moves and restarts take; CHAOS_TESTS=Chaos leaves that out
CHAOS_TESTS ?= .
cluster-chaos: build
	servers=$$(test/servers/build.sh) && eval "$$servers" && \
	  TEST_BINARY=$(BINARY) $(GO) test -tags cluster,clusterchaos -count=1 -v -timeout 90m -run '$(CHAOS_TESTS)' ./test/cluster

## cluster-restore: a cluster that has lost everything but its bucket, or etcd but for a snapshot; a server that has lost its disk with transactions in flight
cluster-restore: build
	servers=$$(test/servers/build.sh) && eval "$$servers" && \
	  TEST_BINARY=$(BINARY) $(GO) test -tags cluster,clusterchaos -count=1 -v -timeout 10m -run Restored ./test/cluster

## model: the protocol that fences brokers, explored within larger bounds; ten minutes, and 4 GB of memory
model:
	WEIR_MODEL=1 $(GO) test -count=1 -v -timeout 60m -run 'TestDeep|TestProtocolHoldsOnRandomWalks' ./internal/sim/model

## nightly: what takes too long for every change: clients that need minutes, and more rounds of kills, torture and fuzzing
nightly:
	.ci/run nightly

## schemathesis: requests made of the OpenAPI documents of the registry and the REST proxy; none may be answered with a 500. URL=… asks a
## service that runs
schemathesis: build
	$(if $(URL),test/schemathesis/run.sh $(URL),test/with-broker.sh weir $(SETTINGS) BROKER bash -c 'test/schemathesis/run.sh $$REGISTRY && test/schemathesis/run.sh $$REST')

## on-kafka: the Schema Registry and the REST proxy alone, on Apache Kafka: conformance, a migration out of Confluent's topic, the proxy's ways
on-kafka: build
	test/with-broker.sh kafka $(SETTINGS) KAFKA bash -c 'test/onkafka/run.sh $$KAFKA'

## sim: 100 brokers and 200,000 partitions for SIM_HOURS (12) simulated hours, as a table
sim:
	SIM_HOURS=$${SIM_HOURS:-12} $(GO) test -count=1 -v -timeout 10m -run TestHundredBrokers ./internal/sim

## bench: workloads beside Apache Kafka; PEERS=DIR says where they are, see bench/README.md
bench: build
	bench/run.sh

clean:
	rm -rf dist

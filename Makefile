# Meridian. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin
ARGS     ?=
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.buildVersion=$(VERSION)
GOTOOL   := $(GO) tool -modfile=.ci/tools.mod
# Tests of different packages start servers of their own; two at a time is what two cores carry.
TESTFLAGS ?= -timeout 45m
# Few packages link the Temporal server; everything else is quick to build.
PKGS     ?= ./...

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing to run: PostgreSQL (terraform is found, or installed at first use)
	@.ci/postgres.sh

.PHONY: setup-tests
setup-tests: setup ## install what is missing to test: an emulator of AWS, Cassandra with Java 17, OpenSearch, PgBouncer, MariaDB
	@.ci/moto.sh
	@.ci/cassandra.sh --if-possible
	@.ci/opensearch.sh
	@.ci/unpacked.sh pgbouncer pgbouncer 'tests of poolers' pgbouncer libevent-2.1-7 libc-ares2
	@.ci/unpacked.sh mariadb mariadbd 'tests of MySQL and MariaDB' mariadb-server-core libaio1 liburing2 libnuma1

.PHONY: build
build: ## build meridian, meridian-runner and terraform-provider-localdb into bin/
	@mkdir -p $(BIN)
	$(GO) build -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/meridian ./cmd/meridian-runner ./cmd/terraform-provider-localdb

.PHONY: demo
demo: setup build ## start Meridian and make a database in two regions (ARGS=--once removes everything again)
	@$(BIN)/meridian demo $(ARGS)

.PHONY: test
test: setup-tests build ## install what is missing and pass every test
	MERIDIAN_BIN=$(CURDIR)/$(BIN)/meridian $(GO) test $(TESTFLAGS) $(PKGS)

SPEC  ?=
COSTS ?=

.PHONY: test-aws
test-aws: ## tell the story of a read replica on your account of AWS, and remove everything: SPEC=like examples/aws/orders.yaml COSTS=accepted
	@[ -n "$(SPEC)" ] || { echo "test-aws: say SPEC=FILE: a copy of examples/aws/orders.yaml with your account and networks"; exit 2; }
	MERIDIAN_TEST_AWS_SPEC=$(abspath $(SPEC)) MERIDIAN_TEST_AWS_COSTS=$(COSTS) $(GO) test -count=1 -timeout 6h -v ./orchestrator/e2e -run '^TestAccountOfAWS$$'

.PHONY: lint
lint: ## layering, style and the determinism of workflows
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(GOTOOL) golangci-lint run ./... # a cache of another clone names its paths
	$(GOTOOL) workflowcheck ./orchestrator/workflows/...

.PHONY: generate
generate: ## regenerate what is generated (JSON schema, goldens)
	$(GO) test ./stacks -run 'Schema|Golden' -update
	$(GO) test ./cmd/meridian -run DocsSayWhatProvidersDo -update

.PHONY: bench
bench: setup build ## reproduce docs/benchmarks.md (programs stripped, as make build does)
	GOFLAGS="'-ldflags=-s -w' -trimpath" $(GO) test ./orchestrator/e2e -run '^$$' -bench . -benchtime 1x -timeout 60m $(ARGS)

.PHONY: bench-stores
bench-stores: setup ## let Temporal's stores take turns (docs/benchmarks.md)
	@.ci/cassandra.sh
	$(GO) test ./persistence/temporal -run '^$$' -bench Stores -benchtime 1x -timeout 60m $(ARGS)

SEED      ?= 1
KILLS     ?= 60
CONTROL   ?=
DATABASES ?= 3
SITES     ?= 0
STORE     ?=
CHAOS     := ./orchestrator/e2e/chaos/cmd

.PHONY: chaos-programs
chaos-programs: setup
	@mkdir -p $(BIN)/chaos
	$(GO) build -buildvcs=false $(if $(CONTROL),-tags chaoscontrol) -o $(BIN)/chaos/ ./cmd/meridian ./cmd/meridian-runner ./cmd/terraform-provider-localdb $(CHAOS)/...

.PHONY: chaos
chaos: chaos-programs ## kill everything at random and look at the world: SEED=n KILLS=n [SITES=2] [STORE=postgres|cassandra] [CONTROL=no-fence|no-lock|no-recovery|no-events|no-snapshots]
	@$(BIN)/chaos/chaos -bin $(BIN)/chaos -seed $(SEED) -kills $(KILLS) -databases $(DATABASES) -sites $(SITES) $(if $(STORE),-temporal $(STORE)) $(if $(CONTROL),-control $(CONTROL)) $(ARGS)

AWAY ?= 2m30s

.PHONY: outage
outage: setup ## take Temporal's PostgreSQL, Cassandra and look-alike of Astra away for minutes while a change is applied (AWAY=2m30s)
	@.ci/cassandra.sh
	$(GO) test ./persistence/temporal -run '^(TestPostgres|TestCassandra)$$' -v -timeout 30m -away $(AWAY)
	$(GO) test ./orchestrator/e2e -run '^TestStoryOnEachStore$$' -v -timeout 60m -away $(AWAY)

.PHONY: recovery-times
recovery-times: chaos-programs ## measure how long a run stands still after a kill (ARGS='-samples 20 -sites 1')
	@$(BIN)/chaos/recovery -bin $(BIN)/chaos $(ARGS)

.PHONY: soak
soak: chaos-programs ## replace workers for ten minutes while 50 databases are made and changed
	@$(BIN)/chaos/soak -bin $(BIN)/chaos $(ARGS)

TIME ?= 10s

.PHONY: fuzz
fuzz: ## let every fuzz test look for something new for TIME each (TIME=3m); what it finds is kept under testdata/fuzz
	@set -e; for f in $$(grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' $$f/*_test.go); do \
			$(GO) test $$f -run '^$$' -fuzz "^$$name$$" -fuzztime $(TIME); \
		done; \
	done

.PHONY: clean
clean: ## remove what make build made
	rm -rf $(BIN)

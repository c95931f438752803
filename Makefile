# make help lists what there is. Tools are pinned here and built into .tools on first use.
SQLC_VERSION     := v1.31.1
LINT_VERSION     := v2.15.0
OAPI_VERSION     := v2.8.2
OASDIFF_VERSION  := v1.36.0
VULN_VERSION     := v1.9.0
VULN_DB          ?= https://vuln.go.dev
MINIO_VERSION    := v0.0.0-20260212201848-7aac2a2c5b7c
TOOLS            := $(CURDIR)/.tools
OASDIFF          := $(TOOLS)/oasdiff breaking --severity-levels openapi/lint/severity.txt --fail-on ERR
GO               ?= go

.DEFAULT_GOAL := help
.PHONY: help up dev test test/race lint generate generate/check dashboard dashboard/check screenshots openapi/lint openapi/diff vuln fuzz fuzz/brief image verify chaos bench bench/sandbox e2e minio clean

help: ## Show this list
	@grep -hE '^[a-z/]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

dev: ## Run everything with a simulated WhatsApp, no phone needed
	$(GO) run . dev

up: ## Run everything against the real WhatsApp (API_KEY must be set)
	$(GO) run . up

# The two longest packages come first, side by side; their tests mostly wait, for claims and leases to end. Vetting is lint's.
test: ## Every test: unit, PostgreSQL, end to end and crash
	$(GO) test -vet=off -timeout 14m -parallel 3 ./infra/e2e ./connector ./...

test/race: ## The tests under the race detector, the program that the end-to-end tests run included
	GOFLAGS="$(GOFLAGS) -race" $(GO) test -timeout 40m ./...

e2e: ## Only the end-to-end and crash tests
	$(GO) test -timeout 14m -parallel 3 -count=1 -v ./infra/e2e

chaos: ## Break everything in turn under a load and count what was lost: SECONDS=180 SEED=1 JSON=file
	$(GO) run . chaos --seconds $(or $(SECONDS),180) --seed $(or $(SEED),1) $(if $(JSON),--json $(JSON))

lint: $(TOOLS)/golangci-lint ## Vet, format and lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(TOOLS)/golangci-lint run ./...

generate: $(TOOLS)/sqlc $(TOOLS)/oapi-codegen ## Rewrite everything that is generated: queries, OpenAPI document, SDKs, settings table
	cd infra/postgres && $(TOOLS)/sqlc generate
	$(GO) test ./api -run TestSpec -update
	$(GO) test ./infra/config -run TestReadme -update
	$(GO) test ./infra/features -run TestTable -update
	cd openapi/sdk/gen && npm ci
	$(GO) run ./openapi/sdk/gen

generate/check: $(TOOLS)/sqlc $(TOOLS)/oapi-codegen ## Fail if a generated file is stale (the tests check the others)
	cd infra/postgres && $(TOOLS)/sqlc diff
	cd openapi/sdk/gen && npm ci
	$(GO) run ./openapi/sdk/gen -check

dashboard: ## Check the dashboard's sources and build them into api/dashboard/dist, which is committed (Node 20)
	cd api/dashboard/ui && npm ci && npm run check && npm run build

dashboard/check: ## Fail if the committed dashboard is not what its sources build
	cd api/dashboard/ui && npm ci && npm run check && npm run build -- --outDir $(TOOLS)/dashboard
	diff -r api/dashboard/dist $(TOOLS)/dashboard

screenshots: ## Take a picture of every page, at a desk and on a phone, light and dark: DIR=screenshots (fonts-noto-color-emoji shows emoji)
	mkdir -p $(or $(DIR),screenshots)
	CHASQUI_SCREENSHOTS=$(abspath $(or $(DIR),screenshots)) $(GO) test -count=1 -run TestPages ./infra/dashboard

openapi/lint: ## Hold the OpenAPI documents, 3.1 and 3.0, against redocly and spectral
	cd openapi/lint && npm ci && for document in ../openapi.yaml ../openapi-3.0.yaml; do \
	  REDOCLY_TELEMETRY=off node_modules/.bin/redocly lint --config redocly.yaml $$document && \
	  node_modules/.bin/spectral lint --ruleset spectral.yaml --fail-severity hint $$document || exit 1; done

# The second line makes sure that the first would fail.
openapi/diff: $(TOOLS)/oasdiff ## Fail if the document would break clients of the released one
	$(OASDIFF) openapi/released.yaml openapi/openapi.yaml
	! sed 's#^  /v1/version:#  /v1/removed:#' openapi/openapi.yaml | $(OASDIFF) openapi/released.yaml - >/dev/null

# govulncheck exits with 3 for what it finds, which fails; where nothing leads to the database, that alone fails nobody.
vuln: $(TOOLS)/govulncheck ## Look for known vulnerabilities in what is called
	@if ! curl -fsSL --retry 2 --max-time 20 -o /dev/null $(VULN_DB)/index/db.json; then \
	  echo "vuln: NOT LOOKED FOR: $(VULN_DB) cannot be reached"; exit 0; fi; \
	$(TOOLS)/govulncheck -db $(VULN_DB) ./...

# One by one, instrumented: go test -fuzz takes one fuzzer of one package.
fuzz: ## Run each fuzzer for FUZZTIME=30s
	@for f in $$(grep -rlE '^func Fuzz' --include=*_test.go . | grep -v infra/testfuzz ); do \
	  for n in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -d' ' -f2); do \
	    echo "$$n ($$(dirname $$f))"; $(GO) test ./$$(dirname $$f) -run '^$$' -fuzz "^$$n$$" -fuzztime $(or $(FUZZTIME),30s) || exit 1; done; done

# Not instrumented: what go test builds anyway mutates the seeds, all fuzzers of a package in one run (infra/docs/fuzzing.md).
fuzz/brief: ## Mutate the seeds of each fuzzer for FUZZTIME=1s, without go test -fuzz
	CHASQUI_FUZZ=$(or $(FUZZTIME),1s) $(GO) test -vet=off -count=1 -run '^Fuzz' $$(grep -rlE '^func Fuzz' --include=*_test.go . | xargs -n1 dirname | sort -u)

image: ## Build the images with buildah and run docker-compose.yml out of them (root on Debian; 10 minutes)
	infra/docker/verify.sh

verify: lint generate/check openapi/lint openapi/diff test/race fuzz image ## The long suite: race detector, fuzzers, the longer crash tests, the downloaded PostgreSQL, the images
	CHASQUI_LONG=1 $(GO) test -timeout 60m -count=1 ./events/queue ./infra/devstack ./connector
	CHASQUI_LONG=1 $(GO) test -timeout 30m -count=1 -p 1 -run 'KilledDispatchers|BlackHoleAmong' ./infra/e2e ./dispatcher

bench: ## Measure what the documentation states
	$(GO) test -run '^$$' -bench . -benchtime 2s ./events/queue ./infra/signalstore ./connector ./infra/s3 ./infra/mediainfo ./api
	$(GO) test -run '^$$' -bench Decrypt -benchtime 2s ./dispatcher
	$(GO) test -run '^$$' -bench Deliveries -benchtime 20000x ./dispatcher
	$(GO) test -run '^$$' -bench Latency -benchtime 2000x ./dispatcher
	$(MAKE) bench/sandbox

bench/sandbox: ## Measure the sandbox: 10,000 stubs and 1,000 sessions in one process, and a message to a large group
	$(GO) test -run '^$$' -bench Sessions -benchtime 1x ./infra/sandbox
	$(GO) test -run '^$$' -bench . -benchtime 1s ./infra/sandbox/server ./infra/sandbox/keystore

minio: $(TOOLS)/minio ## Build MinIO (3 minutes), so that the S3 tests run against it too

clean: ## Remove built tools (the data directory .chasqui stays)
	rm -rf $(TOOLS)

$(TOOLS)/sqlc:
	GOBIN=$(TOOLS) $(GO) install github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC_VERSION)

$(TOOLS)/oapi-codegen:
	GOBIN=$(TOOLS) $(GO) install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@$(OAPI_VERSION)

$(TOOLS)/oasdiff:
	GOBIN=$(TOOLS) $(GO) install github.com/oasdiff/oasdiff@$(OASDIFF_VERSION)

$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)

# A process of its own for tests, never linked in: its licence is the AGPL.
$(TOOLS)/minio:
	GOBIN=$(TOOLS) $(GO) install -ldflags '-s -w' github.com/minio/minio@$(MINIO_VERSION)

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

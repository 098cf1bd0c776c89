# Thin: each line is a plain command that works without make.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
PYTHON := .venvs/main/bin/python

.PHONY: run build test test-rust test-python functions deploy aws-local watch sizes ffi-check lint lint-deploy bench recall-large cold-start round-trips costs words clean

run: build ## build and serve on http://127.0.0.1:8080 over ./data
	./target/release/genai-vectors api $(ARGS)

build:
	infra/install.sh build
	cargo build --release --locked --bin genai-vectors

test: test-rust test-python ## every test, Rust and Python

# Real servers for the adapters' tests; a plain `cargo test --workspace` shows those as ignored. (Without examples, which
# `make lint` checks: linking them takes minutes.)
SERVERS := genai-vectors-storage/servers,genai-vectors-service/servers

test-rust:
	infra/install.sh test
	python3 infra/servers.py install minio seaweedfs ministack dynamodb-local dynoxide
	cargo test --release --locked --workspace --lib --bins --tests --features $(SERVERS)

# With --tests the binary shares its dependencies with test-rust's build: else two features would build them twice.
test-python:
	infra/install.sh test
	cargo build --release --locked --workspace --bin genai-vectors --tests --features $(SERVERS)
	tests/venvs.sh
	tests/run.sh

functions: ## build the Lambda functions, into .aws-sam
	infra/install.sh build
	tests/venvs.sh deploy
	PATH=".venvs/deploy/bin:$$PATH" SAM_CLI_TELEMETRY=0 sam build

deploy: functions ## build, deploy to AWS, print the endpoint and a snippet; ARGS="EnvironmentName=test AuthMode=iam"
	.venvs/deploy/bin/python infra/deploy.py $(ARGS)

aws-local: functions ## the same on an emulated AWS on this machine, until interrupted
	infra/install.sh test
	python3 infra/servers.py install ministack
	.venvs/deploy/bin/python infra/aws_local.py --no-build $(ARGS)

watch: ## every function on one local port (cargo lambda watch), over emulated stores, until interrupted
	infra/install.sh test
	tests/venvs.sh deploy
	python3 infra/servers.py install ministack
	.venvs/deploy/bin/python infra/watch.py $(ARGS)

sizes: functions ## zip size, dynamic section and cold start of each function
	.venvs/deploy/bin/python infra/sizes.py --start $(ARGS)

# One test at a time, for valgrind runs one thread at a time anyway; those that it makes too slow are left out.
FFI_SLOW := dimension_4096 absurd_sizes twenty_thousand flipped_bit ones_finds_itself in_any_company
VALGRIND := valgrind --quiet --error-exitcode=1 --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect

ffi-check: ## the FAISS room's tests under valgrind: no access out of bounds, nothing uninitialised, no leak
	infra/install.sh ffi-check
	cargo --config 'target."cfg(unix)".runner = "$(VALGRIND)"' test --release --locked --workspace --lib -- ivfpq:: --test-threads=1 $(FFI_SLOW:%=--skip %)

lint: ## formatting and lints; warnings are errors
	infra/install.sh test
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	tests/venvs.sh main
	$(PYTHON) -m ruff check tests infra
	$(PYTHON) -m ruff format --check tests infra
	$(MAKE) lint-deploy

lint-deploy: ## the template, the construct, and that they are the same
	infra/install.sh test
	tests/venvs.sh main deploy cdk
	.venvs/deploy/bin/python infra/make_template.py --check
	.venvs/deploy/bin/cfn-lint infra/template.yaml
	SAM_CLI_TELEMETRY=0 .venvs/deploy/bin/sam validate --region us-east-1
	cd infra/cdk && npx --no-install tsc --noEmit
	.venvs/deploy/bin/python infra/check_cdk.py
	$(PYTHON) infra/client/batch_sizes.py --check

bench: build ## one table: ingest, queries, recall, memory, start, with ratios to peers of the same run
	infra/install.sh python
	tests/venvs.sh main peers
	$(PYTHON) tests/load/bench.py $(ARGS)

recall-large: build ## recall, latency, disk and memory at full size, phase by phase; fails when a target is missed
	infra/install.sh python
	tests/venvs.sh main
	$(PYTHON) tests/recall/large.py $(ARGS)

cold-start: build ## start to the first answer of a settled index, and the bytes read for it
	infra/install.sh python
	tests/venvs.sh main
	$(PYTHON) tests/load/cold_start.py $(ARGS)

# With --workspace the example shares its dependencies with the binary's build.
round-trips: ## what each operation sends and how long that takes, counted; into ARCHITECTURE.md
	cargo build --release --locked --workspace --example round_trips
	./target/release/examples/round_trips | python3 tests/load/block.py ARCHITECTURE.md round-trips

costs: ## what a million writes and queries cost on AWS, from the counts of round-trips; into README.md
	cargo build --release --locked --workspace --example round_trips
	./target/release/examples/round_trips --json | python3 tests/load/costs.py | python3 tests/load/block.py README.md costs

words: build ## against the running server: 350k words, the nearest to "ocean"
	infra/install.sh python
	tests/venvs.sh main
	$(PYTHON) tests/recall/words.py make
	$(PYTHON) tests/recall/words.py run

clean:
	cargo clean
	rm -rf .venvs .cache tests/clients/js/node_modules

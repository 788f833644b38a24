# The verbs of the house. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.PHONY: help build demo test fleet chaos soak fuzz services lint fmt

NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build the one binary, overnight
	cargo build --locked --package overnight

demo: build ## the main job: sample issues in as backlog, tonight's work now, checked answers out
	@./deploy/demo.sh target/debug/overnight

test: ## run every test; finds or starts PostgreSQL and RabbitMQ, and says which
ifeq ($(NEXTEST),yes)
	services=$$(deploy/services.sh) && eval "$$services" && cargo nextest run --locked --workspace
else
	services=$$(deploy/services.sh) && eval "$$services" && cargo test --locked --workspace
endif

fleet: ## whole nights of a fleet, with kills, lost queues and a live runner; ISSUES=GLOB takes your issues
	@deploy/fleet.sh

chaos: build ## every crash point, lie and outage, with an oracle and a table; SHARD=i/n, PAIR=sqlite or fleet, ONLY=WORD
	cargo build --locked --package chaos
	target/debug/chaos target/debug/overnight

soak: build ## nights in a row with seeded havoc; MINUTES=n SEED=s plays one again
	cargo build --locked --package chaos
	SOAK=$(or $(MINUTES),10) target/debug/chaos target/debug/overnight

fuzz: ## inputs that nobody wrote, for SECONDS (60) at each target; SEED=n brings the same ones back
	seed=$(or $(SEED),$$RANDOM); echo "SEED=$$seed"; FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_SEED=$$seed cargo test --locked --lib --bins -p pipeline -p gateway -p processor -p api -p overnight any_ -- --nocapture

services: ## find or start PostgreSQL and RabbitMQ, and print where they are
	@deploy/services.sh

lint: ## format check and clippy, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format everything
	cargo fmt --all

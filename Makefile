# `make` alone lists the targets.
.PHONY: help demo test test-kernel bench lint fmt setup
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## do the main job with an emulated YubiKey (KEEP=1 leaves it running, TOKEN=real uses a real key)
	@scripts/setup.sh demo
	@scripts/demo.sh

test: ## run all tests, on real pcscd, real files and real clients
	@scripts/setup.sh test
	cargo test --workspace --lib --bins --tests --locked --no-fail-fast

test-kernel: ## run the tests that need a kernel of their own, for USB or to cut its power (built once, in some minutes)
	@scripts/setup.sh kernel
	scripts/kernel/test.sh

bench: ## print how fast it is beside references of the same run (BENCH_TOKENS=1000000, BENCH_ONLY=search)
	@scripts/setup.sh test
	cargo bench --locked --bench bench

lint: ## check formatting, lints, docs and dependencies
	@scripts/setup.sh demo
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package fobd-drivers --features hid,pcsc --test kernel --locked -- -D warnings
	cargo clippy --workspace --test power --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny --offline check licenses bans sources; \
	else echo "cargo-deny is not installed: tests/dependencies.rs checks the licences instead"; fi

fmt: ## format the sources
	cargo fmt --all

setup: ## install what the build and the tests need
	@scripts/setup.sh test

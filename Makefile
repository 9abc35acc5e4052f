# What a person types. Each target sets up what it needs; nothing outside the clone and the cache
# (~/.cache/ddpo, or DDPO_CACHE) is touched, but for `make setup-system`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
DDPO := $(or $(CARGO_TARGET_DIR),target)/release/ddpo
VENV := $(or $(DDPO_VENV),.venv)

# How long each target is fuzzed.
FUZZ_SECONDS ?= 600

# Arguments for one of the runners: make parity ARGS="--only celebahq-256"
ARGS ?=

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: demo
demo: build ## finetune the embedded model on JPEG compressibility (minutes)
	rm -rf runs/quickstart
	$(DDPO) train --config examples/quickstart.toml

.PHONY: demo-over50
demo-over50: build ## finetune the embedded model on the age that the embedded classifier sees (minutes)
	rm -rf runs/over50
	$(DDPO) train --config examples/over50.toml

.PHONY: notebook
notebook: build ## run examples/quickstart.ipynb and keep what comes out (minutes)
	"$$(scripts/setup-clients tests/notebook/requirements.txt)" tests/notebook/run.py examples/quickstart.ipynb

.PHONY: setup
setup: ## put libtorch 2.11.0 under .libtorch/
	@scripts/setup-system --check
	@scripts/setup-libtorch

.PHONY: setup-system
setup-system: ## install what the build needs, with apt
	scripts/setup-system --install

.PHONY: python
python: ## put PyTorch, diffusers and transformers, the peer of parity and bench, in .venv/
	@scripts/setup-python

.PHONY: clients
clients: ## put what tests need of Python, gRPC's client, numpy, TensorBoard and Jupyter among it, in the cache
	@scripts/setup-clients >/dev/null
	@for folder in report sharing notebook loggers; do \
	  scripts/setup-clients tests/$$folder/requirements.txt >/dev/null; done

.PHONY: build
build: setup ## build the release binaries
	$(CARGO) build --release --locked

.PHONY: test
test: setup clients ## run all tests
	$(CARGO) test --release --workspace --locked --no-fail-fast $(ARGS)

.PHONY: test-slow
test-slow: setup ## run the tests of minutes: five hundred faults over all services
	$(CARGO) test --release --workspace --locked --no-run
	$(CARGO) test --release --workspace --locked --test nothing_lost -- --nocapture

.PHONY: test-deploy
test-deploy: build ## run the tests of image, Compose and two hosts; those that need a Docker engine, where there is one
	cd tests/deploy && DDPO_SCHEMA_PYTHON="$$(../../scripts/setup-clients requirements.txt)" \
	  "$$(../../scripts/setup-clients)" -m unittest -v $(ARGS)

.PHONY: test-manifests
test-manifests: build ## hold deploy/kubernetes/ against Kubernetes' schemas, itself and the binaries
	PYTHONDONTWRITEBYTECODE=1 "$$(scripts/setup-clients tests/manifests/requirements.txt)" \
	  tests/manifests/run.py --binaries $(dir $(DDPO)) $(ARGS)

.PHONY: lint
lint: setup ## check the format, clippy and the docs, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps --locked

.PHONY: parity
parity: build python ## compare with the real diffusers, transformers, Pillow and PyTorch
	$(CARGO) build --release --locked --workspace --example vision --example hub
	$(VENV)/bin/python tests/parity/run.py --ddpo $(DDPO) $(ARGS)

.PHONY: bench
bench: build python ## time ours against Python, interleaved; writes bench/results.json
	$(VENV)/bin/python bench/run.py --ddpo $(DDPO) $(ARGS)

.PHONY: fuzz
fuzz: ## feed garbage to what reads the wire, ten minutes each target (nightly Rust, cargo-fuzz)
	cd proto && for target in frame_decoder conversions rewards; do \
	  mkdir -p fuzz/corpus; tar -xzf "fuzz/kept/$$target.tar.gz" -C fuzz/corpus; \
	  $(CARGO) +nightly fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS); \
	done

.PHONY: proto
proto: ## renew the code that is generated from proto/ddpo/v1
	$(CARGO) run --locked -p ddpo-proto --example generate

.PHONY: goldens
goldens: python ## write tests/goldens anew from diffusers and PyTorch
	$(VENV)/bin/python tests/goldens/make_unet.py
	$(VENV)/bin/python tests/goldens/make_scheduler.py
	$(VENV)/bin/python tests/goldens/make_learner.py
	$(VENV)/bin/python tests/goldens/make_vision.py
	$(VENV)/bin/python tests/goldens/make_torchscript.py
	$(VENV)/bin/python tests/goldens/make_seed_file.py

.PHONY: clean
clean: ## remove build outputs, libtorch and the link to the Python peer
	$(CARGO) clean
	rm -rf .libtorch .venv

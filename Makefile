# Each target installs its prerequisites in the clone and in the cache (~/.cache/ddpo, or DDPO_CACHE). As root on Debian
# and Ubuntu, missing cmake and nasm are installed with apt; `make test` also installs what the tests use.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
DDPO := $(or $(CARGO_TARGET_DIR),target)/release/ddpo
# scripts/setup-tools installs missing tools here.
export PATH := $(or $(DDPO_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ddpo)/tools/bin:$(PATH)
# Binaries find libtorch relative to target/release. With another target folder they need LD_LIBRARY_PATH.
ifdef CARGO_TARGET_DIR
export LD_LIBRARY_PATH := $(CURDIR)/.libtorch/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
endif
# Python for parity and bench: the locked environment, or DDPO_VENV (such as a PyTorch with CUDA).
PEER = $(if $(DDPO_VENV),$(DDPO_VENV)/bin/python,"$$(scripts/setup-clients tests/parity/requirements.txt)")

# Seconds for each fuzz target.
FUZZ_SECONDS ?= 600

# BUILT=1 uses the programs in the target folder as they are. .ci/run sets it after `make test`, which has built
# them: `cargo build` would compile them again, because the tests enable more features of their dependencies.

# Arguments for the runner of a target. parity, test-deploy, test-manifests and structure pass them to pytest:
#   make parity ARGS="-k celebahq-256"    make test-manifests ARGS="-k 'not test_live'"
ARGS ?=

# Python environment of the documentation tests; it contains mdBook.
DOCS_PYTHON = scripts/setup-clients tests/docs/requirements.txt
MDBOOK = "$$(dirname "$$($(DOCS_PYTHON))")/mdbook"

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: build ## finetune the small face model towards older faces (minutes)
	rm -rf runs/over50
	@echo "finetuning the small face model: about five minutes on two cores"
	$(DDPO) train --config examples/over50.toml

.PHONY: demo-jpeg
demo-jpeg: build ## finetune the small face model towards small JPEG files (minutes)
	rm -rf runs/quickstart
	$(DDPO) train --config examples/quickstart.toml

.PHONY: notebook
notebook: build ## run examples/quickstart.ipynb and save its outputs (minutes)
	"$$(scripts/setup-clients tests/notebook/requirements.txt)" tests/notebook/run.py examples/quickstart.ipynb

##@ Build

.PHONY: build
build: setup ## build the release binaries
	@[ -e $(DDPO) ] || echo "building: about 10 minutes on two cores"
	$(if $(BUILT),,$(CARGO) build --release --locked)

.PHONY: setup
setup: ## download libtorch 2.11.0 into .libtorch/
	@scripts/setup-tools
	@scripts/setup-libtorch

.PHONY: setup-system
setup-system: ## install what the build needs, with apt
	scripts/setup-system --install

.PHONY: clean
clean: ## remove build outputs and libtorch
	$(CARGO) clean
	rm -rf .libtorch

##@ Test

.PHONY: test
test: setup clients ## run all tests; without root, tests whose program is missing are skipped and listed
	@[ -e $(DDPO) ] || echo "building the tests: about 20 minutes on two cores"
	@echo "running the tests: about 15 minutes on two cores"
	scripts/test $(CARGO) test --release --workspace --locked --no-fail-fast $(ARGS)

.PHONY: test-slow
test-slow: setup ## run the slow tests: five hundred faults over all services (minutes)
	$(CARGO) test --release --workspace --locked --no-run
	$(CARGO) test --release --workspace --locked --test nothing_lost -- --nocapture

.PHONY: test-hostile
test-hostile: build ## give the program three hundred hostile inputs; ARGS="pickle" selects by name (minutes)
	PYTHONDONTWRITEBYTECODE=1 python3 tests/hostile/run.py $(DDPO) $(ARGS)

.PHONY: test-deploy
test-deploy: build ## run the tests of image, Compose and two hosts; some need a Docker engine or root
	"$$(scripts/setup-clients tests/deploy/requirements.txt)" -m pytest tests/deploy -raP $(ARGS)

.PHONY: test-manifests
test-manifests: build ## check deploy/kubernetes/ against the schemas of Kubernetes and the binaries
	"$$(scripts/setup-clients tests/manifests/requirements.txt)" -m pytest tests/manifests \
	  --binaries $(dir $(DDPO)) $(ARGS)

.PHONY: parity
parity: build python ## compare with diffusers, transformers, Pillow and PyTorch
	$(if $(BUILT),,$(CARGO) build --release --locked --workspace --example vision --example hub --example pixels)
	$(PEER) -m pytest tests/parity --ddpo $(DDPO) $(ARGS)

.PHONY: lint
lint: setup structure docs-links ## check format, clippy, rustdoc, structure, links and dependencies; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps --locked
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	  else echo "cargo-deny is not installed; make structure has checked licences and sources"; fi

.PHONY: structure
structure: ## check dependencies between crates, imports between files, licences and sources
	"$$(scripts/setup-clients tests/structure/requirements.txt)" -m pytest tests/structure $(ARGS)

.PHONY: fuzz
fuzz: setup ## fuzz everything that reads what others wrote, ten minutes each target (nightly Rust, cargo-fuzz)
	$(call fuzz,proto,address)
	$(call fuzz,tests,none)

# Runs the targets of the folder $(1)/fuzz with the sanitizer $(2).
define fuzz
cd $(1) && export LD_LIBRARY_PATH="$${LIBTORCH:-$(CURDIR)/.libtorch}/lib" && \
for target in $$($(CARGO) +nightly fuzz list); do \
  mkdir -p fuzz/corpus; tar -xzf "fuzz/kept/$$target.tar.gz" -C fuzz/corpus; \
  $(CARGO) +nightly fuzz run --sanitizer $(2) "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
    -timeout=10 -max_total_time=$(FUZZ_SECONDS); \
done
endef

.PHONY: bench
bench: build python ## time ddpo against Python; writes bench/results.json
	$(CARGO) build --release --locked -p ddpo-bench-worker
	$(PEER) bench/run.py --ddpo $(DDPO) $(ARGS)

.PHONY: bench-learning
bench-learning: build python ## run the sweep of bench/learning.toml: every objective, three seeds; writes bench/learning.json
	$(PEER) bench/learning.py --ddpo $(DDPO) --out bench/learning.json $(ARGS)

.PHONY: bench-objectives
bench-objectives: build python ## measure what each objective costs the learner; writes bench/objectives.json (minutes)
	$(PEER) bench/objectives.py --target $(dir $(DDPO)) --out bench/objectives.json $(ARGS)

##@ Documentation

.PHONY: docs
docs: ## render docs/ as a book in target/book
	$(MDBOOK) build docs
	@echo "open target/book/index.html"

.PHONY: docs-links
docs-links: ## check links, code blocks and the reference of metrics; needs no build
	"$$($(DOCS_PYTHON))" -m pytest tests/docs $(ARGS)

.PHONY: docs-check
docs-check: build ## docs-links, and check commands and settings with the built programs
	"$$($(DOCS_PYTHON))" -m pytest tests/docs --binaries $(dir $(DDPO)) $(ARGS)

.PHONY: reference
reference: build ## regenerate docs/settings.md and docs/metrics.md
	python3 tests/docs/settings.py $(dir $(DDPO)) >docs/settings.md.new && mv docs/settings.md.new docs/settings.md
	python3 tests/docs/metrics.py >docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md

.PHONY: pictures
pictures: build ## regenerate docs/images from runs of the small model (minutes)
	[ -e runs/over50/checkpoints/epoch-000014 ] || $(DDPO) train --config examples/over50.toml
	[ -e runs/over50/report/report.html ] || $(DDPO) report runs/over50
	"$$(scripts/setup-clients tests/report/requirements.txt)" tests/report/pictures.py $(DDPO) runs/over50 docs/images
	"$$(scripts/setup-clients tests/report/requirements.txt)" tests/report/panels.py $(dir $(DDPO)) docs/images

##@ Generated files and environments

.PHONY: proto
proto: ## regenerate the code of proto/ddpo/v1
	$(CARGO) run --locked -p ddpo-proto --example generate

.PHONY: goldens
goldens: python ## regenerate tests/goldens with diffusers and PyTorch
	$(PEER) tests/goldens/make_unet.py
	$(PEER) tests/goldens/make_scheduler.py
	$(PEER) tests/goldens/make_learner.py
	$(PEER) tests/goldens/make_pixels.py
	$(PEER) tests/goldens/make_vision.py
	$(PEER) tests/goldens/make_torchscript.py
	$(PEER) tests/goldens/make_upstream_checkpoint.py

.PHONY: locks
locks: ## regenerate tests/*/requirements.txt from requirements.in; ARGS="--upgrade" takes newer packages
	for folder in $(dir $(wildcard tests/*/requirements.in)); do \
	  scripts/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --annotation-style line \
	    --custom-compile-command "make locks" --output-file "$${folder}requirements.txt" $(ARGS) \
	    $$([ ! -e "$${folder}excludes.txt" ] || printf -- "--excludes %s" "$${folder}excludes.txt") \
	    "$${folder}requirements.in"; done

.PHONY: python
python: ## install PyTorch, diffusers and transformers for parity and bench in the cache
	@$(if $(DDPO_VENV),,scripts/setup-clients tests/parity/requirements.txt)

.PHONY: clients
clients: ## install packages for the Rust tests in the cache: Python (gRPC, numpy, TensorBoard, Jupyter), NVRTC
	@echo "installing what the tests use: about two minutes the first time"
	@for folder in clients report sharing notebook loggers; do \
	  scripts/setup-clients tests/$$folder/requirements.txt >/dev/null; done
	@scripts/setup-nvrtc >/dev/null
	@scripts/setup-nvrtc 12 >/dev/null

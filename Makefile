# `make` lists the targets. Everything is installed inside this checkout.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

VENV := .venv
READY := $(VENV)/.ready
# MiniStack pins botocore, so it has a separate environment.
MINISTACK := .cache/ministack
# mutmut needs a version of click that the SAM CLI does not accept, so it has one too.
MUTMUT := .cache/mutmut
SCAN := .cache/scan
SBOM := .cache/sbom
# The functions that `make mutants` changes, such as 'transformer.codec.*' (default: all).
MUTANTS ?=
# The machine's uv, or one installed in this checkout if the machine has none.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
EVENT ?= events/article.json
ARCHITECTURE ?= arm64
# The tag of a release. It must match the version in pyproject.toml.
TAG ?=
# This machine's architecture, for its containers. Passed as the template's parameter Architecture.
MACHINE := $(subst aarch64,arm64,$(shell uname -m))

# sam build looks for python3.13 on PATH and must find the environment's first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# No tool writes outside the checkout (except uv's cache) or sends telemetry.
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.uv/python
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export __SAM_CLI_APP_DIR := $(CURDIR)/.cache/sam
export SAM_CLI_TELEMETRY := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without stored bytecode each command compiles every module again, which doubles its start time.
unexport PYTHONDONTWRITEBYTECODE
# The Region that the linters and SAM use to expand templates. Only `make deploy...` calls AWS.
LOCAL_AWS := AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-ap-northeast-1}

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet --require-hashes --requirement .ci/uv.txt

$(READY): requirements-dev.txt pyproject.toml .python-version | $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv)
	@$(UV) python find --system >/dev/null 2>&1 || why=$$($(UV) python install 2>&1) || { \
	  echo "Install Python 3.13: this machine has none, and uv cannot download it ($$(echo "$$why" | sed -n '$$s/^ *//p'))." >&2; exit 1; }
	@$(UV) venv --quiet --allow-existing $(VENV)
	@$(UV) pip sync --quiet --require-hashes --python $(VENV)/bin/python requirements-dev.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python $(VENV)/bin/python --editable .
	@touch $@

.PHONY: setup
setup: $(READY) ## Create .venv with everything locked in requirements-dev.txt

.PHONY: demo
demo: setup ## Run the whole pipeline on the tutorial's sign-ins among other events, without AWS
	@console-login local events/src/tokyo.jsonl events/src/osaka.jsonl --generate 100 --sign-ins 0

.PHONY: soak
soak: setup ## Run a million events through the pipeline, account for each one, and drain bursts
	@$(VENV)/bin/python benchmarks/soak.py
	@$(VENV)/bin/python benchmarks/put_back.py

.PHONY: test
test: ## Run the linters and every test, without AWS and without Docker
	@echo "The linters and every test take about six minutes on two cores."
	@$(MAKE) --no-print-directory lint
	$(VENV)/bin/pytest --numprocesses=auto --dist=loadgroup --no-loadscope-reorder

# `uv tool run` checks no hashes; `uv pip sync` does.
$(MINISTACK)/.ready: tests/deploy/requirements.txt $(READY)
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(MINISTACK)
	@$(UV) pip sync --quiet --require-hashes --python $(MINISTACK)/bin/python $< || \
	  { echo "MiniStack cannot be installed. No template was deployed and nothing was tested." >&2; exit 1; }
	@touch $@

.PHONY: deploy-test
deploy-test: setup $(MINISTACK)/.ready ## Deploy the templates on MiniStack, an emulator of AWS on 127.0.0.1, and test them there
	@$(VENV)/bin/pytest tests/deploy || { echo "MiniStack's log: .cache/ministack.log" >&2; exit 1; }

# A .pth file adds the checkout's environment, so that the tests find the locked libraries.
$(MUTMUT)/.ready: tests/mutation/requirements.txt $(READY)
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(MUTMUT)
	@$(UV) pip sync --quiet --require-hashes --python $(MUTMUT)/bin/python $<
	@$(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  $$($(MUTMUT)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/checkout.pth
	@touch $@

.PHONY: mutants
mutants: setup $(MUTMUT)/.ready ## Change the function's code a thousand times, and show the changes that no test detects
	@$(MUTMUT)/bin/python tests/mutation/mutants.py $(if $(MUTANTS),'$(MUTANTS)')

.PHONY: lint
lint: setup ## Run ruff, mypy --strict, import-linter, sam validate --lint and cfn-lint
	ruff format --check .
	ruff check .
	mypy
	PYTHONPATH=functions/transform lint-imports --no-cache --no-logo
	$(LOCAL_AWS) sam validate --lint
	cfn-lint *.yaml

.PHONY: format
format: setup ## Format the code and fix what ruff can fix
	ruff check --fix .
	ruff format .

.PHONY: build
build: setup ## Build the function for ARCHITECTURE (arm64 or x86_64)
	$(LOCAL_AWS) sam build --parameter-overrides Architecture=$(ARCHITECTURE)

.PHONY: invoke
invoke: ## Build, then run EVENT with sam local invoke (needs Docker)
	@$(MAKE) build ARCHITECTURE=$(MACHINE)
	$(LOCAL_AWS) sam local invoke TransformFunction --event $(EVENT) --parameter-overrides Architecture=$(MACHINE)

.PHONY: deploy
deploy: setup ## Build, check and deploy the pipeline with your AWS credentials; asks before it changes the stack
	sam build
	console-login preflight
	sam deploy

.PHONY: deploy-trail
deploy-trail: setup ## Deploy trail.yaml, for an account that has no trail
	sam deploy --config-env trail

.PHONY: deploy-athena
deploy-athena: setup ## Deploy athena.yaml: a table and queries over the bucket
	sam deploy --config-env athena

$(SCAN)/.ready: .ci/scan.txt $(READY)
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(SCAN)
	@$(UV) pip sync --quiet --require-hashes --python $(SCAN)/bin/python $<
	@touch $@

.PHONY: scan
scan: setup $(SCAN)/.ready ## Check the templates with checkov, and the CI workflow and Dependabot's settings with zizmor
	$(SCAN)/bin/checkov --config-file .checkov.yaml
	$(SCAN)/bin/zizmor --offline --persona pedantic .github

.PHONY: audit
audit: setup $(SCAN)/.ready ## Look up every locked package in PyPI's advisory database; fails if that is unreachable
	@$(VENV)/bin/python .ci/audit.py $(SCAN)/bin/pip-audit

.PHONY: package
package: setup ## Write plain templates and the function's zips into dist/, for StackSets and for accounts without SAM
	@$(VENV)/bin/python .ci/dist.py --uv $(UV) --out dist
	@ls -l dist

$(SBOM)/.ready: .ci/sbom.txt $(READY)
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(SBOM)
	@$(UV) pip sync --quiet --require-hashes --python $(SBOM)/bin/python $<
	@touch $@

.PHONY: release
release: setup $(SBOM)/.ready ## Write a release into dist/: the package, the wheel, an SBOM and SHA256SUMS
	@$(VENV)/bin/python .ci/dist.py --uv $(UV) --out dist --sbom $(SBOM)/bin/cyclonedx-py --tag '$(TAG)'
	@cat dist/SHA256SUMS

.PHONY: judge
judge: setup ## Check the tests' IAM requests against an independent policy simulator (Node)
	@$(VENV)/bin/python tests/judge/judge.py

.PHONY: bench
bench: setup ## Compare the handler's speed with other transformers, in one run
	@$(VENV)/bin/python benchmarks/transform.py

.PHONY: cost
cost: setup ## Regenerate docs/cost.md and docs/cost.svg: the monthly cost of this pipeline and of native delivery
	@$(VENV)/bin/python benchmarks/cost.py --write docs/cost.md

.PHONY: pictures
pictures: setup ## Draw the pictures of the README again from real output
	@$(VENV)/bin/python benchmarks/pictures.py

.PHONY: bench-all
bench-all: ## Measure speed, cold start and memory, and draw the plots in docs/
	@$(MAKE) build ARCHITECTURE=$(MACHINE)
	@$(VENV)/bin/python benchmarks/transform.py --plot docs/speed.svg
	@$(VENV)/bin/python benchmarks/cold_start.py
	@$(VENV)/bin/python benchmarks/memory.py --plot docs/size.svg

.PHONY: events
events: setup ## Pack events/*.json again from events/src
	@sh events/pack.sh events

.PHONY: lock
lock: | $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv) ## Resolve pyproject.toml again and write the lock files
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group dev --group function \
	  --output-file requirements-dev.txt pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group function --constraints requirements-dev.txt \
	  --output-file functions/transform/requirements.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group deploy \
	  --output-file tests/deploy/requirements.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group mutation \
	  --output-file tests/mutation/requirements.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group scan \
	  --output-file .ci/scan.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group sbom \
	  --output-file .ci/sbom.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command 'make lock' --group bootstrap \
	  --output-file .ci/uv.txt

.PHONY: clean
clean: ## Remove everything that make created
	rm -rf $(VENV) .uv .cache .aws-sam .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

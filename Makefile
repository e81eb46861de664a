# make help lists the doors. Everything is installed into .venv from requirements.lock; nothing else is needed but
# Python 3.11 to 3.13 and git.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PORT ?= 5000
READY := $(VENV)/.installed
TORCH ?= cuda
INSTALL := "$(BIN)/python" -m pip install --quiet --disable-pip-version-check
CPU_INDEX := https://download.pytorch.org/whl/cpu
NVIDIA_ML := 13.615.71
RUN := PATH="$(BIN):$$PATH" PYTHONPATH=src

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## .venv with the exact versions of requirements.lock (TORCH=cpu: without CUDA, from PyTorch's index)

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "bkdsnn: requirements.lock is for Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; name one of those: PYTHON=python3.13")'
	@case "$(TORCH)" in cpu|cuda) ;; *) echo "bkdsnn: TORCH=$(TORCH): wanted cpu or cuda" >&2; exit 1;; esac
	@echo "installing into $(VENV): $(if $(filter cpu,$(TORCH)),torch without CUDA,6.6 GB), 2 minutes or more"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --requirement requirements.lock $(if $(filter cpu,$(TORCH)),--extra-index-url $(CPU_INDEX))
	@if [ -d /proc/driver/nvidia ]; then $(INSTALL) nvidia-ml-py==$(NVIDIA_ML); fi
	touch $(READY)

.PHONY: repro
repro: $(READY) ## reproduce the table that params.yaml asks for (JOBS=n stages at once; ALLOW_MISSING=1: only what dvc.lock does not know)
	@$(RUN) python -m bkdsnn.tools.repro.start "$(JOBS)" "$(ALLOW_MISSING)"

.PHONY: row
row: $(READY) ## one row with what it needs, nothing else (TABLE=digits ROW=image-bkd SEED=0)
	@$(RUN) python -m bkdsnn.tools.repro.row "$(TABLE)" "$(ROW)" "$(SEED)"

.PHONY: tune
tune: $(READY) ## settings of a row by validation top-1 (TABLE=digits ROW=image-bkd SPACE='blur_ratio=0.1,0.2' SEEDS=100,101)
	@$(RUN) python -m bkdsnn.tools.tune "$(TABLE)" "$(ROW)" "$(SPACE)" "$(SEEDS)"

.PHONY: compare
compare: $(READY) ## two experiments or commits, row by row: difference paired by seed, verdict (A=main B=EXPERIMENT)
	@$(RUN) python -m bkdsnn.tools.compare "$(A)" "$(B)"

.PHONY: ui
ui: $(READY) ## the MLflow pages on http://127.0.0.1:5000 (PORT=... for another)
	@$(RUN) python -m bkdsnn.tools.ui "$(PORT)"

.PHONY: test
test: lint ## lint, unit tests, and a real dvc repro of a tiny table in a clone, on all cores
	$(RUN) python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: test-slow
test-slow: $(READY) ## the tests that take minutes
	$(RUN) python -m pytest -m slow

.PHONY: lint
lint: $(READY) ## ruff: errors and layout
	$(RUN) ruff check .
	$(RUN) ruff format --check .

.PHONY: bench
bench: $(READY) ## what events, images, the cache, start-up and a training step cost on this machine
	$(RUN) python -m bkdsnn.tools.bench.data
	$(RUN) python -m bkdsnn.tools.bench.images
	$(RUN) python -m bkdsnn.tools.bench.cache
	for part in ratios memory switches lines; do $(RUN) python -m bkdsnn.tools.bench.step $$part || exit; done
	$(RUN) python -m bkdsnn.tools.bench.methods kdsnn
	$(RUN) python -m bkdsnn.tools.bench.start
	$(RUN) python -m bkdsnn.tools.bench.dvc

.PHONY: check-cache
check-cache: $(READY) ## stored teacher outputs against the live teacher (KEY=... for one cache)
	$(RUN) python -m bkdsnn.tools.check_cache $(if $(KEY),"$(KEY)")

.PHONY: check-number
check-number: $(READY) ## a published number with somebody's weights (TABLE=cifar100 ROW=... WEIGHTS=FILE LAYOUT=ours)
	@$(RUN) python -m bkdsnn.tools.check_number "$(TABLE)" "$(ROW)" "$(WEIGHTS)" "$(LAYOUT)" $(ARGS)

.PHONY: torture
torture: $(READY) ## break a small dvc repro by kills, signals, full disks; compare bytes with an unbroken one (SEED=... for other moments)
	$(RUN) python -m bkdsnn.tools.torture.start "$(SEED)"

.PHONY: fuzz
fuzz: $(READY) ## damage input of every kind and read it (SEED=... MINUTES=4, or COUNT=... of each kind; ONLY=npz)
	$(RUN) python -m bkdsnn.tools.fuzz "$(SEED)" "$(MINUTES)" "$(COUNT)" "$(ONLY)"

.PHONY: params
params: $(READY) ## params.yaml anew from src/bkdsnn/conf (TABLE=... for another table, ARGS='seeds=[1]')
	$(RUN) python -m bkdsnn.tools.compose $(if $(TABLE),"table=$(TABLE)") $(ARGS)

.PHONY: plan
plan: $(READY) ## what a table would cost here and on a GPU (TABLE=imagenet ARGS='gpu_tflops=989 utilisation=0.3')
	$(RUN) python -m bkdsnn.tools.plan.table $(if $(TABLE),"table=$(TABLE)") $(ARGS)

# A machine with a GPU may have neither .venv nor network: its own Python then runs with what gpu-pack took along.
GPU_PYTHON := $(if $(wildcard $(READY)),"$(BIN)/python",$(PYTHON))
GPU_PATH := src$(if $(wildcard $(READY)),,:.gpu/packages)

.PHONY: gpu-pack
gpu-pack: $(READY) ## .gpu: what gpu-check needs on a machine without DVC and network
	@$(RUN) python -m bkdsnn.tools.gpu_check.luggage

.PHONY: gpu-check
gpu-check: ## numbers, bytes and speed on the GPU here, 10 minutes (DEVICE=cpu rehearses; PARTS=speed,table)
	@PYTHONPATH=$(GPU_PATH) $(GPU_PYTHON) -m bkdsnn.tools.gpu_check "$(DEVICE)" "$(PARTS)" "$(SIZES)"

.PHONY: export
export: $(READY) ## a trained student as a NIR file (STUDENT=image-bkd-s0)
	@$(RUN) python -m bkdsnn.tools.export "$(STUDENT)"

.PHONY: register
register: $(READY) ## the winning student of the table (ROW=... of one row) as a model in MLflow
	$(RUN) python -m bkdsnn.tools.register $(if $(TABLE),--table "$(TABLE)") $(if $(ROW),--row "$(ROW)")

.PHONY: publish
publish: $(READY) ## a student as a folder for Hugging Face (STUDENT=image-bkd-s0; PUSH=1 REPO=user/name uploads it)
	@$(RUN) python -m bkdsnn.tools.publish "$(STUDENT)" "$(PUSH)" "$(REPO)"

.PHONY: readme
readme: $(READY) ## committed tables, trials and measurements into README.md and docs/
	$(RUN) python -m bkdsnn.tools.readme

.PHONY: page
page: $(READY) ## all tables and figures as one page, results/index.html
	$(RUN) python -m bkdsnn.tools.page

.PHONY: clean
clean: ## remove data, models, states of killed runs (DVC restores what .dvc/cache holds; results and mlflow.db stay)
	rm -rf .resume data models raw/digits-dvs dvc_plots .pytest_cache .ruff_cache
	find . -name $(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-venv
clean-venv: ## remove .venv (6.6 GB; the next target that needs it installs it anew)
	rm -rf $(VENV)

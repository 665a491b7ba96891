# `make quickstart` and `make test` set everything up on a fresh machine and run.
# GPU users keep the torch they have:  make quickstart TORCH=  in an environment that has one, PYTHON=its python.

PYTHON ?= python3
VENV   ?= .venv
# On Linux, pip may offer a CUDA build of this version; PyTorch's own index for CPU builds avoids the download.
TORCH  ?= torch==2.13.0
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help quickstart test test-slow test-gpu lint docs bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@if [ -n "$(TORCH)" ]; then $(BIN)/python -m pip install --quiet -c constraints.txt "$(TORCH)"; fi
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[root,sim,vq,stats,trees,report,track,cluster,theory,onnx,dev]'
	@touch $@

quickstart: $(READY)  ## the whole story in minutes: jets, tokens, pre-train, generate, fine-tune, report
	rm -rf quickstart
	$(BIN)/lpm quickstart --out quickstart

test: $(READY)  ## the default tests, under ten minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -q

test-slow: $(READY)  ## the longer tests
	$(BIN)/python -m pytest -m slow

test-gpu: $(READY)  ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

lint: $(READY)  ## style, types, import contract, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

docs: $(READY)  ## the documentation, without warnings
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)  ## the benchmarks, with the options of their records; data as their commands name them
	$(BIN)/python benchmarks/run.py

clean:  ## all that the other targets made
	rm -rf $(VENV) site quickstart .pytest_cache .mypy_cache .ruff_cache

# demo and test set up everything that they need in .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := setup.py pyproject.toml $(shell find csrc -type f 2>/dev/null)
CXX_FILES = $(shell find csrc tests/cuda -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc')

.PHONY: demo test gpu lint format bench page page-check screenshots clean

demo: .venv/installed
	$(BIN)/featlab demo --out featlab-demo

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# On a machine with a CUDA device: everything that only a device can show. See benchmarks/gpu.sh.
gpu: .venv/installed
	bash benchmarks/gpu.sh

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_FILES)

# A smoke run of every bench; `.venv/bin/python -m benchmarks --help` says how to measure in full.
bench: .venv/installed
	$(BIN)/python -m benchmarks ops attacks train tasks --quick

# The studio's page, from TypeScript to the files that are shipped. Needs node and npm; using featlab does not.
page:
	npm ci --prefix featlab/studio/page --no-audit --no-fund --loglevel error
	npm run --prefix featlab/studio/page --silent build

page-check:
	npm ci --prefix featlab/studio/page --no-audit --no-fund --loglevel error
	npm run --prefix featlab/studio/page --silent check

# The pictures of the studio in README.md, made by the tests in a browser.
screenshots: .venv/installed
	FEATLAB_REQUIRE_BROWSER=1 FEATLAB_SCREENSHOTS=docs $(BIN)/python -m pytest -n0 tests/studio/page/test_screenshots.py

# PyTorch first: featlab's extension is built against the PyTorch that it will run with.
.venv/installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet "torch>=2.11" "torchvision>=0.26" "setuptools>=77" wheel "ninja>=1.13" "pybind11>=3.0"
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[dev]"
	touch .venv/installed

clean:
	rm -rf .venv build dist *.egg-info featlab/_build.json featlab/*.so

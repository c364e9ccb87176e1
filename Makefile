# Everything starts here: `make quickstart`, `make test`. Both set up what they need and can be run again.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
UV     := $(shell command -v uv 2>/dev/null)

.PHONY: help quickstart test check fast install constraints resolve clean

help:
	@echo "make quickstart   post-train the miniature editor with Flow-GRPO (a few minutes on a laptop)"
	@echo "make test         lint, types and the whole test suite"
	@echo "make fast         the tests that take seconds"
	@echo "make constraints  pin the newest versions that fit pyproject.toml (wants uv)"
	@echo "make resolve      show that the vllm extra still resolves (wants uv)"
	@echo "make clean        remove the environment (runs/ is yours and stays)"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "hpedit wants Python 3.11 or newer, $(PYTHON) is %d.%d; say make PYTHON=python3.12" % v[:2])'
ifneq ($(UV),)
	uv venv -q --allow-existing --python $(PYTHON) $(VENV)
	uv pip install -q --python $(RUN) -c constraints.txt -e '.[dev]'
else
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
endif
	@touch $(STAMP)

data/miniature/train.parquet: $(STAMP)
	$(RUN) -m hpedit.miniature data data/miniature

quickstart: data/miniature/train.parquet
	$(RUN) train.py fit --config quickstart.yaml

check: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(RUN)

test: check
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests

fast: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests -m 'not slow'

PINS := --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links -q

constraints:
	{ head -1 constraints.txt; uv pip compile pyproject.toml --extra dev --universal $(PINS) | grep -v emscripten; } > .pins
	mv .pins constraints.txt

resolve:
	uv pip compile pyproject.toml --extra vllm --extra dev $(PINS) | grep -E '^(vllm|torch|transformers|diffusers|lightning)=='

clean:
	rm -rf $(VENV) build dist *.egg-info

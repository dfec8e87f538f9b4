# Two commands matter: `make book` and `make test`. `make help` lists them all.
# Needed: Python 3.11 or newer, and make. All else is installed into .venv, with the versions in requirements.txt.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# Two processes with a thread each: on two cores twice two threads would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help figure book test bench record sync assignments solutions release clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1: /p' $(MAKEFILE_LIST)

figure: $(READY) ## the first figure of your own: train a small net on noisy labels now, in about a minute
	$(PY) -m tools.first_figure

book: $(READY) ## execute what has changed, build the pages, check them, say what to open
	$(PY) -m tools.execute
	$(PY) -m tools.build
	$(PY) -m tools.check_site
	@$(PY) -m tools.build --say

test: $(READY) ## test all that is promised: style, types, pairs, library, notebooks, built pages
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	MYPY_NUM_WORKERS=2 $(PY) -m mypy
	$(PY) -m tools.pairs --check
	$(PY) -m tools.picture --check
	$(PYTEST) --ignore=tests/book
	$(MAKE) book
	$(PYTEST) --dist loadfile --no-loadscope-reorder tests/book

bench: $(READY) ## run every benchmark against its competitor, which is installed first; say which fall short
	$(PY) -m pip install --quiet --no-build-isolation -e '.[bench]'
	@short=; for file in benchmarks/[a-z]*.py; do \
	  echo "== $$file"; $(PY) "$$file" || short="$$short $$file"; \
	done; if [ -n "$$short" ]; then echo "not reached, or not run:$$short"; exit 1; fi

# Freed memory is kept for the next array: to return it and get it back, cleared, takes a ResNet-9 a quarter of
# its time. Other C libraries than glibc take no notice.
record: export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
record: export MALLOC_TRIM_THRESHOLD_ ?= 1073741824
record: $(READY) ## record the runs that are missing, at laptop scale; may be stopped and started again
	$(PY) -m cleanprio_lib record --missing --scale laptop

sync: $(READY) ## write the Colab pairs, the student notebooks and the README's picture anew
	$(PY) -m tools.pairs
	$(PY) -m tools.assignments
	$(PY) -m tools.picture

release: $(READY) ## check that all is committed, test everything, write wheel, zip and checksums to dist/
	$(PY) -m tools.release

assignments: $(READY) ## write the student notebooks anew from the solutions
	$(PY) -m tools.assignments

solutions: $(READY) ## run the solutions of the assignments, into _build/solutions, which is never published
	$(PY) -m tools.assignments --solutions

clean: ## remove all that is made, except .venv
	rm -rf _build dist .exec .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A .venv that works is brought up to date; one that is missing or broken is made.
$(READY): requirements.txt pyproject.toml
	@$(PY) -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory $(VENV)
	$(PY) -m pip install --no-compile -r requirements.txt
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(PY) -m compileall -qq -j 0 -x '/tests?/' $(VENV) cleanprio_lib tools || true # all cores; templates fail
	@touch $@

.PHONY: $(VENV)
$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not that. Name another: make PYTHON=python3.12"; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "'$(PYTHON)' lacks venv or pip; on Debian and Ubuntu: apt-get install python3-venv"; \
	  exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

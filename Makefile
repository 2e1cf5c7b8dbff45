# make demo · make test · make check · make bench: each sets up .venv when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Worker processes for the project's own tests.
JOBS ?= 2

.PHONY: demo test check bench setup format

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is %s. Name one: make PYTHON=python3.11 ..." % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $(READY)

demo: $(READY)
	$(BIN)/python demo/learner.py

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/intro2llm dev sync --check
	$(BIN)/intro2llm dev check
	$(MAKE) test

bench: $(READY)
	@missed=; for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || missed="$$missed $$script"; done; \
	test -z "$$missed" || { echo "not every bar is met:$$missed"; exit 1; }

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# One command each, on a machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test env lint types docs linkcheck wheel check lock clean

## make demo: the environment, then a synthetic scene fused, scored and shown in ./demo
demo: env
	$(BIN)/bandweave demo --out demo --overwrite

## make test: the environment with the test extras, then the whole suite
test: .venv/.with-tests
	$(BIN)/pytest -n 2 $(PYTEST_ARGS)

## make env: the environment alone, in .venv
env: .venv/.ready

.venv/.ready: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

.venv/.with-tests: .venv/.ready $(SOURCES)
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	touch $@

.venv/.with-dev: .venv/.with-tests $(SOURCES)
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/.with-docs: .venv/.ready $(SOURCES)
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
	touch $@

## make lint, make types: ruff and mypy
lint: .venv/.with-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.with-dev
	$(BIN)/mypy

## make docs: build/docs/index.html; a warning or a link inside that leads nowhere is an error
docs: .venv/.with-docs
	$(BIN)/sphinx-build -n -W --keep-going -q -d build/doctrees docs build/docs

## make linkcheck: whether the links to other sites lead somewhere; needs the network
linkcheck: .venv/.with-docs
	$(BIN)/sphinx-build -b linkcheck -q -d build/doctrees docs build/linkcheck

## make check: all of it
check: lint types docs test

## make wheel: dist/bandweave-*.whl
wheel: .venv/.with-dev
	$(BIN)/python -m build --wheel --outdir dist .

## make lock: write constraints.txt anew from what resolves today
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip --quiet install '.[dev,docs]'
	.venv-lock/bin/python -m pip freeze --exclude bandweave | sed 's/+[a-z0-9.]*$$//' \
		> constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock build dist demo

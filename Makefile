# Everything runs in .venv, made on first use with uv if it can be had, else with pip alone.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint test-slow clean
.DEFAULT_GOAL := demo

# the whole job on embedded images: train, vote, certify, report in demo/report/index.html
demo: .venv/ready
	$(BIN)/radii demo

# lint, types, and every test but the slow ones
test: .venv/ready lint
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# long proofs
test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@# uv does not read pip's settings: hand it the local folders of packages that pip knows, if there are any
	@if $(BIN)/python -m pip install --quiet uv; then \
	    links=""; \
	    for folder in $$($(BIN)/python -m pip config get global.find-links 2>/dev/null); do \
	        if [ -d "$$folder" ]; then links="$$links --find-links $$folder"; fi; \
	    done; \
	    echo "installing into .venv (uv)"; \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python $$links -c constraints.txt -e '.[dev]' \
	        || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'; \
	else \
	    echo "installing into .venv (pip)"; \
	    $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'; \
	fi
	@touch .venv/ready

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache

# Everything runs in .venv, made on first use with uv if it can be had, else with pip alone.
PYTHON ?= python3
BIN := .venv/bin

RESULTS := results/cifar10
VOTES = $(foreach noise,laplace gaussian uniform,$(sort $(wildcard $(RESULTS)/$(noise)-*/votes.parquet)))

.PHONY: demo test test-browser lint test-slow soak bench results notebook mnist5k which-noise clean
.DEFAULT_GOAL := demo

# the whole job on embedded images: train, vote, certify, report in demo/report/index.html
demo: .venv/ready
	$(BIN)/radii demo

# lint, types, and every test but the slow ones
test: .venv/ready lint
	$(BIN)/python -m pytest -n auto --dist worksteal

# the report in a real browser: Chromium, as the system has it
test-browser: .venv/browser
	$(BIN)/python -m pytest -m browser

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# long proofs
test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

# votes whose drawing is killed, crowded, starved and lied to for ten minutes, against votes that are left alone
soak: .venv/ready
	$(BIN)/python tests/soak.py

# how fast and how cheap: docs/benchmarks.md, on a quiet machine; with DATA=PATH to CIFAR-10 also the whole table
bench: .venv/ready
	$(BIN)/python benchmarks/run.py $(if $(DATA),--data-dir $(DATA))

# from the stored votes: the report with its figures, tables and certificates, and the few numbers that matter most
results: .venv/ready
	rm -rf $(RESULTS)/report
	$(BIN)/radii report $(VOTES) --k 1 --k 2 --k 3 --k 4 --k 5 --published cifar10 \
	    --no-examples --title "CIFAR-10" --out $(RESULTS)/report
	$(BIN)/python tools/headline.py

# from the stored votes: notebooks/results.ipynb
notebook: .venv/ready
	$(BIN)/python tools/notebook.py

# votes on mnist5k under every noise, at three levels each: results/mnist5k; half an hour
mnist5k: .venv/ready
	$(BIN)/python tools/mnist5k.py

# from the stored votes: the tables of docs/which-noise.md
which-noise: .venv/ready
	$(BIN)/python tools/which_noise.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet uv || true
	@$(call install,dev)
	@touch $@

.venv/browser: .venv/ready
	@$(call install,browser)
	@touch $@

# an extra of this package, with uv if it can be had, else with pip; uv does not read pip's settings: hand it the local
# folders of packages that pip knows, if there are any
define install
if [ -x $(BIN)/uv ]; then \
    links=""; \
    for folder in $$($(BIN)/python -m pip config get global.find-links 2>/dev/null); do \
        if [ -d "$$folder" ]; then links="$$links --find-links $$folder"; fi; \
    done; \
    echo "installing $(1) into .venv (uv)"; \
    $(BIN)/uv pip install --quiet --python $(BIN)/python $$links -c constraints.txt -e '.[$(1)]' \
        || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(1)]'; \
else \
    echo "installing $(1) into .venv (pip)"; \
    $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(1)]'; \
fi
endef

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache

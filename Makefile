# Everything runs in .venv, made on first use with uv if it can be had, else with pip alone.
PYTHON ?= python3
BIN := .venv/bin

RESULTS := results/cifar10
VOTES = $(foreach noise,laplace gaussian uniform splitting,$(sort $(wildcard $(RESULTS)/$(noise)-*/votes.parquet)))

.PHONY: demo test test-busy test-portable test-browser lint docs test-slow soak bench results notebook mnist5k which-noise package lock sbom audit clean
.DEFAULT_GOAL := demo

# $(call install,PYTHON,WHAT): by uv if it can be had, else by pip. uv does not read pip's settings: it is handed the
# local folders of packages that pip knows, if there are any
define install
	@links=""; \
	for folder in $$($(BIN)/python -m pip config get global.find-links 2>/dev/null); do \
	    if [ -d "$$folder" ]; then links="$$links --find-links $$folder"; fi; \
	done; \
	echo "installing for $(1)"; \
	{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(1) $$links -c constraints.txt $(2); } \
	    || $(1) -m pip install --quiet -c constraints.txt $(2)
endef

# the whole job on embedded images: train, vote, certify, report in demo/report/index.html
demo: .venv/ready
	$(BIN)/radii demo

# lint, types, and every test but the slow ones
test: .venv/ready lint
	$(BIN)/python -m pytest -n auto --dist worksteal

# the same beside two busy loops: no test may fail because the machine is slow
test-busy: .venv/ready
	$(BIN)/python tools/busy.py $(MAKE) test

# certificates, plans and stored results as older processors compute them: the same decisions, radii to 1e-12
test-portable: .venv/ready
	$(BIN)/python -m pytest -m portable

# the report and the site in a real browser: Chromium, as the system has it
test-browser: .venv/browser
	$(BIN)/python -m pytest -m browser

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the documentation as a site, without a network: docs/_build/html
docs: .venv/ready
	rm -rf docs/_build
	$(BIN)/python -m sphinx -c docs -b html -nWEq --keep-going . docs/_build/html
	@echo "The site: docs/_build/html/index.html"

# long proofs
test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

# votes whose drawing is killed, crowded, starved and lied to for ten minutes, against votes that are left alone; hostile
# files, clients and model servers
soak: .venv/ready
	PYTHONPATH=tests $(BIN)/python -m soak

# how fast and how cheap: docs/benchmarks.md, on a quiet machine; with DATA=PATH to CIFAR-10 also the whole table;
# ONLY="passes engine" runs these sections again
bench: .venv/ready
	$(BIN)/python benchmarks/run.py $(if $(DATA),--data-dir $(DATA)) $(if $(ONLY),--only $(ONLY))

# from the stored votes: the report with its figures, tables and certificates, and the few numbers that matter most
results: .venv/ready
	rm -rf $(RESULTS)/report
	$(BIN)/radii report $(VOTES) --k 1 --k 2 --k 3 --k 4 --k 5 --published cifar10 \
	    --attacks --no-examples --title "CIFAR-10" --out $(RESULTS)/report
	$(BIN)/python tools/headline.py

# from their texts, notebooks/*.py: the notebooks with their results
notebook: .venv/ready
	$(BIN)/python tools/notebook.py

# votes on mnist5k under every noise, at three levels each: results/mnist5k; half an hour
mnist5k: .venv/ready
	$(BIN)/python tools/mnist5k.py

# from the stored votes: the tables of docs/which-noise.md
which-noise: .venv/ready
	$(BIN)/python tools/which_noise.py

# wheel and source in dist/, and the wheel tried in an environment of its own: make package WITH=python3.12
TRIED := build/package
package: .venv/ready
	rm -rf dist $(TRIED)
	$(BIN)/python -m hatchling build
	$(or $(WITH),$(PYTHON)) -m venv $(TRIED)
	$(call install,$(TRIED)/bin/python,dist/*.whl)
	$(TRIED)/bin/python tools/try_package.py
	$(call install,$(TRIED)/bin/python,"$$(echo dist/*.whl)[report]")
	$(TRIED)/bin/python tools/try_package.py --with-report
	rm -rf $(TRIED)

# versions and SHA-256 of all files of the default install, for every platform: constraints-default.txt
lock: .venv/ready
	$(BIN)/uv pip compile --quiet pyproject.toml -c constraints.txt --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --custom-compile-command "make lock" --output-file constraints-default.txt

# what the default install consists of, as this environment has it: build/sbom.cdx.json
sbom: .venv/ready
	mkdir -p build
	$(BIN)/python tools/sbom.py > build/sbom.cdx.json

# pins against tools/advisories.toml, without a network; with ONLINE=1 also against the advisories on PyPI. That needs
# https://pypi.org itself, with a request per pin, each of 15 seconds at most: an index that has packages alone ends it at
# the first pin, "not found on PyPI"
audit: .venv/ready
	$(BIN)/python tools/audit.py
	$(if $(ONLINE),UV_HTTP_TIMEOUT=15 $(BIN)/uv tool run pip-audit --strict --timeout 15 --progress-spinner off --disable-pip --no-deps -r constraints.txt)

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv || echo "without uv, which would be faster"
	$(call install,$(BIN)/python,-e '.[dev]')
	@touch .venv/ready

.venv/browser: .venv/ready
	$(call install,$(BIN)/python,-e '.[browser]')
	@touch .venv/browser

clean:
	rm -rf .venv demo build dist docs/_build docs/api .pytest_cache .mypy_cache .ruff_cache

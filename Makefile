# make install   an environment in .venv
# make demo      a kilometre-scale ensemble, its figures and its scores, in demo/
# make test      lint and tests
# make docs      the documentation, in docs/_build/html
# make bench     the benchmarks; DATA=path is a folder with their data: radar/, era5-*/
# make clean     remove what the others made

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: install demo test lint docs bench clean

install: $(INSTALLED)

# torch goes first and alone, so that pip settles on the tested release before all else.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[test,docs,verify,peers,clusters]'
	touch $@

demo: install
	rm -rf demo
	$(BIN)/xresdiff demo --out demo $(if $(DATA),--data $(DATA))

test: lint
	$(BIN)/pytest

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: install
	$(BIN)/python benchmarks/regrid.py
	$(BIN)/python benchmarks/gaussian.py
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/scale.py --quick
ifdef DATA
	$(BIN)/python benchmarks/latlon_bilinear.py --data $(DATA)
	$(BIN)/python benchmarks/rain_skill.py --data $(DATA)/radar
	$(BIN)/python benchmarks/finetune_radar.py --data $(DATA)/radar
	$(BIN)/python benchmarks/finetune_era5.py --data $(DATA)
else
	@echo "The others need data, which are not in the repository: make bench DATA=path"
endif

clean:
	rm -rf .venv demo docs/_build docs/gallery docs/api/generated docs/sg_execution_times.rst
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

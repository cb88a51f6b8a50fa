# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed

.PHONY: demo test browser-test docs bench check install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" || \
	  { echo "molrecon needs Python 3.11 to 3.13; set PYTHON=… to one"; exit 2; }
	@echo "Installing molrecon and PyTorch into $(VENV); it takes a few minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[mri,nufft,dev]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/molrecon demo --output demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

# The report in a headless browser: needs Debian's chromium, or another one named in CHROMIUM.
browser-test: $(INSTALLED)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[browser]"
	$(BIN)/python -m pytest browser

# The documentation, in site/; a warning is an error. (With `--quiet` mkdocs counts none.)
docs: $(INSTALLED)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# docs/performance.md, on an idle machine, with the folder of the data in MOLRECON_DATA. The
# environment of deepinv is made once and takes several GB; `make bench DEEPINV=` goes without.
DEEPINV ?= .venv-deepinv
bench: $(INSTALLED)
	$(PIP) install --quiet --no-deps torchdeq
	$(BIN)/python benchmarks/performance.py $(if $(DEEPINV),--deepinv $(DEEPINV))

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo site

# The README's two commands. Each creates .venv if it is not there and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := assets/demo
DEMO_MEMORY := $(DEMO)/memory/manifest.json

.PHONY: app test quick check check-js audit docs

# Fewer places from which threads take memory: 200 MB less with fifty visitors (benchmarks/README.md).
app: $(VENV)/installed $(DEMO_MEMORY)
	MALLOC_ARENA_MAX=2 $(BIN)/python -m streamlit run streamlit_app.py

test: $(VENV)/installed-dev $(DEMO_MEMORY)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# The inner loop: no browser, nothing slow.
quick: $(VENV)/installed-dev $(DEMO_MEMORY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 -m "not browser and not slow"

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) check-js
	$(MAKE) test

# The browser components: format, lint, types and unit tests.
check-js:
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
		npm ci --silent --no-audit --no-fund && npm run --silent check; \
	else \
		echo "JavaScript checks skipped: node and npm are not installed"; \
	fi

docs: $(VENV)/installed-dev
	$(BIN)/python -m docs.site

audit: $(VENV)/installed-dev
	$(BIN)/python .ci/audit.py

# A .venv of an older Python, or one whose Python is gone, is replaced.
$(VENV)/installed: requirements.txt
	@$(BIN)/python .ci/python_version.py 2>/dev/null \
		|| { $(PYTHON) .ci/python_version.py && $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

# The demo's gallery memory is not in the repository: it is built from the images and the weights, in under a minute.
$(DEMO_MEMORY): $(VENV)/installed $(DEMO)/model.safetensors $(DEMO)/records.parquet
	$(BIN)/python -m fpc_core memory build
	-$(BIN)/python -m fpc_core doctor
	touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-scale.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

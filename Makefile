# Every target makes the environment that it needs; a fresh machine needs only Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of what a user needs, and of what developers need, which is more.
USABLE := $(VENV)/.usable
STAMP := $(VENV)/.installed
# What builds the pages, in an environment of its own.
DOCS_VENV := .venv-docs
DOCS_STAMP := $(DOCS_VENV)/.installed
# Processes that run tests side by side, a file of tests at a time, in the order of conftest.py.
WORKERS ?= 2
# Threads of matrix products of one process would spin in wait for those of the other.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile \
	--no-loadscope-reorder
# Of the sources whose types have been checked, by all that they depend on: a file that says so.
TYPED = build/typed-$(shell find src tests benchmarks pyproject.toml requirements/dev.txt -type f \
	\( -name "*.py" -o -name "*.toml" -o -name "*.txt" \) -exec sha256sum {} + | sort | sha256sum | cut -c1-16)
COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
	--universal --python-version 3.11
PACKAGE := pyproject.toml --group build
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
BENCHMARKS := gradient_variance toy stability log_partition bimodal pydeep ais_peer objectives imputation missing \
	large kills fuzzing updates startup first_anomaly scoring time_to_likelihood growth gaussian_bernoulli scaling \
	density separated shapes synthesis monitor decisions service exports patches

.PHONY: demo test test-all lint format bench docs pictures wheel oldest requirements clean

demo: $(USABLE)
	$(BIN)/harmonium demo -o demo-run --overwrite

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-all: $(STAMP)
	$(PYTEST) --durations=10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	test -e $(TYPED) || $(BIN)/pyright --pythonpath $(BIN)/python
	mkdir -p build && touch $(TYPED)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done
	for protocol in clean dte contaminated reasons pvalues speed dagmm; do \
		$(BIN)/python -m benchmarks.detection --protocol $$protocol || exit 1; done

# Broken links, missing anchors and pages outside the menu end the build.
docs: $(STAMP) $(DOCS_STAMP)
	$(BIN)/python docs/make_cli.py
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict
	@echo "The pages are in site/index.html."

pictures: $(STAMP)
	MPLBACKEND=agg $(BIN)/python docs/make_pictures.py

# The wheel, and what a user does first with it, in an empty environment.
wheel: $(STAMP)
	rm -rf dist/*.whl build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation -w dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python $(PIP_INSTALL) --require-hashes -r requirements/use.txt
	build/wheel/bin/python $(PIP_INSTALL) --no-deps dist/*.whl
	build/wheel/bin/python -m pip check --disable-pip-version-check
	cd build/wheel && bin/python ../../docs/check_wheel.py

# The same with the oldest versions that pyproject.toml declares.
oldest: requirements/oldest.txt
	rm -rf build/oldest
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python $(PIP_INSTALL) --require-hashes -r requirements/oldest.txt
	build/oldest/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation .
	cd build/oldest && bin/python ../../docs/check_wheel.py

# Modules are compiled by all cores, where pip takes one. Some packages have files that are no
# Python: what is not compiled is so at its first import.
define install
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
$(BIN)/python $(PIP_INSTALL) --no-compile --require-hashes -r $(1)
$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > $(VENV)/compiled.log 2>&1 || true
$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
endef

# A failed install leaves no stamp behind, so that the next call tries again.
$(USABLE): requirements/use.txt pyproject.toml
	$(call install,requirements/use.txt)
	touch $(USABLE)

$(STAMP): requirements/dev.txt pyproject.toml
	$(call install,requirements/dev.txt)
	touch $(USABLE) $(STAMP)

$(DOCS_STAMP): requirements/docs.txt
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements/docs.txt
	touch $(DOCS_STAMP)

# Needs uv; writes no download addresses. What users get are the versions that are tested.
requirements:
	$(COMPILE) $(PACKAGE) --extra dev -o requirements/dev.txt
	$(COMPILE) $(PACKAGE) --extra report -c requirements/dev.txt -o requirements/use.txt
	$(COMPILE) $(PACKAGE) --extra report --resolution lowest-direct -o requirements/oldest.txt
	$(COMPILE) requirements/docs.in -o requirements/docs.txt

clean:
	rm -rf $(VENV) $(DOCS_VENV) site .cache demo-run dist build

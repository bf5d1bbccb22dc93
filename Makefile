# Every target makes the environment that it needs; a fresh machine needs only Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of what a user needs, and of what developers need, which is more.
USABLE := $(VENV)/.usable
STAMP := $(VENV)/.installed
# Processes that run tests side by side, a file of tests at a time, in the order of conftest.py.
WORKERS ?= 2
# Threads of matrix products of one process would spin in wait for those of the other.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile \
	--no-loadscope-reorder
COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
	--universal --python-version 3.11 pyproject.toml --group build
BENCHMARKS := gradient_variance toy stability log_partition bimodal pydeep ais_peer objectives imputation missing \
	large kills fuzzing updates startup scoring time_to_likelihood growth gaussian_bernoulli scaling \
	density separated shapes synthesis monitor

.PHONY: demo test test-all lint format bench docs requirements clean

demo: $(USABLE)
	$(BIN)/harmonium demo -o demo-run --overwrite

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-all: $(STAMP)
	$(PYTEST) --durations=10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done
	for protocol in clean dte contaminated reasons pvalues speed dagmm; do \
		$(BIN)/python -m benchmarks.detection --protocol $$protocol || exit 1; done

docs: $(STAMP)
	$(BIN)/python docs/make_cli.py

define install
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endef

# A failed install leaves no stamp behind, so that the next call tries again.
$(USABLE): requirements/use.txt pyproject.toml
	$(call install,requirements/use.txt)
	touch $(USABLE)

$(STAMP): requirements/dev.txt pyproject.toml
	$(call install,requirements/dev.txt)
	touch $(USABLE) $(STAMP)

# Needs uv; writes no download addresses. What users get are the versions that are tested.
requirements:
	$(COMPILE) --extra dev -o requirements/dev.txt
	$(COMPILE) --extra report -c requirements/dev.txt -o requirements/use.txt

clean:
	rm -rf $(VENV) .cache demo-run dist build

# `make` or `make help` lists what can be made. Everything is installed into .venv (and .venv-3.13 and the like), and
# nothing elsewhere.

PYTHON    ?=                      # the interpreter .venv is made with; empty: .ci/find-python looks for one
PYTHON312 ?=                      # those for the other runs of the tests
PYTHON313 ?=
PORT      ?= 7979
DB        ?=
ARGS      ?=
LOOP      ?= asyncio
DEBUG     :=                      # not from the environment, where it may be meant for something else
JOBS      ?= 4

VENV    := .venv
VENV312 := .venv-3.12
VENV313 := .venv-3.13
VENVBENCH := .venv-bench
BIN     := $(VENV)/bin

# $(PYTHON), $(DEBUG) and the like end in the blanks before their comments, which $(strip) takes away. A recipe reads DB
# and PORT from its environment, so that no character of a password means anything to the shell.
export PORT DB
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start some hundred programs: without byte code, each would compile netcore and all, in a third of a second.
unexport PYTHONDONTWRITEBYTECODE
MAKEFLAGS += --no-print-directory
comma := ,

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help run test test-3.12 test-3.13 check check-3.11 check-3.12 check-3.13 format lint types layers
.PHONY: coverage bench build venvs venv-3.12 clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PORT=$(PORT), DB=postgresql://... (make run); ARGS='-k name', LOOP=uvloop, DEBUG=1 (make test);"
	@echo "             JOBS=$(JOBS) (make check); PYTHON=python3.12"

run: $(VENV)/.has-$(if $(filter postgres%,$(DB)),postgres,base) ## serve finger on PORT, from SQLite or from DB
	@exec $(BIN)/python -m examples.finger serve --port "$$PORT" $${DB:+--db "$$DB"}

debugging = $(if $(filter-out 0,$(DEBUG)),NETCORE_DEBUG=1)

test: $(VENV)/.has-test ## run all tests, with a real PostgreSQL, on the event loop LOOP (see CONTRIBUTING.md)
	@$(debugging) $(BIN)/python -m pytest --loop $(LOOP) $(ARGS)

test-3.12: $(VENV312)/.has-test ## the same on Python 3.12
	@$(debugging) $(VENV312)/bin/python -m pytest --loop $(LOOP) $(ARGS)

test-3.13: $(VENV313)/.has-test ## the same on Python 3.13
	@$(debugging) $(VENV313)/bin/python -m pytest --loop $(LOOP) $(ARGS)

check: ## every check there is: format, lint, types, layers, tests on 3.11 to 3.13, asyncio's loop and uvloop's
	@$(MAKE) lint
	@$(MAKE) layers
	@$(MAKE) venvs
	@[ -e $(VENV312)/.has-test ] || echo "Nothing is tested on Python 3.12."
	@$(MAKE) --jobs=$(JOBS) --output-sync=target $(filter %-examples %-rest,$(PASSES)) \
	  $$([ ! -e $(VENV312)/.has-test ] || echo check-3.12-quick) types \
	  $(filter check-3.11-integration% check-3.13-integration%,$(PASSES))

# All tests on each of two Pythons and, at that, on each of the two loops (but for those of the benchmarks, on one); and
# those of the libraries that meet sockets, threads and signals on the other pairs as well (but for those in which it is
# processes, networks or servers that fail: they wait long, and the loop does not matter). In passes, JOBS at a time,
# because each waits for much of its time; a pass says what it has to say when it is through. Those that wait most come
# first, beside those that compute most.
define pass # its name, the environment, the event loop, what it runs
.PHONY: check-$(1)
check-$(1): $(2)/.has-test
	@echo "check-$(1): pytest --loop $(3) $(4)"
	@$$(debugging) $(2)/bin/python -m pytest --loop $(3) $(4)
PASSES += check-$(1)
endef
REST := --ignore=tests/examples --ignore=tests/integration
SOCKETS := tests/integration/netcore tests/integration/asyncdb $(addprefix --ignore=tests/integration/asyncdb/test_,\
  forking.py interrupts_postgres.py outages.py partitions.py soak.py testing_fixtures.py testing_postgres.py)
$(eval $(call pass,3.11-examples,$(VENV),asyncio,tests/examples))
$(eval $(call pass,3.13-examples,$(VENV313),uvloop,tests/examples))
$(eval $(call pass,3.11-rest,$(VENV),asyncio,$(REST)))
$(eval $(call pass,3.13-rest,$(VENV313),uvloop,$(REST)))
$(eval $(call pass,3.11-integration,$(VENV),asyncio,tests/integration))
$(eval $(call pass,3.13-integration,$(VENV313),uvloop,tests/integration --ignore=tests/integration/benchmarks))
$(eval $(call pass,3.11-integration-uvloop,$(VENV),uvloop,$(SOCKETS)))
$(eval $(call pass,3.13-integration-asyncio,$(VENV313),asyncio,$(SOCKETS)))
$(eval $(call pass,3.12-quick,$(VENV312),asyncio,tests/unit tests/property))

check-3.11: $(filter check-3.11-%,$(PASSES))
check-3.13: $(filter check-3.13-%,$(PASSES))

check-3.12: venv-3.12 # between the two: where it is installed, what is quick
	@if [ -e $(VENV312)/.has-test ]; then $(MAKE) check-3.12-quick; else echo "Nothing is tested on Python 3.12."; fi

format: $(VENV)/.has-dev ## format the code and mend what ruff can mend
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

lint: $(VENV)/.has-dev
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check

types: $(VENV)/.has-dev
	@$(BIN)/mypy
	@$(BIN)/pyright

layers: $(VENV)/.has-dev
	@$(BIN)/lint-imports --no-logo

coverage: $(VENV)/.has-test ## run the tests and report branch coverage
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

bench: $(VENVBENCH)/.has-bench ## measure side by side with what could be taken instead (benchmarks/README.md)
	@$(VENVBENCH)/bin/python -m benchmarks $(ARGS)

build: $(VENV)/.has-dev ## build the wheel and the sdist into dist/
	@$(BIN)/python -m build --quiet

venvs: $(VENV)/.has-dev $(VENV313)/.has-test venv-3.12

venv-3.12: # where there is that Python; where there is none, this is said
	@if .ci/find-python $(or $(strip $(PYTHON312)),3.12) >/dev/null; then $(MAKE) --silent $(VENV312)/.has-test; fi

clean: ## remove the environments, caches and what was built
	rm -rf $(VENV) $(VENV312) $(VENV313) $(VENVBENCH) build dist .coverage .coverage.* .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment, and what is installed in it: `base`, for `make run`, or one of the extras of pyproject.toml, each of
# which contains those before it. Installed again when that file changes. `pip -qq` says nothing but errors.

$(VENV)/.created:
	@python=$$(.ci/find-python $(strip $(PYTHON))) && echo "$(VENV): $$($$python --version)" \
	  && "$$python" -m venv --clear $(VENV) && touch $@

$(VENV312)/.created:
	@python=$$(.ci/find-python $(or $(strip $(PYTHON312)),3.12)) && echo "$(VENV312): $$($$python --version)" \
	  && "$$python" -m venv --clear $(VENV312) && touch $@

$(VENV313)/.created:
	@python=$$(.ci/find-python $(or $(strip $(PYTHON313)),3.13)) && echo "$(VENV313): $$($$python --version)" \
	  && "$$python" -m venv --clear $(VENV313) && touch $@

$(VENVBENCH)/.created:
	@python=$$(.ci/find-python $(strip $(PYTHON))) && echo "$(VENVBENCH): $$($$python --version)" \
	  && "$$python" -m venv --clear $(VENVBENCH) && touch $@

define install
%/.has-$(1): %/.created pyproject.toml
	@echo "$$*: installing netcore-asyncdb$(2)"
	@$$*/bin/pip install -qq -e '.$(2)'
	@touch $$(addprefix $$*/.has-,$(3))
endef
$(eval $(call install,base,[examples],base))
$(eval $(call install,postgres,[examples$(comma)postgres],base postgres))
$(eval $(call install,test,[test],base postgres test))
$(eval $(call install,dev,[dev],base postgres test dev))
$(eval $(call install,bench,[bench],bench))

.PRECIOUS: %/.created

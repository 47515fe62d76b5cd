# `make` or `make help` lists what can be made. Everything is installed into .venv (and .venv-3.13), nothing elsewhere.

PYTHON    ?=                      # the interpreter .venv is made with; empty: .ci/find-python looks for one
PYTHON313 ?=                      # the one for the second run of the tests
PORT      ?= 7979
DB        ?=
ARGS      ?=
LOOP      ?= asyncio

VENV    := .venv
VENV313 := .venv-3.13
VENVBENCH := .venv-bench
BIN     := $(VENV)/bin

# $(PYTHON) and $(PYTHON313) end in the blanks before their comments, which $(strip) takes away. A recipe reads DB and
# PORT from its environment, so that no character of a password means anything to the shell.
export PORT DB
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start some hundred programs: without byte code, each would compile all that it imports, in half a second.
unexport PYTHONDONTWRITEBYTECODE
MAKEFLAGS += --no-print-directory
comma := ,

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help run test test-3.13 check check-3.11 check-3.13 format lint types layers coverage bench build venvs clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PORT=$(PORT), DB=postgresql://... (make run); ARGS='-k name', LOOP=uvloop (make test); PYTHON=python3.12"

run: $(VENV)/.has-$(if $(filter postgres%,$(DB)),postgres,base) ## serve finger on PORT, from SQLite or from DB
	@exec $(BIN)/python -m examples.finger serve --port "$$PORT" $${DB:+--db "$$DB"}

test: $(VENV)/.has-test ## run all tests, with a real PostgreSQL, on the event loop LOOP (see CONTRIBUTING.md)
	@$(BIN)/python -m pytest --loop $(LOOP) $(ARGS)

test-3.13: $(VENV313)/.has-test ## the same on Python 3.13
	@$(VENV313)/bin/python -m pytest --loop $(LOOP) $(ARGS)

# All tests on each of the two Pythons and, at that, on each of the two loops; and those that meet sockets, threads and
# signals on the other pairs as well. The two Pythons at a time, each of which says what it has to say when it is through.
check: ## every check there is: format, lint, types, layers, tests on 3.11 and 3.13, asyncio's loop and uvloop's
	@$(MAKE) lint
	@$(MAKE) types
	@$(MAKE) layers
	@$(MAKE) $(VENV)/.has-test $(VENV313)/.has-test
	@$(MAKE) --jobs=2 --output-sync=target check-3.11 check-3.13

check-3.11:
	@$(MAKE) test LOOP=uvloop ARGS=tests/integration
	@$(MAKE) test LOOP=asyncio

check-3.13:
	@$(MAKE) test-3.13 LOOP=asyncio ARGS=tests/integration
	@$(MAKE) test-3.13 LOOP=uvloop

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

venvs: $(VENV)/.has-dev $(VENV313)/.has-test

clean: ## remove the environments, caches and what was built
	rm -rf $(VENV) $(VENV313) $(VENVBENCH) build dist .coverage .coverage.* .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment, and what is installed in it: `base`, for `make run`, or one of the extras of pyproject.toml, each of
# which contains those before it. Installed again when that file changes. `pip -qq` says nothing but errors.

$(VENV)/.created:
	@python=$$(.ci/find-python $(strip $(PYTHON))) && echo "$(VENV): $$($$python --version)" \
	  && "$$python" -m venv --clear $(VENV) && touch $@

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

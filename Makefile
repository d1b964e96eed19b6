# make run    the shipped campaign: molecular dynamics to an Arrhenius plot
# make test   lint, types and tests
# Both make their own virtual environment first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: run test validation cluster setup plots docs lint format validate peers teacher torchsim janus potential clean

run: setup
	halmd run config.yaml

plots: setup
	snakemake plots

# The documentation as a site: site/index.html opens from disk, without a network.
docs: setup
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

test: lint
	pytest -n 2 --dist loadfile -m "not validation and not cluster"

# Campaigns on a real Slurm of one node, brought up for them: nine minutes, most of them waiting.
cluster: setup
	pytest -s -m cluster

# Computed against measured: docs/validation.md again, from the kept results of the campaigns.
validation: setup
	halmd validation $(sort $(wildcard campaigns/results/review/*/)) --output docs/validation.md \
		--figure docs/images/validation.png --table docs/validation.csv

# Coverage of intervals and agreement with other tools, with their tables: half an hour.
validate: peers
	pytest -s -m validation

# Other people's analysers, for benchmarks/transport.py and `make validate`.
peers: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[peers]"

lint: setup
	ruff check .
	ruff format --check .
	mypy

format: setup
	ruff check --fix .
	ruff format .

setup: $(STAMP)

# torch comes first and pinned: any other build brings gigabytes of CUDA with it.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[torch,dev,docs]"
	touch $(STAMP)

# The teacher lives apart: sevenn and mace-torch need different versions of e3nn.
teacher:
	test -x .venv-teacher/bin/python || $(PYTHON) -m venv .venv-teacher
	.venv-teacher/bin/python -m pip install --quiet torch==2.13.0
	.venv-teacher/bin/python -m pip install --quiet --requirement training/requirements-teacher.txt

# TorchSim needs Python 3.12, and mace-torch's build for a GPU where there is one.
torchsim:
	test -x .venv-torchsim/bin/python || python3.12 -m venv .venv-torchsim
	.venv-torchsim/bin/python -m pip install --quiet --requirement benchmarks/requirements-torchsim.txt

# janus-core, for benchmarks/dynamics.py.
janus:
	test -x .venv-janus/bin/python || $(PYTHON) -m venv .venv-janus
	.venv-janus/bin/python -m pip install --quiet torch==2.13.0
	.venv-janus/bin/python -m pip install --quiet "janus-core[mace]==0.9.8"

potential: setup teacher
	python training/rebuild.py
	python training/validate.py --ship

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info

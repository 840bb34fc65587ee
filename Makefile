# The two commands a newcomer needs: `make run` and `make test`.
PYTHON ?= python3.11
EXPERIMENT ?= encoder_mlp
PROGRAMME ?= distill
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: run test lint ui library clean

run: .venv/installed
	mlflow run . -e $(EXPERIMENT) --env-manager local --experiment-name $(PROGRAMME)

# one thread for each of two workers: more would stand in each other's way
test: .venv/installed
	OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: .venv/installed
	ruff check .
	ruff format --check .

ui: .venv/installed
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --host 127.0.0.1 --workers 1

library: .venv/installed
	stargrav library data/library.h5
	dvc add data
	dvc push data.dvc

.venv/installed: requirements.txt pyproject.toml
	@echo "installing some 2 GB into .venv: minutes"
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv artifacts mlruns mlflow.db

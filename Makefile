# Everything is set up by the target that needs it, into .venv beside this file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Simulators of other people. They ask for gym, tensorflow and more, and need what the extra `simulators` lists.
FOREIGN := recsim-no-tf==0.2.3 recogym==0.1.3.0

.PHONY: setup demo test soak check bench bench-demo bench-coldstart bench-coat bench-control bench-serve bench-workers bench-train \
	bench-metastep bench-adapt bench-simulators bench-replay bench-scale peers-env obp-env protos lock clean

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[train,tensorboard,otel,tune,simulate,simulators,bench,test,check]'
	for package in $(FOREIGN); do $(BIN)/python -m pip install --quiet --no-deps $$package || \
		echo "$$package could not be installed: its worlds are left out and their tests skip"; done
	touch $(READY)

demo: $(READY)  ## the main job: learn, serve, let 200 new users click, draw the curve
	$(BIN)/quickstudy demo

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

soak: $(READY)  ## faults and load for as long as it takes to judge them; wants a machine of its own
	$(BIN)/python -m pytest -m soak -s tests/faults
	$(BIN)/quickstudy bench faults
	$(BIN)/quickstudy bench soak
	$(BIN)/quickstudy bench fuzz

check: $(READY)  ## lint, types, import rules, protos, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m protos.generate --image | $(BIN)/buf lint -#format=binpb --path quickstudy
	$(BIN)/python -m protos.generate --check
	$(BIN)/python .ci/audit.py

MOVIELENS ?= ../shared/data/ml-latest-small

bench: bench-demo bench-coldstart bench-coat bench-control bench-serve bench-workers bench-train bench-metastep bench-adapt bench-simulators bench-replay bench-scale  ## all benchmarks; each writes benchmarks/results/NAME.json
	$(BIN)/quickstudy bench report

bench-demo: $(READY)
	$(BIN)/quickstudy bench demo

bench-coldstart: $(READY) peers-env
	$(BIN)/quickstudy bench coldstart --movielens $(MOVIELENS)

COAT ?= ../shared/data/coat

bench-coat: $(READY)
	$(BIN)/quickstudy bench coat --coat $(COAT)

peers-env: .venv-peers/.ready  ## an environment for the sequential peers, whose library wants numpy 1

.venv-peers/.ready: benchmarks/peers/requirements-sequential.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements-sequential.txt
	touch .venv-peers/.ready

OBD ?= ../shared/data/obd

bench-replay: $(READY) obp-env runs/films runs/other-films
	$(BIN)/quickstudy bench replay --obd $(OBD) --policy runs/films --other runs/other-films

obp-env: .venv-obp/.ready  ## an environment for the Open Bandit Pipeline, which wants numpy 1 and says Python < 3.11

.venv-obp/.ready: benchmarks/peers/requirements-obp.txt
	$(PYTHON) -m venv .venv-obp
	.venv-obp/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements-obp.txt
	.venv-obp/bin/python -m pip install --quiet --no-deps --ignore-requires-python obp==0.5.7
	touch .venv-obp/.ready

bench-control bench-metastep bench-adapt bench-simulators bench-scale: bench-%: $(READY)
	$(BIN)/quickstudy bench $*

bench-train: $(READY)
	$(BIN)/quickstudy bench train --movielens $(MOVIELENS)

bench-workers: $(READY) runs/films
	$(BIN)/quickstudy bench workers --policy runs/films

bench-serve: $(READY) runs/films
	$(BIN)/quickstudy bench serve --policy runs/films

runs/films:
	$(BIN)/quickstudy train --movielens $(MOVIELENS) --out runs/films

runs/other-films:
	$(BIN)/quickstudy train --movielens $(MOVIELENS) --seed 1 --out runs/other-films

protos: $(READY)  ## regenerate the stubs beside the .proto files
	$(BIN)/python -m protos.generate

lock: $(READY)  ## rewrite requirements.lock from this environment
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sed 's,+cpu,,' > requirements.lock

clean:
	rm -rf $(VENV) .venv-peers .venv-obp build dist *.egg-info runs

# Every target sets up .venv by itself.  PYTHON=python3.12 make test  chooses another interpreter.
PYTHON ?= python3
SUDO ?= $(if $(filter 0,$(shell id -u)),,sudo)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
OUT := out
DEMO := $(OUT)/demo
# Torch without the libraries for NVIDIA GPUs: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
INDEX := $(addprefix --extra-index-url ,$(TORCH_INDEX))
size = @echo "Installing into $(VENV): $(if $(TORCH_INDEX),4 GB less than the 6.3 GB of torch with NVIDIA's libraries.,6.3 GB on disk. \
    4 GB of it are for NVIDIA GPUs: make $(MAKECMDGOALS) TORCH_INDEX=https://download.pytorch.org/whl/cpu leaves them out.)"
# The libFuzzer targets of libcsflow, and seconds for each.
FUZZERS := manifest calibration verification plan png
FUZZ_S ?= 150
# One process for each core runs tests, each file in one of them, in the order of conftest.py; PYTEST_N=0 runs
# all in this one.
PYTEST_N ?= auto

.PHONY: demo wheel test skipped packages lint fuzz fuzz-native soak bench gpu constraints clean

demo: $(VENV)/.demo
	@rm -rf $(DEMO)
	$(BIN)/csflow synthetic $(DEMO)/images
	$(BIN)/csflow train $(DEMO)/images --bundle $(DEMO)/model.csflow --backbone tf_efficientnet_lite0 --image-size 256 \
	    --hidden 64 --epochs 20 --learning-rate 3e-3 --schedule cosine
	$(BIN)/csflow export --bundle $(DEMO)/model.csflow
	$(BIN)/csflow calibrate $(DEMO)/images/calibration/good --bundle $(DEMO)/model.csflow --false-reject-rate 5%
	$(BIN)/csflow evaluate $(DEMO)/images --bundle $(DEMO)/model.csflow --backend openvino --report $(DEMO)/report
	$(BIN)/csflow run --bundle $(DEMO)/model.csflow --camera 'synthetic://?defects=0.3&fps=5&seed=9&frames=40' \
	    --save $(DEMO)/rejected --results $(DEMO)/results.jsonl
	@echo
	@echo "Report: $(abspath $(DEMO)/report/report.html)"

# csflow as one file for machines without a clone; pip takes its extras in brackets behind the name.
wheel: $(BIN)/pip
	$(PIP) wheel -q --no-deps -w $(OUT) .
	@for wheel in $(OUT)/csflow-*.whl; do echo "pip install '$(CURDIR)/$$wheel[openvino]'"; done

test: skipped lint
	$(BIN)/pytest -n $(PYTEST_N) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

# Which groups of tests this machine will skip.
skipped:
	@sh tests/missing.sh | awk -F'|' 'NR == 1 { print "These groups of tests are skipped, as packages are missing:" } \
	    { printf "  %-30s %s\n", $$1, $$2 } END { if (NR) print "make packages installs them (apt-get, as root)." }'

packages:
	@set -- $$(sh tests/missing.sh | cut -d'|' -f2); [ $$# = 0 ] || { $(SUDO) apt-get update -q && \
	    $(SUDO) apt-get install -y -q --no-install-recommends "$$@"; }

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(OUT)/typecheck/csflow
	@ln -sfn $(CURDIR)/runtime $(CURDIR)/calibration $(CURDIR)/toolkit $(CURDIR)/export $(OUT)/typecheck/csflow/
	MYPYPATH=$(OUT)/typecheck $(BIN)/mypy -p csflow.runtime -p csflow.calibration -p csflow.toolkit -p csflow.export

fuzz: $(VENV)/.dev fuzz-native
	$(BIN)/python tests/fuzz/fuzz_bundle.py --iterations 200000

fuzz-native:
	cmake -S . -B $(OUT)/native/fuzz -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang \
	    -DCMAKE_CXX_COMPILER=clang++ -DCSFLOW_BUILD_TESTS=OFF -DCSFLOW_BUILD_FUZZERS=ON
	cmake --build $(OUT)/native/fuzz --parallel 2 --target $(addprefix fuzz_,$(FUZZERS))
	for name in $(FUZZERS); do \
	    mkdir -p $(OUT)/native/corpus/$$name && \
	    $(OUT)/native/fuzz/runtime/native/fuzz/fuzz_$$name -max_total_time=$(FUZZ_S) -print_final_stats=1 -verbosity=0 -print_funcs=0 \
	        -artifact_prefix=$(OUT)/native/ \
	        $(OUT)/native/corpus/$$name runtime/native/fuzz/seeds/$$name || exit 1; \
	done

bench: $(VENV)/.dev
	$(BIN)/python tests/bench/bench.py $(BENCH)

# On a machine with an NVIDIA GPU and TensorRT: ten minutes at most, figures as JSON.
gpu: $(VENV)/.dev
	$(BIN)/python tests/bench/bench_gpu.py $(GPU)

soak: $(VENV)/.dev
	$(BIN)/python tests/soak/soak.py $(SOAK)
	$(BIN)/python -m tests.soak.handshakes
	$(BIN)/pytest -m soak
	@# 240 MB that other targets do without.
	$(PIP) install -q pypylon==26.9
	$(BIN)/pytest tests/runtime/sources/test_contract.py tests/runtime/sources/genicam/test_pylon.py

# Newer versions for every Python and processor that README names; those of 3.11 and later stay where they are.
constraints: $(VENV)/.dev
	sed -E '/^#/d; /;/d; s/$$/ ; python_full_version >= "3.11"/' constraints.txt > $(OUT)/kept.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 -c $(OUT)/kept.txt \
	    --python $(BIN)/python --no-annotate --no-header -q -o $(OUT)/constraints.txt
	(head -1 constraints.txt; grep -vE "== '(win32|emscripten|darwin)'" $(OUT)/constraints.txt) > $(OUT)/new.txt
	mv $(OUT)/new.txt constraints.txt

clean:
	rm -rf $(VENV) $(OUT) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/pip pyproject.toml constraints.txt
	$(size)
	$(PIP) install -q -c constraints.txt $(INDEX) -e '.[all-cpu]'
	@touch $@

$(VENV)/.dev: $(BIN)/pip pyproject.toml constraints.txt
	$(size)
	$(PIP) install -q -c constraints.txt $(INDEX) -e '.[dev]'
	@touch $@ $(VENV)/.demo

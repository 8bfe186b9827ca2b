# The commands of this project. `make help` lists them.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
export CCACHE_DIR ?= $(HOME)/.cache/nashswarm-ccache

.PHONY: help deps configure build test interop-torch demo bench asan test-asan fuzz format clean

help:            ## show this list
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

deps:            ## install the Debian packages that are missing (root)
	@deploy/install-packages.sh build

configure: deps
	@cmake/configure.sh release

build: configure  ## build the programs into build/release/bin
	@cmake --build --preset release -j $(JOBS) --target programs

test: configure  ## build and pass every test
	@cmake --build --preset release -j $(JOBS)
	@tests/run.sh

interop-torch: build  ## compare with transformers on torch; installs gigabytes into build/torch-venv
	@NASHSWARM_INSTALL_TORCH=1 tests/interop/torch.sh build/release/bin

demo: build      ## compress the bundled checkpoint through a real server and show what came out
	@deploy/demo.sh

bench: build     ## measure encoding, memory and transfer; print tables
	@cmake --build --preset release -j $(JOBS) --target quant_bench nsq_bench coding_bench
	@tests/bench/run.sh

asan: deps       ## build with AddressSanitizer and UndefinedBehaviorSanitizer
	@cmake/configure.sh asan
	@cmake --build --preset asan -j $(JOBS)

test-asan: asan  ## every unit and integration test under the sanitizers
	@ctest --test-dir build/asan --output-on-failure -j $(JOBS)

fuzz: deps       ## fuzz the parsers; FUZZ_SECONDS=600 for longer
	@tests/fuzz/run.sh $${FUZZ_SECONDS:-60}

format:          ## clang-format all code
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

clean:           ## remove everything built
	rm -rf build

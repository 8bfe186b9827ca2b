# The commands of this project. `make help` lists them.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
BUILD ?= build/release
# What was installed, beside the documents. CMake leaves it in the build tree, of whoever installed last and wherever to.
INSTALLED = $(DESTDIR)$(abspath $(PREFIX))/share/doc/nashswarm/install_manifest.txt
export CCACHE_DIR ?= $(HOME)/.cache/nashswarm-ccache
# Another clone finds what this one compiled; and what uses precompiled headers, a third of all, is cached too.
export CCACHE_BASEDIR ?= $(CURDIR)
export CCACHE_SLOPPINESS ?= pch_defines,time_macros

.PHONY: help deps configure build install uninstall test test-deploy interop-torch demo bench crash load picture asan test-asan test-tsan fuzz format clean

help:            ## show this list
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

deps:            ## install the Debian packages that are missing (root)
	@deploy/install-packages.sh build

configure: deps
	@cmake/configure.sh release

build: configure  ## build the programs into build/release/bin
	@cmake --build --preset release -j $(JOBS) --target programs

# Nothing is built here, so that `sudo make install` leaves no file of root's in the tree.
install:         ## copy what make build has built to PREFIX (/usr/local), below DESTDIR
	@test -x $(BUILD)/bin/nashswarm || { echo "nothing is built in $(BUILD): run make build first" >&2; exit 1; }
	@rm -f $(BUILD)/install_manifest.txt
	@set -o pipefail; cmake --install $(BUILD) --prefix "$(abspath $(PREFIX))" --strip | sed -n 's/^-- [A-Z][a-z-]*: //p'
	@mv -f $(BUILD)/install_manifest.txt "$(INSTALLED)"
	@test -n "$(DESTDIR)" || ldconfig 2>/dev/null || true

uninstall:       ## remove what make install has copied to PREFIX, below DESTDIR
	@test -f "$(INSTALLED)" || { echo "nothing is installed there: there is no $(INSTALLED); say the PREFIX of make install" >&2; exit 1; }
	@sed 's|^|$(DESTDIR)|' "$(INSTALLED)" | tr '\n' '\0' | xargs -0 rm -f
	@rm -f "$(INSTALLED)"

test: configure  ## build and pass every test
	@cmake --build --preset release -j $(JOBS)
	@tests/run.sh

test-deploy: build  ## build the image and run a job in it; check manifests, alerts, dashboards, pipelines, the README
	@tests/deploy/run.sh

interop-torch: build  ## compare with transformers on torch; installs gigabytes into build/torch-venv
	@NASHSWARM_INSTALL_TORCH=1 tests/interop/torch.sh build/release/bin

demo: build      ## compress the bundled checkpoint through a real server and show what came out
	@deploy/demo.sh

bench: build     ## measure encoding, memory and transfer; print tables
	@cmake --build --preset release -j $(JOBS) --target quant_bench nsq_bench coding_bench routing_bench
	@tests/bench/run.sh

crash: configure ## kill and stop processes at random, longer than the tests do; CRASH_SECONDS=600 for still longer
	@cmake --build --preset release -j $(JOBS)
	@tests/crash/run.sh $${CRASH_SECONDS:-60}

load: build      ## many watchers, uploads and jobs at once; one upload against loopback and disk
	@cmake --build --preset release -j $(JOBS) --target load
	@python3 tests/load/run.py --bin build/release/bin --load build/release/tests/load
	@NASHSWARM_BIN_DIR=build/release/bin python3 tests/load/workers.py

asan: deps       ## build with AddressSanitizer and UndefinedBehaviorSanitizer
	@cmake/configure.sh asan
	@cmake --build --preset asan -j $(JOBS)

test-asan: asan  ## every unit and integration test under the sanitizers
	@ctest --test-dir build/asan --output-on-failure -j $(JOBS)

test-tsan: deps  ## what has threads and needs no gRPC, under ThreadSanitizer
	@cmake/configure.sh tsan
	@cmake --build --preset tsan -j $(JOBS) --target tsan_tests
	@ctest --test-dir build/tsan --output-on-failure

fuzz: deps       ## fuzz what comes from outside, every target for a minute; FUZZ_SECONDS=600 for longer
	@tests/fuzz/run.sh $${FUZZ_SECONDS:-60}

picture: build   ## make docs/report.png and the words beside it in the README again, by the command that the README shows
	@deploy/install-packages.sh browser
	@python3 tests/browser/readme_picture.py build/release/bin

format:          ## clang-format all code
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

clean:           ## remove everything built
	rm -rf build

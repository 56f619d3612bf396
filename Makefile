# SPDX-License-Identifier: BSD-2-Clause
#
# The front door. CMake does the work; each target here first lets ci/setup see to the packages that it needs.

JOBS ?= $(shell nproc)

.NOTPARALLEL:
.PHONY: all build run check sweep sweep-pairs bench coverage mutants bigendian fuzz interop format clean help

all: build

build:
	@ci/setup build
	@ci/build default $(JOBS)

run: build
	@build/vfake replay scenarios/golden
	@build/vfake run --jobs $(JOBS)

check:
	@ci/setup check
	@ci/check --jobs $(JOBS) $(LANES)

sweep: build
	@build/vfake sweep --jobs $(JOBS)

sweep-pairs: build
	@build/vfake sweep --pairs --jobs $(JOBS) attach-one map-kinds viommu-maps dirty-few-maps \
		user-far user-blocked user-sockets

bench:
	@ci/setup bench
	@ci/build release $(JOBS) --target vfake-bench
	@build-release/vfake-bench

coverage:
	@ci/setup coverage
	@ci/coverage --jobs $(JOBS)

mutants:
	@ci/setup mutants
	@ci/mutants --bugs --jobs $(JOBS)
	@ci/mutants --jobs $(JOBS)

fuzz:
	@ci/setup fuzz
	@ci/fuzz $(SECONDS)

interop: build
	@ci/interop

bigendian:
	@ci/bigendian --jobs $(JOBS)

format:
	@ci/setup format
	@find include src fakes harness scenarios -name '*.[ch]' -exec clang-format -i {} +

clean:
	@rm -rf build build-*

help:
	@echo 'make            build in build/'
	@echo 'make run        build, replay the recordings of real kernels, play the stories on every backend'
	@echo 'make check      every test: gcc, sanitizers, clang, valgrind, tidy, coverage (LANES="gcc asan" for some)'
	@echo 'make sweep      fail each call of each story, everywhere, and look what becomes of it'
	@echo 'make sweep-pairs  two faults at a time, in the short stories'
	@echo 'make bench      build for speed in build-release/, then measure'
	@echo 'make coverage   lines, branches and functions per folder; fails when one fell; build-coverage/html'
	@echo 'make mutants    write mistakes into copies of src/ and see whether the tests notice; a score per file'
	@echo 'make bigendian  build for ppc64 and s390x, run the scenarios and recordings under qemu-user'
	@echo 'make fuzz       libFuzzer on what reads files, from the corpora on (SECONDS=600 for each)'
	@echo 'make interop    vfio-user with QEMU and with the sample client of libvfio-user (needs root, or both at hand)'
	@echo 'make format     clang-format over the C files'
	@echo 'make clean      remove build/ and build-*/'
	@echo 'JOBS=n          how many things at once (default: one per processor)'

# SPDX-License-Identifier: MIT OR Apache-2.0
# The whole of building, testing and installing. `make test` needs cargo, Python 3 and a C compiler.

PREFIX ?= /usr/local
DESTDIR ?=
STRICT ?= 0
PYTHON ?= python3
CARGO ?= cargo
# debug: installs what `make test` has built already.
PROFILE ?= release

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# Before 1.0 every minor version is an ABI of its own; crates/unsandbox-capi/build.rs has the same rule.
ABI := $(shell echo $(VERSION) | sed -E 's/^(0\.[0-9]+)\..*/\1/; t; s/\..*//')
BUILT := $(or $(CARGO_TARGET_DIR),target)/$(PROFILE)
INSTALL := $(DESTDIR)$(PREFIX)

.PHONY: build deps languages runtimes test quick hostile fuzz standings soak bench docs wheels image-rootfs clean

build:
	$(CARGO) build $(if $(filter release,$(PROFILE)),--release) --locked -p unsandbox-cli -p unsandbox-capi

# The tools that only some suites use: without them `make test` names what it skips.
deps:
	scripts/deps

languages:
	scripts/languages

# The other runtimes that bindings-tests/runtimes knows.
runtimes:
	scripts/runtimes

test:
	$(PYTHON) scripts/suites $(if $(filter 1,$(STRICT)),--strict)

# At most a minute and a half after a build: what a change breaks first.
quick:
	$(PYTHON) scripts/suites quick

# What hostile programs see at each level, as root and as an ordinary user, and what they see without each
# layer of the jail; both are part of `make test`.
hostile:
	$(CARGO) test --locked -p unsandbox-engine --test hostile
	$(PYTHON) scripts/suites layers

# Bounded: a million cases for each reader of what comes from outside; FUZZ_CASES=10000000 is the long form.
FUZZ_CASES ?= 1000000
fuzz:
	UNSANDBOX_FUZZ_CASES=$(FUZZ_CASES) $(CARGO) test --release -p unsandbox-protocol --test hostile

# What the engine comes to on machines that refuse it something: a table.
standings:
	$(CARGO) test -q -p unsandbox-engine --test standings

# Long: what a few hundred executions show in `make test`, shown by a hundred thousand; floods of 10,000 connections; and
# that every rule of the jail is missed by a test when it is gone. SOAK_RUNS and MUTATIONS (as --only mount --limit 5) bound it.
SOAK_RUNS ?= 100000
MUTATIONS ?=
soak:
	UNSANDBOX_SOAK_RUNS=$(SOAK_RUNS) $(CARGO) test -q -p unsandbox-engine --test soak
	UNSANDBOX_OVERLOAD_CONNECTIONS=10000 $(CARGO) test -q -p unsandbox-server --test overload
	$(PYTHON) scripts/mutate $(MUTATIONS)

# The other sandboxes that are timed beside ours; without them their rows say what is missing.
RIVALS := bubblewrap firejail
# The other HTTP client in C; those in Python are installed by the part that uses them.
CURL := libcurl4-openssl-dev
# Names of parts (faces, cold, call, network, server, print, python) run only those.
PARTS ?=
bench:
	-scripts/packages $(RIVALS) $(CURL)
	-$(if $(if $(PARTS),$(filter python network,$(PARTS)),all),scripts/bench-python)
	$(CARGO) build --release --locked -p unsandbox-cli -p unsandbox-capi -p unsandbox-bench
	$(or $(CARGO_TARGET_DIR),target)/release/unsandbox-bench $(PARTS)

docs:
	scripts/docs

# What a release gives to Python's users: one wheel, and the source distribution.
wheels:
	scripts/wheels

# The root file system of deploy/container without a container engine: its level, and a program of each language.
image-rootfs:
	scripts/packages mmdebstrap
	scripts/image-rootfs

include make/install.mk

clean:
	$(CARGO) clean
	rm -rf build python/unsandbox/*.so

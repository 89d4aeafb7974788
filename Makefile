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

.PHONY: build deps languages test fuzz bench docs install uninstall clean

build:
	$(CARGO) build $(if $(filter release,$(PROFILE)),--release) --locked -p unsandbox-cli -p unsandbox-capi

# The tools that only some suites use: without them `make test` names what it skips.
deps:
	scripts/deps

languages:
	scripts/languages

test:
	$(PYTHON) scripts/suites $(if $(filter 1,$(STRICT)),--strict)

# Bounded: a million cases for each reader of what comes from outside; FUZZ_CASES=10000000 is the long form.
FUZZ_CASES ?= 1000000
fuzz:
	UNSANDBOX_FUZZ_CASES=$(FUZZ_CASES) $(CARGO) test --release -p unsandbox-protocol --test hostile

bench:
	$(CARGO) build --release --locked -p unsandbox-cli -p unsandbox-bench
	$(or $(CARGO_TARGET_DIR),target)/release/unsandbox-bench

docs:
	scripts/docs

install: build
	install -d $(INSTALL)/bin $(INSTALL)/include $(INSTALL)/lib/pkgconfig $(INSTALL)/libexec/unsandbox
	install -m 755 $(BUILT)/unsandbox $(INSTALL)/bin/unsandbox
	install -m 644 include/unsandbox.h include/unsandbox.hpp $(INSTALL)/include/
	install -m 755 $(BUILT)/libunsandbox.so $(INSTALL)/lib/libunsandbox.so.$(VERSION)
	ln -sf libunsandbox.so.$(VERSION) $(INSTALL)/lib/libunsandbox.so.$(ABI)
	ln -sf libunsandbox.so.$(ABI) $(INSTALL)/lib/libunsandbox.so
	install -m 644 $(BUILT)/libunsandbox.a $(INSTALL)/lib/libunsandbox.a
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' scripts/unsandbox.pc.in > $(INSTALL)/lib/pkgconfig/unsandbox.pc
	install -m 755 "$$(scripts/jailer $(PROFILE))" $(INSTALL)/libexec/unsandbox/unsandbox-jailer
	@echo "installed below $(INSTALL); if $(PREFIX)/lib is new to the loader, run ldconfig"

uninstall:
	rm -f $(INSTALL)/bin/unsandbox $(INSTALL)/include/unsandbox.h $(INSTALL)/include/unsandbox.hpp
	rm -f $(INSTALL)/lib/libunsandbox.so $(INSTALL)/lib/libunsandbox.so.$(ABI) $(INSTALL)/lib/libunsandbox.so.$(VERSION)
	rm -f $(INSTALL)/lib/libunsandbox.a $(INSTALL)/lib/pkgconfig/unsandbox.pc
	rm -rf $(INSTALL)/libexec/unsandbox

clean:
	$(CARGO) clean
	rm -rf build python/unsandbox/*.so

# SPDX-License-Identifier: MIT OR Apache-2.0
# What `make install` puts where, `make uninstall` takes away and `make dist` packs.

LIBRARY := libunsandbox.so.$(VERSION)
TRIPLE ?= $(shell rustc -vV | sed -n 's/^host: //p')
DIST := unsandbox-$(VERSION)-$(TRIPLE)
INSTALLED := bin/unsandbox include/unsandbox.h include/unsandbox.hpp \
	lib/$(LIBRARY) lib/libunsandbox.so.$(ABI) lib/libunsandbox.so lib/libunsandbox.a \
	lib/pkgconfig/unsandbox.pc lib/cmake/unsandbox/unsandbox-config.cmake \
	lib/cmake/unsandbox/unsandbox-config-version.cmake libexec/unsandbox/unsandbox-jailer \
	share/man/man1/unsandbox.1 share/man/man3/libunsandbox.3 share/unsandbox/unsandbox.cdef \
	share/unsandbox/apparmor share/doc/unsandbox/THIRD-PARTY
# A debug build is installed as it is: its symbols are why it was built.
STRIP := $(if $(filter release,$(PROFILE)),strip --strip-unneeded --remove-section=.comment,true)
COMPRESS ?= gzip -9
# Programs find a library outside the folders of the loader by the path that pkg-config puts into them.
comma := ,
RPATH := $(if $(filter /usr /usr/local,$(PREFIX)),,-Wl$(comma)-rpath$(comma)$${libdir} )
FILL := sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@VERSION@|$(VERSION)|g' -e 's|@RPATH@|$(RPATH)|g'

.PHONY: install install-files uninstall dist

install: build install-files
	@echo "installed below $(INSTALL)$(if $(RPATH),; for pkg-config: export PKG_CONFIG_PATH=$(PREFIX)/lib/pkgconfig,; if $(PREFIX)/lib is new to the loader, run ldconfig)"

install-files:
	install -d $(sort $(dir $(addprefix $(INSTALL)/,$(INSTALLED))))
	install -m 755 $(BUILT)/unsandbox $(INSTALL)/bin/unsandbox
	install -m 755 $(BUILT)/libunsandbox.so $(INSTALL)/lib/$(LIBRARY)
	$(STRIP) $(INSTALL)/bin/unsandbox $(INSTALL)/lib/$(LIBRARY)
	ln -sf $(LIBRARY) $(INSTALL)/lib/libunsandbox.so.$(ABI)
	ln -sf libunsandbox.so.$(ABI) $(INSTALL)/lib/libunsandbox.so
	install -m 644 $(BUILT)/libunsandbox.a $(INSTALL)/lib/libunsandbox.a
	install -m 644 include/unsandbox.h include/unsandbox.hpp $(INSTALL)/include/
	$(FILL) scripts/unsandbox.pc.in > $(INSTALL)/lib/pkgconfig/unsandbox.pc
	$(FILL) scripts/cmake/unsandbox-config.cmake.in > $(INSTALL)/lib/cmake/unsandbox/unsandbox-config.cmake
	$(FILL) scripts/cmake/unsandbox-config-version.cmake.in > $(INSTALL)/lib/cmake/unsandbox/unsandbox-config-version.cmake
	install -m 755 "$$(scripts/jailer $(PROFILE))" $(INSTALL)/libexec/unsandbox/unsandbox-jailer
	$(FILL) scripts/apparmor.in > $(INSTALL)/share/unsandbox/apparmor
	install -m 644 include/unsandbox.cdef $(INSTALL)/share/unsandbox/unsandbox.cdef
	install -m 644 man/unsandbox.1 $(INSTALL)/share/man/man1/unsandbox.1
	install -m 644 man/libunsandbox.3 $(INSTALL)/share/man/man3/libunsandbox.3
	install -m 644 THIRD-PARTY $(INSTALL)/share/doc/unsandbox/THIRD-PARTY

uninstall:
	rm -f $(addprefix $(INSTALL)/,$(INSTALLED))
	-rmdir $(addprefix $(INSTALL)/,lib/cmake/unsandbox libexec/unsandbox share/unsandbox share/doc/unsandbox) 2>/dev/null

# A tree that works wherever it is unpacked: its pkg-config and CMake files find it by their own place.
dist: build
	rm -rf build/dist/$(DIST)
	$(MAKE) install-files DESTDIR= PREFIX=$(CURDIR)/build/dist/$(DIST)
	sed -i 's|^prefix=.*|prefix=$${pcfiledir}/../..|' build/dist/$(DIST)/lib/pkgconfig/unsandbox.pc
	sed -i 's|$(CURDIR)/build/dist/$(DIST)|/opt/unsandbox|' build/dist/$(DIST)/share/unsandbox/apparmor
	for file in LICENSE* README.md CHANGELOG.md; do if [ -e "$$file" ]; then cp "$$file" build/dist/$(DIST)/; fi; done
	tar -C build/dist -I "$(COMPRESS)" -cf build/dist/$(DIST).tar.gz $(DIST)
	@echo "build/dist/$(DIST).tar.gz"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The runtimes: how each is told to be here, what is built, how its two programs start, what installs it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build/runtimes"


@dataclass(frozen=True)
class Kind:
    """One runtime. In commands {here}, {build}, {include}, {lib} stand for directories."""

    name: str
    #: Commands that succeed where all that it needs is installed.
    needs: tuple[str, ...]
    #: The shell commands that build its programs.
    build: tuple[str, ...]
    hello: str
    cases: str
    #: Debian packages.
    debian: tuple[str, ...]
    npm: tuple[str, ...] = ()
    #: Folder whose modules Go is to download.
    go: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def here(self) -> Path:
        return HERE / self.name

    @property
    def output(self) -> Path:
        return BUILD / self.name

    def filled(self, text: str, library: Path) -> str:
        words = {"here": self.here, "build": self.output, "include": ROOT / "include", "lib": library}
        for name, path in words.items():
            text = text.replace(f"{{{name}}}", str(path))
        return text

    def missing(self) -> str | None:
        """What is not here, or None."""
        for command in self.needs:
            program = command.split()[0]
            if shutil.which(program) is None:
                return f"{program} is not installed (`make runtimes` installs it)"
            if " " in command and subprocess.run(["sh", "-c", self.filled(command, ROOT)], capture_output=True).returncode:
                return f"`{command}` fails (`make runtimes` installs what is missing)"
        return None


def script(command: str, suffix: str) -> dict[str, str]:
    return {name: f"{command} {{here}}/{name}.{suffix}" for name in ("hello", "cases")}


NODE_MODULES = str(BUILD / "node_modules")
JNA = "/usr/share/java/jna.jar"
OCAML = "cp {here}/*.ml {build}/ && cd {build} && ocamlfind ocamlopt -thread -package threads.posix,ctypes,ctypes.foreign -linkpkg unsandbox.ml"

#: unsafe.StringData came with 1.20.
GO = "go version | grep -Eq 'go1[.][2-9][0-9]'"
#: As `make install` fills it, for a library and a header that are not in one prefix.
PKG_CONFIG = (
    "sed -e 's|@VERSION@|0|' -e 's|@RPATH@|-Wl,-rpath,{lib} |' -e 's|^libdir=.*|libdir={lib}|'"
    f" -e 's|^includedir=.*|includedir={{include}}|' {ROOT / 'scripts/unsandbox.pc.in'}"
)

KINDS = (
    Kind(
        "csharp", ("mono", "mcs"),
        tuple(f"mcs -out:{{build}}/{name}.exe {{here}}/Unsandbox.cs {{here}}/{name}.cs" for name in ("Hello", "Cases")),
        "mono {build}/Hello.exe", "mono {build}/Cases.exe", ("mono-runtime", "mono-mcs"),
    ),
    Kind("deno", ("deno",), (), **script("deno run --quiet --no-config --no-lock --allow-ffi --allow-env", "ts"), debian=()),
    Kind(
        "go", (GO, "cc", "pkg-config"),
        (f"{PKG_CONFIG} > {{build}}/unsandbox.pc", "cd {here} && go build -o {build}/ ./hello ./cases"),
        "{build}/hello", "{build}/cases", ("golang-go", "pkg-config"),
        # Go's cache does not look at what pkg-config says: another library is another definition.
        environment={"PKG_CONFIG_PATH": "{build}", "CGO_CPPFLAGS": "-DLIBRARY={lib}", "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"},
    ),
    Kind("guile", ("guile",), (), **script("guile -L {here}", "scm"), debian=("guile-3.0",), environment={"GUILE_AUTO_COMPILE": "0", "LC_ALL": "C.UTF-8", "XDG_CACHE_HOME": "{build}"}),
    Kind(
        "java", ("javac", "java", f"test -e {JNA}"), (f"javac -d {{build}} -cp {JNA} {{here}}/*.java",),
        f"java -cp {JNA}:{{build}} Hello", f"java -cp {JNA}:{{build}} Cases", ("default-jdk-headless", "libjna-java"),
    ),
    Kind("luajit", ("luajit",), (), **script("luajit", "lua"), debian=("luajit",)),
    Kind(
        "node", ("node", "node -e \"require('koffi')\""), (), **script("node", "js"), debian=("nodejs", "npm"),
        npm=("koffi",), environment={"NODE_PATH": NODE_MODULES},
    ),
    Kind(
        "ocaml", ("ocamlfind", "ocamlfind query ctypes.foreign"), tuple(f"{OCAML} {name}.ml -o {name}" for name in ("hello", "cases")),
        "{build}/hello", "{build}/cases", ("ocaml-findlib", "ocaml-nox", "libctypes-ocaml-dev"),
    ),
    Kind("perl", ("perl", "perl -MFFI::Platypus=2.00 -e 1"), (), **script("perl", "pl"), debian=("perl", "libffi-platypus-perl")),
    Kind("php", ("php", "php -r 'exit(extension_loaded(\"ffi\") ? 0 : 1);'"), (), **script("php", "php"), debian=("php-cli",)),
    Kind(
        # Its programs are those of ../go, for its package has the same surface.
        "purego", (GO, "env GOPROXY=off GOTOOLCHAIN=local go list -C {here} -deps ./unsandbox"),
        ("rm -rf {build}/src && cp -r {here} {build}/src && cp -r {here}/../go/hello {here}/../go/cases {build}/src && cd {build}/src && go build -o {build}/ ./hello ./cases",),
        "{build}/hello", "{build}/cases", ("golang-go",), go="{here}",
        environment={"CGO_ENABLED": "0", "GOPROXY": "off", "GOTOOLCHAIN": "local"},
    ),
    Kind(
        "r", ("Rscript", "cc", 'test -e "$(Rscript -e "cat(R.home(\\"include\\"))")/R.h"'),
        ("cp {here}/unsandboxr.c {build}/ && cd {build} && PKG_CFLAGS='-I{include}' PKG_LIBS='-L{lib} -lunsandbox' R CMD SHLIB unsandboxr.c",),
        **script("Rscript --vanilla", "R"), debian=("r-base-core",),
        environment={"UNSANDBOX_R": "{build}/unsandboxr.so", "UNSANDBOX_R_SOURCE": "{here}/unsandbox.R", "LC_ALL": "C.UTF-8"},
    ),
    Kind("racket", ("racket",), (), **script("racket", "rkt"), debian=("racket",)),
    Kind("ruby", ("ruby", "ruby -rfiddle -e 1"), (), **script("ruby", "rb"), debian=("ruby",)),
    Kind("sbcl", ("sbcl",), (), **script("sbcl --script", "lisp"), debian=("sbcl",), environment={"LC_ALL": "C.UTF-8"}),
    Kind(
        "tcl", ("tclsh", "cc", "echo 'exit [catch {package require json}]' | tclsh", "test -e /usr/include/tcl/tcl.h"),
        ("cc -shared -fPIC -Wall -Wextra -Werror -DUSE_TCL_STUBS -I/usr/include/tcl -I{include} {here}/unsandboxtcl.c -o {build}/unsandboxtcl.so"
         " -L{lib} -lunsandbox -ltclstub8.6",),
        **script("tclsh", "tcl"), debian=("tcl", "tcl-dev", "tcllib"), environment={"UNSANDBOX_TCL": "{build}/unsandboxtcl.so"},
    ),
)  # fmt: skip

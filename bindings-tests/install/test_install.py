# SPDX-License-Identifier: MIT OR Apache-2.0
"""What `make install` puts in its place, what `make dist` packs, and programs built from an empty directory with each.

UNSANDBOX_INSTALL_PROFILE=release tries the form that users get; else it is the debug build, which stands already.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROFILE = os.environ.get("UNSANDBOX_INSTALL_PROFILE", "debug")
FILES = {
    "bin/unsandbox",
    "include/unsandbox.h",
    "include/unsandbox.hpp",
    "lib/libunsandbox.a",
    "lib/libunsandbox.so",
    "lib/libunsandbox.so.0.1",
    "lib/libunsandbox.so.0.1.0",
    "lib/cmake/unsandbox/unsandbox-config-version.cmake",
    "lib/cmake/unsandbox/unsandbox-config.cmake",
    "lib/pkgconfig/unsandbox.pc",
    "libexec/unsandbox/unsandbox-jailer",
    "share/doc/unsandbox/THIRD-PARTY",
    "share/man/man1/unsandbox.1",
    "share/man/man3/libunsandbox.3",
    "share/unsandbox/apparmor",
    "share/unsandbox/unsandbox.cdef",
}
#: What the tarball has beside them.
PACKED = {"CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"}
CMAKE = """cmake_minimum_required(VERSION 3.16)
project(hello {language})
{before}
find_package(unsandbox 0.1 CONFIG REQUIRED)
add_executable(hello hello.{suffix})
target_link_libraries(hello {target})
"""


def run(*words: object, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=900, cwd=cwd,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make(*words: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # Another make may have started these tests: what it hands on is for makes of its own, which say more.
    alone = ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "MFLAGS"]
    return run(*alone, "make", f"PROFILE={PROFILE}", *words)


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` makes of an empty prefix."""
    prefix = tmp_path_factory.mktemp("prefix")
    make("install", f"PREFIX={prefix}")
    return prefix


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball in a place that its makers did not know; packed fast, for it is thrown away."""
    tarball = ROOT / make("dist", "COMPRESS=gzip -1").splitlines()[-1]
    place = tmp_path_factory.mktemp("elsewhere")
    with tarfile.open(tarball) as archive:
        archive.extractall(place)
    shutil.rmtree(tarball.parent)
    (top,) = place.iterdir()
    return top


@pytest.fixture(params=["prefix", "unpacked"])
def tree(request: pytest.FixtureRequest) -> Path:
    """Both, for what holds for either."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A directory with nothing but the two programs."""
    directory = tmp_path / "empty"
    directory.mkdir()
    for folder, suffix in (("c", "c"), ("cpp", "cpp")):
        shutil.copy(ROOT / f"examples/{folder}/hello.{suffix}", directory)
    return directory


def flags(tree: Path, *words: str) -> list[str]:
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    return run("pkg-config", *words, "unsandbox", PKG_CONFIG_PATH=str(tree / "lib/pkgconfig")).split()


def check(program: Path, tree: Path, shared: bool) -> None:
    """It runs, and needs the shared library or does not."""
    library = {"LD_LIBRARY_PATH": str(tree / "lib")} if shared else {}
    assert ("libunsandbox" in run("ldd", program, **library)) == shared
    assert run(program, UNSANDBOX_URL="local:", **library) == "42\n"


def test_everything_is_in_its_place(prefix: Path) -> None:
    assert files(prefix) == FILES
    assert os.readlink(prefix / "lib/libunsandbox.so") == "libunsandbox.so.0.1"
    assert os.readlink(prefix / "lib/libunsandbox.so.0.1") == "libunsandbox.so.0.1.0"


def test_the_tarball_has_all_of_it_and_no_path_of_its_makers(unpacked: Path) -> None:
    assert files(unpacked) == FILES | PACKED
    for name in files(unpacked):
        if not name.startswith(("bin/", "lib/libunsandbox", "libexec/")):
            assert str(ROOT).encode() not in (unpacked / name).read_bytes(), name


@pytest.mark.parametrize(("compiler", "source"), [("cc", "hello.c"), ("c++", "hello.cpp")])
def test_pkg_config(compiler: str, source: str, tree: Path, empty: Path) -> None:
    assert flags(tree, "--modversion") == ["0.1.0"]
    run(compiler, source, *flags(tree, "--cflags", "--libs"), "-o", "hello", cwd=empty)
    check(empty / "hello", tree, shared=True)


def readme(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize(("compiler", "language"), [("cc", "c"), ("c++ -std=c++17", "cpp")])
def test_the_line_of_the_readme_is_enough_for_a_prefix_of_its_own(
    compiler: str, language: str, tree: Path, tmp_path: Path
) -> None:
    """PKG_CONFIG_PATH for the compiler, and nothing for the program."""
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    (tmp_path / f"hello.{language}").write_text(readme(language))
    line = f"{compiler} hello.{language} $(pkg-config --cflags --libs unsandbox) -o hello"
    run("sh", "-c", line, cwd=tmp_path, PKG_CONFIG_PATH=str(tree / "lib/pkgconfig"))
    program = [tmp_path / "hello"]
    assert run(*program, UNSANDBOX_URL="local:") == "42\n"
    if language == "c":
        away = {**os.environ, "UNSANDBOX_URL": "http://127.0.0.1:1", "no_proxy": "*"}
        done = subprocess.run(program, capture_output=True, text=True, env=away, timeout=60)
        assert done.returncode == 1 and done.stdout == "" and "could not be reached: " in done.stderr


@pytest.mark.parametrize("more", [[], ["--trace-children=yes", "--trace-children-skip=/proc/self/fd/*"]])
def test_valgrind_has_nothing_to_say_of_the_program_of_the_readme(more: list[str], prefix: Path, tmp_path: Path) -> None:
    """Nor of the copies of the process from which the jailer is started, which are gone before they are looked at."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    (tmp_path / "hello.c").write_text(readme("c"))
    run("cc", "hello.c", *flags(prefix, "--cflags", "--libs"), "-o", "hello", cwd=tmp_path)
    words = ["valgrind", "--leak-check=full", "--show-leak-kinds=all", "--error-exitcode=9", *more, tmp_path / "hello"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env={**os.environ, "UNSANDBOX_URL": "local:"})
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    assert done.stderr.count("HEAP SUMMARY") == done.stderr.count("no leaks are possible") == 1, done.stderr
    assert "ERROR SUMMARY: 0 errors" in done.stderr


def test_the_loader_is_told_only_of_prefixes_that_it_does_not_know(tmp_path: Path) -> None:
    for prefix, rpath in (("/usr", False), ("/usr/local", False), ("/opt/unsandbox", True)):
        make("install-files", f"PREFIX={prefix}", f"DESTDIR={tmp_path}")
        text = (tmp_path / prefix[1:] / "lib/pkgconfig/unsandbox.pc").read_text()
        assert ("-Wl,-rpath,${libdir}" in text) == rpath and "@" not in text, text


@pytest.mark.parametrize(("compiler", "source"), [("cc", "hello.c"), ("c++", "hello.cpp")])
def test_pkg_config_static(compiler: str, source: str, prefix: Path, empty: Path) -> None:
    """The archive comes first, and what it needs after it: the shared library is then not needed."""
    words = [*flags(prefix, "--cflags"), "-Wl,--gc-sections,--as-needed", "-l:libunsandbox.a"]
    words = [compiler, source, *words, *flags(prefix, "--static", "--libs"), "-o", "hello"]
    run(*words, cwd=empty)
    check(empty / "hello", prefix, shared=False)


@pytest.mark.parametrize(
    ("target", "suffix", "before", "shared"),
    [
        ("unsandbox::unsandbox", "c", "", True),
        ("unsandbox::static", "c", "", False),
        ("unsandbox::unsandbox", "cpp", "set(CMAKE_CXX_STANDARD 17)", True),
        ("unsandbox::static", "cpp", "set(CMAKE_CXX_STANDARD 17)", False),
        ("unsandbox::cpp", "cpp", "", True),
        ("unsandbox::cpp", "cpp", "set(UNSANDBOX_CPP_STATIC ON)", False),
    ],
)
def test_cmake(target: str, suffix: str, before: str, shared: bool, prefix: Path, empty: Path) -> None:
    cmake(target, suffix, before, prefix, empty)
    check(empty / "out/hello", prefix, shared)


def test_cmake_with_the_tarball(unpacked: Path, empty: Path) -> None:
    cmake("unsandbox::cpp", "cpp", "", unpacked, empty)
    check(empty / "out/hello", unpacked, shared=True)


def cmake(target: str, suffix: str, before: str, tree: Path, empty: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    language = "C" if suffix == "c" else "CXX"
    text = CMAKE.format(language=language, before=before, suffix=suffix, target=target)
    (empty / "CMakeLists.txt").write_text(text)
    run("cmake", "-S", ".", "-B", "out", f"-DCMAKE_PREFIX_PATH={tree}", cwd=empty)
    run("cmake", "--build", "out", cwd=empty)


def test_the_installed_jailer_is_the_one_of_the_library(tree: Path) -> None:
    jailer = tree / "libexec/unsandbox/unsandbox-jailer"
    words = (tree / "bin/unsandbox", "run", "--url", "local:", "-l", "bash", "-c", "echo from a file")
    assert run(*words, UNSANDBOX_JAILER=str(jailer)) == "from a file\n"


def test_the_manual_pages_are_read_without_a_complaint(prefix: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    for page in ("man1/unsandbox.1", "man3/libunsandbox.3"):
        words = ["man", "--warnings", "-l", prefix / "share/man" / page]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout) > 1000


def test_destdir_is_not_in_what_is_installed_and_uninstall_takes_all_of_it(tmp_path: Path) -> None:
    make("install-files", "PREFIX=/opt/unsandbox", f"DESTDIR={tmp_path}")
    installed = tmp_path / "opt/unsandbox"
    assert files(installed) == FILES
    assert "prefix=/opt/unsandbox\n" in (installed / "lib/pkgconfig/unsandbox.pc").read_text()
    for name in FILES:
        if name.endswith((".pc", ".cmake", "/unsandbox", "/apparmor", "-jailer")):
            assert str(tmp_path).encode() not in (installed / name).read_bytes(), name
    make("uninstall", "PREFIX=/opt/unsandbox", f"DESTDIR={tmp_path}")
    assert files(installed) == set()
    # What may have been there before stays; what is ours alone is gone.
    assert not [path for path in installed.rglob("*") if "unsandbox" in path.name]

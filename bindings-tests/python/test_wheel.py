# SPDX-License-Identifier: MIT OR Apache-2.0
"""The package as it is given away: one wheel for every CPython of this machine, and a source distribution.

Built in debug, which the suite has compiled already; `scripts/wheels` makes the release form.
"""

from __future__ import annotations

import email
import email.message
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import unsandbox

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
#: With the editor of the console, 0.15 MB of it.
MAX_SDIST_BYTES = 1_500_000
#: Whatever the wheel claims to run on, and the next one.
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
INFO = f"unsandbox-{unsandbox.__version__}.dist-info"

#: What the package does first in a new environment, with nothing of the checkout around it.
FIRST_STEPS = """
import asyncio, multiprocessing, pickle, sys, threading
import unsandbox

@unsandbox.sandboxed(ttl=60)
def double(value: int) -> int:
    return 2 * value

async def hello() -> str:
    async with unsandbox.AsyncClient(base_url="local:") as client:
        return (await client.execute("bash", "echo async")).stdout

def main() -> None:
    assert "site-packages" in unsandbox.__file__, unsandbox.__file__
    result = unsandbox.execute("python", "import sys; print(sys.version_info[:2])", runtime=sys.executable)
    assert result.check().stdout == f"{sys.version_info[:2]}\\n", result
    assert pickle.loads(pickle.dumps(result)) == result
    assert double(21) == 42
    assert asyncio.run(hello()) == "async\\n"
    try:
        unsandbox.execute("pyhton", "")
    except ValueError as error:
        assert pickle.loads(pickle.dumps(error)).code == "ARGUMENT"
    seen = []
    unsandbox.execute("bash", "echo live", on_stdout=seen.append)
    assert "".join(seen) == "live\\n"
    assert [it.stdout for it in unsandbox.map(["echo 1"] * 3, language="bash")] == ["1\\n"] * 3
    print("all well")

if __name__ == "__main__":
    main()
"""


def run(*words: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=900, cwd=cwd,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def maturin(*words: object, cwd: Path, **environment: str) -> None:
    program = Path(sys.prefix) / "bin/maturin"
    if not program.exists():
        pytest.skip("maturin is not installed beside pytest")
    run(program, *words, cwd=cwd, **environment)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    maturin("build", "-q", "--profile", "dev", "--locked", "--out", directory, cwd=ROOT)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sdist")
    maturin("sdist", "--out", directory, cwd=ROOT)
    (built,) = directory.glob("*.tar.gz")
    return built


def metadata(wheel: Path) -> email.message.Message:
    return email.message_from_bytes(zipfile.ZipFile(wheel).read(f"{INFO}/METADATA"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert "-cp310-abi3-" in wheel.name
    package = {f"unsandbox/{path.name}" for path in (ROOT / "python/unsandbox").iterdir()}
    package -= {"unsandbox/__pycache__"}
    assert {"unsandbox/py.typed", "unsandbox/_native.pyi", "unsandbox/_native.abi3.so"} <= package
    licences = {f"licenses/{name}" for name in ("LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY")}
    described = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "sboms/unsandbox-python.cyclonedx.json"}
    found = set(zipfile.ZipFile(wheel).namelist())
    assert found == package | {f"{INFO}/{name}" for name in licences | described}
    third_party = zipfile.ZipFile(wheel).read(f"{INFO}/licenses/THIRD-PARTY")
    assert third_party == (ROOT / "THIRD-PARTY").read_bytes()


def test_the_metadata_is_complete(wheel: Path) -> None:
    said = metadata(wheel)
    assert (said["Name"], said["Version"]) == ("unsandbox", unsandbox.__version__)
    assert (said["Requires-Python"], said["License-Expression"]) == (">=3.10", "MIT OR Apache-2.0")
    links = {it.split(",")[0] for it in said.get_all("Project-URL", [])}
    assert links == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    # All that is asked for belongs to an extra.
    assert all("extra ==" in it for it in said.get_all("Requires-Dist", []))
    classifiers = said.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers and len(classifiers) == len(set(classifiers))
    assert said["Summary"] and said["Author"] and said["Keywords"]
    assert said["Description-Content-Type"].startswith("text/markdown")
    page = said.get_payload(decode=True)
    assert isinstance(page, bytes) and page.strip() == (ROOT / "python/README.md").read_bytes().strip()


def test_the_page_of_the_package_does_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "python/README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```python")
    for block in blocks:
        said = re.search(r"# prints: (.*)$", block, re.MULTILINE)
        assert said
        assert run(sys.executable, "-c", block, cwd=tmp_path, UNSANDBOX_URL="local:") == f"{said[1]}\n"
    assert all(link.startswith("https://") for link in re.findall(r"\]\(([^)]+)\)", text))


def interpreter(version: str) -> Path:
    """A CPython of this version: from the path, from pyenv, or from the system."""
    homes = [Path(it) for it in os.environ.get("PATH", "").split(os.pathsep) if it]
    # Not that of HOME, which is another one while tests run.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path(pwd.getpwuid(os.getuid()).pw_dir) / ".pyenv")
    homes += sorted((pyenv / "versions").glob(f"{version}.*/bin"))
    homes += [Path("/usr/local/bin"), Path("/usr/bin")]
    wanted = f"CPython {version}"
    ask = "import platform; print(platform.python_implementation(), *platform.python_version_tuple()[:2])"
    for home in homes:
        program = home / f"python{version}"
        if program.exists():
            # A version manager's stand-in may know no such version.
            done = subprocess.run([program, "-c", ask], capture_output=True, text=True, timeout=60)
            if done.stdout.split() == wanted.replace(".", " ").split():
                return program
    pytest.skip(f"no {wanted} on this machine")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_environment_has_all_of_it(version: str, wheel: Path, tmp_path: Path) -> None:
    run(interpreter(version), "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    programs = tmp_path / "venv/bin"
    pip = [programs / "python", "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check"]
    run(*pip, wheel, cwd=tmp_path)
    script = tmp_path / "first_steps.py"
    script.write_text(FIRST_STEPS)
    assert run(programs / "python", "-W", "error", script, cwd=tmp_path, UNSANDBOX_URL="local:") == "all well\n"
    for command in ([programs / "unsandbox"], [programs / "python", "-m", "unsandbox"]):
        assert run(*command, "--version", cwd=tmp_path) == f"unsandbox {unsandbox.__version__}\n"
        words = ("run", "--url", "local:", "-l", "bash", "-c", "echo by command")
        assert run(*command, *words, cwd=tmp_path) == "by command\n"
    the_tutorial_works(programs / "python", tmp_path / "tutorial")
    run(programs / "python", "-m", "pip", "uninstall", "-q", "-y", "unsandbox", cwd=tmp_path)
    left = [path for path in (tmp_path / "venv").rglob("*unsandbox*") if path.name != "__pycache__"]
    assert left == []


def the_tutorial_works(python: Path, directory: Path) -> None:
    sys.path.insert(0, str(ROOT / "bindings-tests/docs"))
    from test_docs import play

    directory.mkdir()
    play("tutorial", directory, python)


def without_programs(folder: str, names: list[str]) -> list[str]:
    """The programs of tests: many gigabytes that nothing is compiled from."""
    return [name for name in names if folder.endswith("/deps") and "." not in name]


def test_the_source_distribution_builds_to_the_same_wheel(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    assert sdist.stat().st_size < MAX_SDIST_BYTES
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = tmp_path.glob("unsandbox-*")
    # What others wrote is compiled already; our own crates are compiled again, out of the distribution.
    target = tmp_path / "target"
    for folder in ("deps", "build", ".fingerprint"):
        shutil.copytree(TARGET / "debug" / folder, target / "debug" / folder, ignore=without_programs)
    for path in (source / "crates").rglob("*"):
        os.utime(path)
    out = tmp_path / "out"
    maturin("build", "-q", "--profile", "dev", "--out", out, cwd=source, CARGO_TARGET_DIR=str(target))
    (again,) = out.glob("*.whl")
    assert again.name == wheel.name
    one, two = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert set(one.namelist()) == set(two.namelist())
    # The list of materials names the folder it was built in, debug information too.
    apart = {f"{INFO}/RECORD", f"{INFO}/sboms/unsandbox-python.cyclonedx.json", "unsandbox/_native.abi3.so"}
    assert [name for name in one.namelist() if name not in apart and one.read(name) != two.read(name)] == []
    materials = [json.loads(it.read(f"{INFO}/sboms/unsandbox-python.cyclonedx.json")) for it in (one, two)]
    named = [sorted((it["name"], it["version"]) for it in each["components"]) for each in materials]
    assert named[0] == named[1]
    module = tmp_path / "module"
    two.extractall(module)
    hello = "import unsandbox; print(unsandbox.__file__); print(unsandbox.execute('bash', 'echo again').stdout)"
    said = run(sys.executable, "-c", hello, cwd=tmp_path, PYTHONPATH=str(module), UNSANDBOX_URL="local:")
    assert said == f"{module}/unsandbox/__init__.py\nagain\n\n"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Python's many ways to name a file or an argument, brought to the one form that the core takes.

Limits are not checked here: the core does that, with the same words on every face.
"""

from __future__ import annotations

import codecs
import os

from ._errors import InvalidRequestError
from ._native import OPTIONS

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from ._shapes import InputFiles, Stdin, Tree


def input_files(files: InputFiles | None) -> list[tuple[str | None, bytes]]:
    """Read input files into names and bytes.

    Args:
        files: A mapping of names to contents (bytes, text, open files, or `pathlib.Path` to read),
            or a series of paths (str or `os.PathLike`), bytes, open files and (name, content) pairs.

    Returns:
        Pairs of name and bytes; the name None means "call it by its index".

    Raises:
        InvalidRequestError: An entry is none of these.
        OSError: A file cannot be read.
    """
    if files is None:
        return []
    # Not above: it brings the whole of `collections` into every import of the package.
    from collections.abc import Mapping as MappingType

    if isinstance(files, MappingType):
        named: Iterable[tuple[str, Any]] = files.items()
        return [(name, _content(name, content)) for name, content in named]
    if isinstance(files, (str, bytes, os.PathLike)) or not hasattr(files, "__iter__"):
        raise InvalidRequestError(
            f"input_files must be a mapping or a series of files, got {type(files).__name__}"
        )
    return [_entry(entry) for entry in files]


def _entry(entry: Any) -> tuple[str | None, bytes]:
    if isinstance(entry, tuple) and len(entry) == 2:
        name, content = entry
        return name, _content(name, content)
    if isinstance(entry, (str, os.PathLike)):
        return os.path.basename(entry), _read(entry)
    if isinstance(entry, (bytes, bytearray, memoryview)):
        return None, bytes(entry)
    if hasattr(entry, "read"):
        name = getattr(entry, "name", None)
        return os.path.basename(name) if isinstance(name, str) else None, _content(name, entry)
    raise InvalidRequestError(
        "an entry of input_files must be a path, bytes, an open file or a pair of name and content, "
        f"got {type(entry).__name__}"
    )


def _content(name: object, content: Any) -> bytes:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, os.PathLike):
        return _read(content)
    if hasattr(content, "read"):
        return _content(name, content.read())
    raise InvalidRequestError(
        f"the content of input file {name!r} must be bytes, text, a path or an open file, "
        f"got {type(content).__name__}"
    )


#: One more than the limit: the core refuses them by their number, and no more are read.
TREE_MAX_COUNT = 1_001


def tree(files: Tree) -> list[tuple[str, bytes]]:
    """Read a tree of files into paths and bytes.

    Args:
        files: A mapping of paths to contents, in which a mapping or the `pathlib.Path` of a folder
            stands for a folder; or the path of a folder, for everything in it.

    Raises:
        InvalidRequestError: It is none of these.
        OSError: A file cannot be read.
    """
    from collections.abc import Mapping as MappingType

    found: list[tuple[str, bytes]] = []

    def add(path: str, content: Any) -> None:
        if len(found) >= TREE_MAX_COUNT:
            return
        if isinstance(content, MappingType):
            for name, inner in content.items():
                if not isinstance(name, str):
                    raise InvalidRequestError(f"a path in files must be text, got {name!r}")
                add(f"{path}/{name}" if path else name, inner)
        elif isinstance(content, os.PathLike) and os.path.isdir(content):
            folder(path, os.fspath(content))
        else:
            found.append((path, _content(path, content)))

    def folder(path: str, place: str) -> None:
        for name in sorted(os.listdir(place)):
            inner = os.path.join(place, name)
            own = f"{path}/{name}" if path else name
            # A link to a folder may lead back.
            if os.path.isdir(inner) and not os.path.islink(inner):
                folder(own, inner)
            elif os.path.isfile(inner) and len(found) < TREE_MAX_COUNT:
                found.append((own, _read(inner)))

    if isinstance(files, MappingType):
        add("", files)
    elif isinstance(files, (str, os.PathLike)) and os.path.isdir(files):
        folder("", os.fspath(files))
    else:
        raise InvalidRequestError(
            f"files must be a mapping of paths to contents or the path of a folder, got {files!r:.80}"
        )
    return found


def _read(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def stdin_bytes(stdin: Stdin) -> bytes:
    """Standard input as bytes; text is encoded as UTF-8, files are read to their end."""
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        return bytes(stdin)
    if isinstance(stdin, str):
        return stdin.encode()
    from . import _stdin

    if _stdin.is_stream(stdin) or hasattr(stdin, "read"):
        return _stdin.whole(stdin)
    raise InvalidRequestError(
        f"stdin must be bytes, text, a path or an open file, got {type(stdin).__name__}"
    )


#: The options of a call. Those of a request are `_native.OPTIONS`; `_shapes` has the types of all.
CALL = ("timeout", "on_stdout", "on_stderr", "check")


def split(
    options: Mapping[str, Any], *, callbacks: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the options of the request in the form that the core takes, and those of the call.

    Args:
        options: Keyword arguments of a caller.
        callbacks: Whether the call waits for the program's end: it takes callbacks, and a stream as
            standard input, which is then among the options of the call.

    Raises:
        TypeError: A name is not that of an option.
    """
    if not options:
        return {}, {}
    known = check(options, callbacks=callbacks)
    request = {name: value for name, value in options.items() if name in OPTIONS}
    if request.get("input_files") is not None:
        request["input_files"] = input_files(request["input_files"])
    if request.get("files") is not None:
        request["files"] = tree(request["files"])
    call = {name: value for name, value in options.items() if name in known}
    if request.get("stdin") is not None:
        from . import _stdin

        if callbacks and _stdin.is_stream(request["stdin"]):
            call["stdin"] = request.pop("stdin")
        else:
            request["stdin"] = stdin_bytes(request["stdin"])
    return request, call


def check(options: Mapping[str, Any], *, callbacks: bool = False) -> tuple[str, ...]:
    """Raise TypeError for an unknown name; return the names of the call's own options."""
    known = CALL if callbacks else CALL[:1]
    for name in options:
        if name not in OPTIONS and name not in known:
            raise TypeError(_unknown(name, (*OPTIONS, *known)))
    return known


def _unknown(name: str, known: tuple[str, ...]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return f"unexpected keyword argument {name!r}{guess}"


class TextOutput:
    """Gives output to callbacks as text; characters that are cut in two wait for their rest."""

    def __init__(
        self,
        on_stdout: Callable[[str], object] | None,
        on_stderr: Callable[[str], object] | None,
    ) -> None:
        make = codecs.getincrementaldecoder("utf-8")
        self._sinks = [
            (on_stdout, make("replace")),
            (on_stderr, make("replace")),
        ]

    def __call__(self, is_stderr: bool, data: bytes, final: bool = False) -> None:
        sink, decoder = self._sinks[is_stderr]
        text = decoder.decode(data, final)
        if sink is not None and text:
            sink(text)

    def finish(self) -> None:
        """Give what is left of a character that never got its rest."""
        for is_stderr in (False, True):
            self(is_stderr, b"", final=True)

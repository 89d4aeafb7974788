# SPDX-License-Identifier: MIT OR Apache-2.0
"""The text that passes between the runner and the drivers of each language.

A case is a block of lines, from `case NAME` to `end`; a line is words between single spaces. A byte of a
word that is not printable ASCII, or is `%`, is written `%XX`; `%*N:` before the rest of a word says that
the rest is meant N times over. A driver needs no parser of JSON or TOML for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PLAIN = frozenset(range(0x21, 0x7F)) - {0x25}


@dataclass(frozen=True)
class Repeat:
    """Text that is meant many times over, so that no line has megabytes."""

    count: int
    text: bytes

    @property
    def expanded(self) -> bytes:
        return self.text * self.count


Word = str | bytes | int | Repeat


def encode_word(word: Word) -> str:
    if isinstance(word, Repeat):
        return f"%*{word.count}:{encode_word(word.text)}"
    data = word if isinstance(word, bytes) else str(word).encode()
    return "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in data)


def decode_word(word: str) -> bytes:
    count = 1
    if word.startswith("%*"):
        digits, _, word = word[2:].partition(":")
        count = int(digits)
    head, *parts = word.split("%")
    rest = b"".join(bytes([int(part[:2], 16)]) + part[2:].encode() for part in parts)
    return (head.encode() + rest) * count


def encode_line(words: Iterable[Word]) -> str:
    return " ".join(encode_word(word) for word in words)


def decode_blocks(lines: Iterable[str]) -> Iterator[list[list[bytes]]]:
    """The blocks of a stream; each ends with `end`, which is left out."""
    block: list[list[bytes]] = []
    for line in lines:
        words = [decode_word(word) for word in line.rstrip("\n").split(" ")]
        if words == [b"end"]:
            yield block
            block = []
        else:
            block.append(words)


def usage_lines(usage: Mapping[str, Any]) -> list[list[Word]]:
    """The usage of a key as every face prints it: names in the form of the server's reply, without what is null."""
    fields = {**usage, **usage["limits"]}
    return [[f"usage_{name}", _joined(fields[name])] for name in fields if name not in ("limits", "json") and fields[name] is not None]


def _joined(value: Any) -> Word:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={count}" for name, count in value.items())
    return value if isinstance(value, (str, int)) else " ".join(value)

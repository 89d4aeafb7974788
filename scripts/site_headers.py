# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes pages out of the headers: a heading, the words and the declaration of each thing in them.

mkdocs calls it for each page; the pages on C and C++ say where the header goes. The headers themselves are
what is checked elsewhere (names, signatures, compiling); a part that this does not understand is an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

INCLUDE = Path(__file__).resolve().parents[1] / "include"
PLACE = re.compile(r"^<!-- header: (?P<name>\S+) -->$", re.MULTILINE)
#: A section of the C header, or a thing with the words before it.
PART = re.compile(
    r"^/\* (?P<section>[A-Z][^\n]*?) \*/$"
    r"|^/\*\*\n(?P<words>(?: \*[^\n]*\n)+?) \*/\n(?P<thing>[^\n]+(?:\n[^\n]+)*)",
    re.MULTILINE,
)
MARKS = re.compile(r"^(?:UNSANDBOX_(?:API|NODISCARD)\s+)+")
#: Of a macro, a type of functions, a structure or enumeration with its fields, a function, another type.
NAME = re.compile(r"\A#define (\w+)|\A[^{]*\(\*(\w+)\)|^\} (\w+);|\A[^{]*?(\w+)\(|(\w+);\s*\Z", re.MULTILINE)
TAG = re.compile(r"^@(?P<tag>param|return|since)\s+", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the pages of the headers where a page asks for them."""
    return PLACE.sub(lambda match: RENDER[match["name"]](), markdown)


def c_reference() -> str:
    text = (INCLUDE / "unsandbox.h").read_text()
    out = ["## Types"]
    for part in PART.finditer(text[text.index("#ifndef LIBUNSANDBOX_H") :]):
        if part["section"]:
            # Remarks between declarations end in a full stop; headings do not.
            out += [] if part["section"].endswith(".") else [f"## {part['section']}"]
        else:
            words = re.sub(r"^ \* ?", "", part["words"], flags=re.MULTILINE)
            out.append(c_thing(words, part["thing"]))
    return "\n\n".join(out)


def c_thing(words: str, declaration: str) -> str:
    declaration = MARKS.sub("", declaration)
    head = NAME.search(declaration)
    if not head:
        raise ValueError(f"no name in the header's {declaration!r}")
    name = next(it for it in head.groups() if it)
    first, *tags = TAG.split(words)
    out = [f"### {name}", f"```c\n{declaration.rstrip()}\n```", prose(first)]
    out += c_tags(list(zip(tags[::2], tags[1::2], strict=True)))
    return "\n\n".join(it for it in out if it)


def c_tags(tags: list[tuple[str, str]]) -> list[str]:
    rows = []
    after = []
    for tag, text in tags:
        text = prose(re.sub(r"\n +", "\n", text))
        if tag == "param":
            name, _, meaning = text.partition(" ")
            rows.append(f"| `{name}` | {cell(meaning.strip())} |")
        elif tag == "return":
            after.append(f"**Gives** {text}")
    return (["| argument | |\n|---|---|\n" + "\n".join(rows)] if rows else []) + after


def cpp_reference() -> str:
    """One section for each class and function, with the words of its own comments left in place."""
    text = (INCLUDE / "unsandbox.hpp").read_text()
    body = text[text.index("namespace unsandbox {") : text.rindex("} // namespace unsandbox")]
    body = re.sub(r"^namespace detail \{.*?^\} // namespace detail$", "", body, flags=re.MULTILINE | re.DOTALL)
    out = []
    for part in re.finditer(
        r"^(?P<words>(?:/// [^\n]*\n)+)(?P<code>(?:template [^\n]*\n)?(?:[a-z][^\n]*[;}]$|[a-z].*?^\}[^\n]*$))",
        body,
        re.MULTILINE | re.DOTALL,
    ):
        head = re.sub(r"^template [^\n]*\n", "", part["code"]).split("{")[0]
        name = re.search(r"^(?:class|struct|enum class)(?: \[\[\w+\]\])? (\w+)|(\w+)\(", head)
        if not name:
            raise ValueError(f"no name in the header's {head!r}")
        words = re.sub(r"^/// ?", "", part["words"], flags=re.MULTILINE)
        code = public(part["code"].rstrip())
        out.append(f"## {name[1] or name[2]}\n\n{prose(words)}\n\n```cpp\n{code}\n```")
    return "\n\n".join(out)


def public(code: str) -> str:
    """A class without what is its own business."""
    return re.sub(r"\n+^ *private:\n.*?(?=^\})", "\n", code, flags=re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Comments as Markdown: paragraphs as they are, names of this library as code, nothing as markup."""
    kept = [line if line.startswith("    ") else escape(line) for line in text.strip().split("\n")]
    return "\n".join(kept).strip()


def escape(line: str) -> str:
    line = re.sub(r"([<*])", r"\\\1", line)
    return re.sub(r"(?<![\w`])(_?(?:unsandbox_|UNSANDBOX_)\w+|_[A-Z]+\w*)", r"`\1`", line)


def cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


RENDER = {"unsandbox.h": c_reference, "unsandbox.hpp": cpp_reference}

# SPDX-License-Identifier: MIT OR Apache-2.0
"""How a result looks in a notebook.

All of it was chosen by a program that nobody trusts, so nothing reaches the page but escaped text and
images whose kind was told by their bytes.
"""

from __future__ import annotations

import base64
import html
import re

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Artifact, ExecutionResult

#: More text than this is cut in the middle: a page of many megabytes stops a browser.
SHOWN_CHARACTERS = 40_000
#: Images beyond this, together, are only named.
SHOWN_IMAGE_BYTES = 8 << 20

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
#: Escape sequences of terminals: with parameters, with text (titles, links), and short ones.
_TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?"
)
#: Controls, and the marks that let text run in a direction in which it does not read.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# MathJax, which notebooks run over a page, would find formulas (and so links) in the text.
_OUTER = '<div class="unsandbox-result mathjax_ignore tex2jax_ignore">'
_PRE = "margin:0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate"
_ERROR = f"{_PRE};color:#c62828"
_FOOTER = "margin-top:.4em;font-size:85%;opacity:.7;unicode-bidi:isolate"


def plain(text: str) -> str:
    """Text without what a terminal would obey."""
    text = _TERMINAL.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub("\ufffd", text)


def result_html(result: ExecutionResult) -> str:
    """Draw a result: output, errors in colour, images, and one line on how it ran.

    Args:
        result: What to draw.

    Returns:
        HTML, in which everything that came from the program or the server is escaped.
    """
    parts = [_OUTER]
    if result.stdout_bytes:
        parts.append(_text(result.stdout, _PRE, "stdout"))
    if result.stderr_bytes:
        parts.append(_text(result.stderr, _ERROR, "stderr"))
    if result.error:
        parts.append(_text(result.error, _ERROR, "error"))
    parts.extend(_artifacts(result.artifacts))
    parts.append(f'<div style="{_FOOTER}">{_escape(footer(result))}</div></div>')
    return "".join(parts)


def footer(result: ExecutionResult) -> str:
    """Say in one line how a program ran: language, end, time, mode."""
    words = [result.language or result.detected_language]
    if result.status != "completed":
        words.append(result.status)
    elif not result.success:
        words.append("exit code unknown" if result.exit_code is None else f"exit code {result.exit_code}")
    if result.total_time_ms is not None:
        words.append(f"{result.total_time_ms} ms")
    words += [result.execution_mode, result.network_mode]
    return " · ".join(word for word in words if word)


def _escape(text: str) -> str:
    return html.escape(plain(text))


def _text(text: str, style: str, kind: str) -> str:
    left_out = len(text) - SHOWN_CHARACTERS
    if left_out > 0:
        half = SHOWN_CHARACTERS // 2
        text = f"{text[:half]}\n… {left_out} characters are left out …\n{text[-half:]}"
    return f'<pre class="unsandbox-{kind}" style="{style}">{_escape(text)}</pre>'


def _artifacts(artifacts: tuple[Artifact, ...]) -> list[str]:
    """Images as images, everything else by its name and size."""
    parts = []
    room = SHOWN_IMAGE_BYTES
    for artifact in artifacts:
        content = artifact.content
        kind = next((kind for start, kind in _IMAGES if content.startswith(start)), None)
        name = _escape(artifact.filename)
        if kind is not None and len(content) <= room:
            room -= len(content)
            data = base64.b64encode(content).decode()
            parts.append(
                f'<div><img src="data:{kind};base64,{data}" alt="{name}" title="{name}"'
                ' style="max-width:100%"></div>'
            )
        else:
            parts.append(f'<div style="{_PRE}">{name}, {len(content)} bytes</div>')
    return parts

# SPDX-License-Identifier: MIT OR Apache-2.0
"""How results look: in a notebook, where hostile output stays text, and on a screen."""

from __future__ import annotations

import base64
import pickle
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import unsandbox
from unsandbox import _display

PNG = b"\x89PNG\r\n\x1a\nrest"
HOSTILE = "</pre><script>alert(1)</script><img src=x onerror='alert(\"2\")'>&amp;"


class Page(HTMLParser):
    """What a browser would make of it: the tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def result(**fields: Any) -> unsandbox.ExecutionResult:
    return unsandbox.ExecutionResult(**{"success": True, "status": "completed", **fields})


def artifact(name: str, content: bytes, kind: str = "file") -> unsandbox.Artifact:
    return unsandbox.Artifact(name, "safe", kind, content)


def page(value: unsandbox.ExecutionResult) -> Page:
    return Page(value._repr_html_())


def test_a_result_in_a_notebook() -> None:
    shown = page(
        result(
            success=False,
            exit_code=3,
            stdout_bytes=b"out\n",
            stderr_bytes=b"err\n",
            error="it failed",
            language="python",
            total_time_ms=12,
            execution_mode="cold",
            network_mode="zerotrust",
            artifacts=(artifact("plot.png", PNG), artifact("data.csv", b"1,2")),
        )
    )
    assert shown.text == [
        "out\n",
        "err\n",
        "it failed",
        "data.csv, 3 bytes",
        "python · exit code 3 · 12 ms · cold · zerotrust",
    ]
    coloured = [tags["class"] for _, tags in shown.tags if "color:" in (tags.get("style") or "")]
    assert coloured == ["unsandbox-stderr", "unsandbox-error"]
    (image,) = [tags for tag, tags in shown.tags if tag == "img"]
    assert image["src"] == "data:image/png;base64," + base64.b64encode(PNG).decode()


def test_what_is_hostile_stays_text() -> None:
    text = HOSTILE.encode()
    words = result(
        stdout_bytes=text,
        stderr_bytes=text,
        error=HOSTILE,
        language=HOSTILE,
        detected_language=HOSTILE,
        execution_mode=HOSTILE,
        network_mode=HOSTILE,
        status=HOSTILE,
        artifacts=(
            artifact('x" onload="alert(1)', PNG),
            artifact(HOSTILE, text),
            artifact("x.svg", b"<svg onload='alert(1)'/>", kind=HOSTILE),
            artifact("x.png", b"<html>" + text),
        ),
    )
    shown = page(words)
    assert {tag for tag, _ in shown.tags} == {"div", "pre", "img"}
    for _, attributes in shown.tags:
        assert set(attributes) <= {"class", "style", "src", "alt", "title"}
    (image,) = [attributes for tag, attributes in shown.tags if tag == "img"]
    assert image["alt"] == image["title"] == 'x" onload="alert(1)'
    # All of it can be read, and MathJax, which makes links out of text, is told to leave it.
    assert shown.text.count(HOSTILE) == 3
    assert "mathjax_ignore" in (shown.tags[0][1]["class"] or "")


def test_controls_of_terminals_and_of_direction_are_taken_out() -> None:
    cases = {
        "\x1b[31mred\x1b[0m": "red",
        "\x1b]8;;https://x\x07link\x1b]8;;\x1b\\": "link",
        "\x1b]0;title": "",
        "\x1b(Bplain\x1bc": "plain",
        "10 %\r20 %\r\ndone": "10 %\n20 %\ndone",
        "a\0b\x08\u202eevil\u2066": "a\ufffdb\ufffd\ufffdevil\ufffd",
        "tab\tline\n": "tab\tline\n",
    }
    for given, expected in cases.items():
        assert _display.plain(given) == expected


def test_much_of_it_is_cut() -> None:
    shown = result(stdout_bytes=b"a" * 10**6)._repr_html_()
    assert len(shown) < 50_000 and "960000 characters are left out" in shown
    huge = artifact("huge.png", PNG + bytes(_display.SHOWN_IMAGE_BYTES))
    shown = result(artifacts=(huge, artifact("small.png", PNG)))._repr_html_()
    assert shown.count("<img") == 1 and f"huge.png, {len(huge.content)} bytes" in shown


def test_footers() -> None:
    assert _display.footer(result()) == ""
    assert _display.footer(result(success=False)) == "exit code unknown"
    late = result(success=False, status="timeout", language="c", exit_code=124, total_time_ms=7)
    assert _display.footer(late) == "c · timeout · 7 ms"
    assert _display.footer(result(detected_language="perl")) == "perl"


def test_a_repr_fits_a_screen_whatever_is_in_it() -> None:
    long = "x" * 10**6
    value = result(
        stdout_bytes=long.encode(),
        stderr_bytes=long.encode(),
        error=long,
        language=long,
        job_id=long,
        limit=long,
        artifacts=tuple(artifact(long, b"") for _ in range(100)),
    )
    assert len(repr(value)) < 80 * 40 and "... 95 more" in repr(value)
    assert "\x1b" not in repr(result(stdout_bytes=b"\x1b[2J"))


def test_matching_by_place_and_by_name() -> None:
    match result(stdout_bytes=b"out"):
        case unsandbox.ExecutionResult(True, "completed", b"out", b""):
            pass
        case _:
            pytest.fail("did not match by place")
    match artifact("a.txt", b"1"):
        case unsandbox.Artifact(filename=name, content=b"1"):
            assert name == "a.txt"
        case _:
            pytest.fail("did not match by name")
    assert unsandbox.ExecutionResult.__match_args__[:2] == ("success", "status")


def test_every_kind_of_value_travels_by_pickle() -> None:
    values = [
        result(artifacts=(artifact("a", b"\0"),), usage=unsandbox.Usage(1, 2)),
        unsandbox.Isolation("full", ("user",), ()),
        unsandbox.JobInfo("job-1", "completed", result=result()),
        unsandbox.Language("python"),
        unsandbox.KeyInfo(True),
        unsandbox.Health(True, "ok"),
        unsandbox.KeyUsage(
            None, 0, 0, 0, 0, None, 7, {"completed": 1}, 0, 0,
            unsandbox.KeyAllowance(4, 0, 1000, 1, None, None, 900, {}, "semitrusted", None),
        ),
        unsandbox.Probe("full", (unsandbox.Layer("a", True, "b", "c"),)),
    ]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert [pickle.loads(pickle.dumps(value, protocol)) for value in values] == values


def test_every_error_travels_by_pickle_with_all_that_it_carries() -> None:
    kinds = unsandbox.UnsandboxError.__subclasses__()
    given: dict[str, Any] = {
        "http_status": 429, "body": "words", "retry_after": 1.5, "may_have_run": True,
        "cause": "below", "job_id": "job-1",
    }  # fmt: skip
    errors = [kind("text", **given) for kind in kinds if kind is not unsandbox.ExecutionError]
    failed = unsandbox.ExecutionError(result(success=False, exit_code=3, stdout_bytes=b"o"), "why")
    for error in (*errors, failed):
        error.note = "kept"  # type: ignore[union-attr]
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error) and str(copy) == str(error)
        assert vars(copy) == vars(error)
    assert (failed.returncode, failed.output, failed.stderr) == (3, "o", "")
    assert re.match("why", str(failed))

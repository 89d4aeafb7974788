# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pictures of the console at two sizes, light and dark, and what axe says of each view. The pictures are in build/console."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import PICTURES, Watched, type_program

PROGRAM = """import sys, time
print("reading 3 files")
print("warning: one of them is empty", file=sys.stderr)
open("plot.svg", "w").write('<svg xmlns="http://www.w3.org/2000/svg" width="320" height="120"><rect width="320" height="120" fill="#e8f1f8"/><path d="M10 100 L80 60 L150 80 L220 30 L310 20" fill="none" stroke="#0b5c8f" stroke-width="4"/></svg>')
open("report.html", "w").write("<h1 style='color: teal'>Report</h1>")
print("done in", 3, "steps")
"""


def check(watched: Watched, name: str) -> None:
    """A picture, and no violation of WCAG 2.2 AA."""
    # Playwright would hide the caret by a style, which the policy of the page refuses.
    watched.page.screenshot(path=PICTURES / f"{name}.png", caret="initial")
    found = Axe().run(watched.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
    wrong = [(it["id"], it["help"], [(node["html"], node["failureSummary"]) for node in it["nodes"]]) for it in found.response["violations"]]
    assert wrong == []


@pytest.mark.parametrize("size", ["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible_at_both_sizes_light_and_dark(console, open_server, size, scheme):
    watched = console(open_server, size, scheme)
    page, name = watched.page, f"{size}-{scheme}"
    page.get_by_text("healthy").wait_for()
    check(watched, f"{name}-1-start")
    type_program(watched, PROGRAM)
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Files to give back").fill("*.svg\n*.html")
    check(watched, f"{name}-2-options")
    page.locator("summary", has_text="Options").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("completed").wait_for()
    page.get_by_role("button", name="Show report.html").click()
    page.frame_locator("iframe").get_by_role("heading", name="Report").wait_for()
    check(watched, f"{name}-3-run")
    page.get_by_role("button", name="Run as job").click()
    page.locator("#job-pane").get_by_text("completed").wait_for()
    page.locator("#jobs-list").get_by_text("completed").wait_for()
    check(watched, f"{name}-4-jobs")
    page.get_by_role("link", name="Server").click()
    page.get_by_role("heading", name="Languages").wait_for()
    check(watched, f"{name}-5-server")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dialog_of_the_key_is_accessible(console, keyed_server, scheme):
    watched = console(keyed_server, "narrow", scheme)
    watched.page.get_by_role("dialog").wait_for()
    check(watched, f"narrow-{scheme}-6-key")

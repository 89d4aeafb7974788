# SPDX-License-Identifier: MIT OR Apache-2.0
"""What people do at the console: run with live output, stop, options, artifacts, jobs, the key, and all of it by keyboard."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from .conftest import KEY, type_program

#: Prints, and goes on until it is stopped: what is seen of it was seen before its end.
ENDLESS = 'import time\nprint("the first line")\nwhile True:\n    time.sleep(0.05)\n'


def run(watched, text):
    """Runs a program of Python by the button, and waits for its end."""
    type_program(watched, text)
    watched.page.get_by_role("button", name="Run", exact=True).click()
    expect(watched.page.locator("#run-result .badge")).to_have_text("completed")


def test_output_appears_while_the_program_runs_and_stop_ends_it(console, open_server):
    page = (watched := console(open_server)).page
    type_program(watched, ENDLESS)
    page.get_by_role("button", name="Run", exact=True).click()
    output, badge = page.locator("#run-result .output"), page.locator("#run-result .badge")
    expect(output).to_have_text("the first line\n")
    expect(badge).to_have_text("running")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    expect(badge).to_have_text("cancelled")
    expect(output).to_have_text("the first line\n")
    # The focus was on a button that cannot be pressed any more.
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_focused()


def test_options_and_input_files_reach_the_program(console, open_server, tmp_path: Path):
    page = (watched := console(open_server)).page
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 200)
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Standard input").fill("typed")
    page.get_by_label("Arguments").fill("a b\nc")
    page.get_by_label("Environment").fill("NAME=a=b")
    page.get_by_label("Seconds that it may run").fill("7")
    page.get_by_label("Limits").fill("open_files=99")
    page.locator("summary", has_text="Input files").click()
    page.get_by_label("Files for the working directory").set_input_files(tmp_path / "data.bin")
    expect(page.locator("#options-count")).to_contain_text("5")
    script = "import os, sys, resource\nprint(sys.argv[1:], sys.stdin.read(), os.environ['NAME'])\n"
    script += "print(sum(open('data.bin', 'rb').read()), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    run(watched, script)
    expect(page.locator("#run-result .output")).to_have_text(f"['a b', 'c'] typed a=b\n{sum(range(256)) * 200} 99\n")
    page.get_by_label("Limits").fill("open_files=many")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="open_files")).to_contain_text("it takes a whole number")


def test_a_language_can_be_chosen_or_detected(console, open_server):
    page = (watched := console(open_server)).page
    page.get_by_label("Language").select_option("bash")
    # A sample makes room for that of another language.
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run-result .output")).to_contain_text("step 5")
    page.get_by_label("Language").select_option("detect it")
    run(watched, "#!/bin/bash\necho detected $((6 * 7))\n")
    expect(page.locator("#run-result .output")).to_have_text("detected 42\n")


def test_how_a_program_failed_is_told(console, open_server):
    page = (watched := console(open_server)).page
    type_program(watched, "import sys\nprint('why', file=sys.stderr)\nsys.exit(3)")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-result .badge.bad")).to_have_text("completed")
    expect(page.get_by_role("status").filter(has_text="completed")).to_contain_text("exit code 3")
    expect(page.locator("#run-result .output .stderr")).to_have_text("why\n")


def test_a_flood_of_output_is_cut_on_the_page_and_saved_whole(console, open_server):
    page = (watched := console(open_server)).page
    run(watched, "print(('x' * 99 + '\\n') * 15000, end='')")
    expect(page.locator("#run-result .output")).to_contain_text("the rest is not shown")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save stdout").click()
    assert Path(download.value.path()).stat().st_size == 1_500_000


def test_pictures_are_shown_and_files_saved(console, open_server):
    page = (watched := console(open_server)).page
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/5ZTfVQAAAABJRU5ErkJggg=="
    script = f"import base64\nopen('dot.png', 'wb').write(base64.b64decode('{pixel}'))\nopen('data.dat', 'wb').write(bytes(range(256)))\n"
    run(watched, script)
    # The first run names what it left; the next one gives it back.
    page.get_by_role("button", name="Give back next time").click()
    page.get_by_role("button", name="Run", exact=True).click()
    picture = page.get_by_role("img", name="Picture dot.png")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Save data.dat").click()
    assert download.value.suggested_filename == "data.dat"
    assert Path(download.value.path()).read_bytes() == bytes(range(256))


def test_a_job_is_followed_and_cancelled(console, open_server):
    page = (watched := console(open_server)).page
    type_program(watched, ENDLESS)
    page.get_by_role("button", name="Run as job").click()
    expect(page).to_have_url(f"{open_server}/#jobs")
    row = page.locator("#jobs-list tbody tr").first
    expect(row).to_contain_text("running")
    expect(page.locator("#jobs-count")).to_contain_text("1")
    expect(page.locator("#job-pane .output")).to_have_text("the first line\n")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-pane .badge")).to_have_text("cancelled")
    expect(row).to_contain_text("cancelled")
    # A reload finds it again: this tab has submitted it.
    page.reload()
    page.locator("#jobs-list tbody tr button").first.click()
    expect(page.locator("#job-pane .output")).to_have_text("the first line\n")


def test_a_job_that_has_ended_is_deleted_at_the_server(console, open_server):
    page = (watched := console(open_server)).page
    type_program(watched, ENDLESS)
    page.get_by_role("button", name="Run as job").click()
    expect(page.locator("#job-pane .output")).to_have_text("the first line\n")
    expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    page.get_by_role("button", name="Cancel").click()
    job = page.locator("#job-pane h3").inner_text()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#job-pane")).to_contain_text("Choose a job")
    expect(page.locator(f"[data-job='{job}']")).to_have_count(0)
    assert page.request.get(f"{open_server}/jobs/{job}").status == 404


def test_the_server_is_described(console, open_server):
    page = console(open_server).page
    page.get_by_role("link", name="Server").click()
    expect(page.get_by_role("region", name="Checks")).to_contain_text("jailer")
    expect(page.get_by_role("region", name="Limits of a request")).to_contain_text("memory_bytes")
    usage = page.get_by_role("region", name="Usage of this key").locator("tr", has_text="Programs that run")
    expect(usage).to_contain_text("0")
    expect(page.get_by_role("heading", name="Usage").locator("..")).to_contain_text("of processor time")
    expect(page.get_by_role("region", name="Languages that run")).to_contain_text("python")
    expect(page.locator("#health")).to_have_text("healthy")


def test_a_key_is_asked_for_checked_and_kept_in_the_tab_alone(console, keyed_server):
    page = (watched := console(keyed_server)).page
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    field = page.get_by_label("Bearer key")
    expect(field).to_be_focused()
    field.fill("another-key")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("does not know this key")
    field.fill(KEY)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    run(watched, "print(6 * 7)")
    expect(page.locator("#run-result .output")).to_have_text("42\n")
    page.reload()
    expect(page.get_by_role("button", name="Key")).to_be_visible()
    expect(dialog).to_be_hidden()
    kept = page.evaluate("JSON.stringify([{ ...localStorage }, document.cookie, location.href])")
    assert kept == f'[{{}},"","{keyed_server}/"]'
    assert not any(KEY in url for url in watched.asked)
    # Another tab has it not.
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href, '_blank', 'noopener') && null")
    expect(opened.value.get_by_role("dialog")).to_be_visible()
    opened.value.close()
    page.get_by_role("button", name="Key").click()
    page.get_by_role("button", name="Forget it").click()
    assert page.evaluate("sessionStorage.getItem('unsandbox.key')") is None


def test_a_refusal_takes_nothing_from_the_key_that_is_typed(console, keyed_server):
    page = (watched := console(keyed_server)).page
    field = page.get_by_label("Bearer key")
    field.fill(KEY[:5])
    page.evaluate("import('./console/api.js').then((api) => api.keyRefused.dispatchEvent(new Event('refused')))")
    expect(field).to_have_value(KEY[:5])
    # The view of jobs asks once, and again after the key is known.
    page.goto(f"{keyed_server}/#jobs")
    expect(page.locator("#jobs-list")).to_contain_text("key")
    field.fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#jobs-list")).to_contain_text("No jobs")
    assert watched.complaints == []


def test_everything_is_reached_by_the_keyboard(console, open_server):
    page = console(open_server).page
    expect(page.locator("#health")).to_have_text("healthy")
    names = "e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText.trim()"
    focused = f"(({names})(document.activeElement.shadowRoot?.activeElement ?? document.activeElement))"

    def tabs(number):
        seen = []
        for _ in range(number):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(focused))
        return seen

    assert tabs(10) == ["Skip to the content", "Run", "Jobs", "Server", "Language", "Run as job", "Run", "Program", "Options", "Input files"]
    # The skip link passes the bar by.
    page.reload()
    assert tabs(1) == ["Skip to the content"]
    page.keyboard.press("Enter")
    assert tabs(4) == ["Language", "Run as job", "Run", "Program"]
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-result .badge")).to_have_text("completed")
    # What has the focus is seen to have it.
    assert tabs(3) == ["Options", "Input files", "Output"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_typing_over_a_selection_breaks_no_rule(console, open_server):
    page = (watched := console(open_server)).page
    page.get_by_role("textbox", name="Program").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("print(1)")
    assert page.get_by_role("textbox", name="Program").inner_text().strip() == "print(1)"
    page.keyboard.press("Control+a")
    page.keyboard.type("(")
    # A bracket goes around it, as the editor has it.
    assert page.get_by_role("textbox", name="Program").inner_text().strip() == "(print(1))"
    assert watched.complaints == []

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What programs and pages of others try at the console: to act as its viewer, to reach a server without keys, to frame it."""

from __future__ import annotations

import json
import urllib.request

from playwright.sync_api import expect

from .conftest import KEY, Other, type_program

#: Tries everything, and writes into its own page what came of it.
ATTACK = """<!doctype html><title>report</title><h1 id=done></h1><script>
const tried = {};
async function attempt(name, act) {
  try { tried[name] = "reached " + await act(); } catch (error) { tried[name] = "refused"; }
}
(async () => {
  await attempt("parent", () => parent.document.title);
  await attempt("storage", () => sessionStorage.getItem("unsandbox.key"));
  await attempt("parent storage", () => parent.sessionStorage.getItem("unsandbox.key"));
  await attempt("cookie", () => document.cookie);
  await attempt("jobs", async () => (await fetch("SERVER/jobs")).status);
  await attempt("run", async () => (await fetch("SERVER/run", { method: "POST", mode: "no-cors", body: "print(1)" })).type);
  await attempt("script", () => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.onload = resolve; script.onerror = reject; script.src = "SERVER/console/dom.js"; document.head.append(script);
  }));
  await attempt("picture", () => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = resolve; image.onerror = reject; image.src = "OTHER/picture";
  }));
  await attempt("webrtc", () => new Promise((resolve, reject) => {
    const peer = new RTCPeerConnection({ iceServers: [{ urls: "turn:TURN?transport=tcp", username: "u", credential: "c" }] });
    peer.createDataChannel("x");
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && reject();
    peer.onicecandidate = (event) => event.candidate && event.candidate.type === "relay" && resolve("a relay");
    peer.createOffer().then((offer) => peer.setLocalDescription(offer)).catch(reject);
  }));
  const hint = document.createElement("link");
  hint.rel = "preconnect"; hint.href = "OTHER/"; document.head.append(hint);
  await attempt("window", () => open("OTHER/window").name);
  await attempt("top", () => { top.location = "OTHER/top"; throw 1; });
  document.forms.length || document.body.insertAdjacentHTML("beforeend", '<form action="OTHER/form" method=post></form>');
  await attempt("form", () => { document.forms[0].submit(); throw 1; });
  document.getElementById("done").textContent = "tried " + JSON.stringify(tried);
  tried.origin = self.origin;
})();
</script>"""


def test_html_of_a_program_cannot_act_as_its_viewer(console, keyed_server, other: Other):
    page = (watched := console(keyed_server)).page
    page.get_by_label("Bearer key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    attack = ATTACK.replace("SERVER", keyed_server).replace("OTHER", other.address).replace("TURN", other.address.removeprefix("http://"))
    type_program(watched, f"open('report.html', 'w').write({attack!r})")
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Files to give back").fill("*.html")
    page.keyboard.press("Control+Enter")
    # Nothing of it runs until it is asked for.
    expect(page.get_by_role("button", name="Show report.html")).to_be_visible()
    assert len(page.frames) == 1
    answered: list[str] = []
    page.on("response", lambda response: answered.append(response.url))
    page.get_by_role("button", name="Show report.html").click()
    done = page.frame_locator("iframe").locator("#done")
    expect(done).to_contain_text("tried")
    tried = json.loads(done.inner_text().removeprefix("tried "))
    assert set(tried.values()) == {"refused"}, tried
    assert len(tried) == 12
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None
    # Nor does it get anywhere by leading its own frame away.
    frame = page.frames[1]
    assert frame.evaluate("self.origin") == "null"
    with page.expect_event("console", predicate=lambda message: "frame-src" in message.text):
        frame.evaluate(f"setTimeout(() => {{ location.href = '{other.address}/away' }})")
    assert other.asked == []
    assert other.connections == 0, "WebRTC or a connection in advance"
    assert [url for url in answered if "viewer.html" not in url and "/health" not in url and not url.startswith("chrome-error:")] == []
    assert page.url == f"{keyed_server}/"
    # Each attempt was reported, and asked for by the frame; the page itself did neither.
    assert watched.complaints
    watched.complaints.clear()
    watched.asked = [url for url in watched.asked if not url.startswith(other.address)]


def test_a_picture_with_a_script_stays_a_picture(console, open_server):
    page = (watched := console(open_server)).page
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>parent.reached = top.reached = 1</script></svg>'
    type_program(watched, f"open('p.svg', 'w').write('{svg}')\nopen('<img src=x onerror=reached=1>.txt', 'w').write('<b>text</b>')\nprint('<i>out</i>')")
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Files to give back").fill("*.svg\n*.txt")
    page.keyboard.press("Control+Enter")
    picture = page.get_by_role("img", name="Picture p.svg")
    expect(picture).to_be_visible()
    # A data: address cannot be opened as a page.
    assert picture.get_attribute("src").startswith("data:image/svg+xml;base64,")
    expect(page.locator("#run-result .output")).to_have_text("<i>out</i>\n")
    expect(page.get_by_role("region", name="Text of <img")).to_have_text("<b>text</b>")
    assert page.evaluate("window.reached") is None
    assert page.locator("#run-result :is(b, i, img[src='x'])").count() == 0


def test_a_name_that_leads_here_is_refused(browser, open_server):
    page = browser.new_page()
    port = open_server.rpartition(":")[2]
    response = page.goto(f"http://rebind.test:{port}/")
    assert response.status == 403
    assert "not a loopback name" in response.text()
    # The name for this machine that people type has the page.
    assert page.goto(f"http://localhost:{port}/").status == 200
    page.close()


def answers(server: str, status: int) -> int:
    """How many requests for `/run` had this status."""
    metrics = urllib.request.urlopen(f"{server}/metrics").read().decode()
    row = f'unsandbox_http_requests_total{{method="POST",path="/run",status="{status}"}} '
    return sum(int(line.removeprefix(row)) for line in metrics.splitlines() if line.startswith(row))


def test_a_page_of_another_site_runs_nothing_and_frames_nothing(browser, open_server, other: Other):
    page = browser.new_page()
    other.page = f'<!doctype html><title>other</title><iframe src="{open_server}/"></iframe>'
    before = {status: answers(open_server, status) for status in (200, 403)}
    page.goto(other.address)
    run = "url => fetch(url, { method: 'POST', mode: 'no-cors', body: 'print(1)', headers: { 'Content-Type': 'text/plain' } }).then(() => 'sent', String)"
    page.evaluate(run, f"{open_server}/run")
    read = "url => fetch(url).then((reply) => reply.text(), () => 'refused')"
    assert page.evaluate(read, f"{open_server}/jobs") == "refused"
    # The page does not even learn the status; the server knows it.
    assert answers(open_server, 403) == before[403] + 1
    assert answers(open_server, 200) == before[200]
    assert page.frames[1].url.startswith("chrome-error:")
    page.close()

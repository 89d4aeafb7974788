# SPDX-License-Identifier: MIT OR Apache-2.0
"""The numbers in the prose of README, docs/, headers and help texts are those of the tables and of the sources.

A number with a unit on a page that no row of STATED covers fails, so that a new one gets a row. docs/limits.md is itself
compared with the table of limits, by bindings-tests/rust/tests/tables.rs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Where a number stands: a file, the pattern of its value, and the unit where the file leaves it out.
SOURCES = {
    "ttl_min": ("docs/limits.md", r"^\| ttl \| (\d+) to \d+ s", "s"),
    "ttl_max": ("docs/limits.md", r"^\| ttl \| \d+ to (\d+) s", "s"),
    "ttl_default": ("docs/limits.md", r"^\| ttl \|.*?(\d+) s unless given", "s"),
    "input_files": ("docs/limits.md", r"^\| input files \| (\d+),", "files"),
    "input_file": ("docs/limits.md", r"^\| input files \|.*?(\d+) MB each", "MB"),
    "input_files_together": ("docs/limits.md", r"^\| input files \|.*?(\d+) MB together", "MB"),
    "filename": ("docs/limits.md", r"^\| name of an input file \|.*?(\d+) bytes", "bytes"),
    "compiling": ("docs/limits.md", r"^\| compiling \| (\d+) s", "s"),
    "compiling_max": ("docs/limits.md", r"^\| compiling \|.*?never above (\d+) s", "s"),
    "idempotency": ("crates/unsandbox-protocol/src/limits.rs", r"IDEMPOTENCY_WINDOW: Duration = Duration::from_secs\((\d+)\)", "s"),
    "retry_window": ("crates/unsandbox-server/src/state.rs", r"retry_window: Duration::from_secs\((\d+)\)", "s"),
    "artifacts": ("docs/limits.md", r"^\| artifacts \| (\d+) files", "files"),
    "artifacts_together": ("docs/limits.md", r"^\| artifacts \|.*?(\d+) MB together", "MB"),
    "outputs": ("docs/limits.md", r"^\| patterns of `outputs` \| (\d+),", ""),
    "outputs_together": ("docs/limits.md", r"^\| patterns of `outputs` \|.*?(\d+) bytes together", "bytes"),
    "left_files": ("crates/unsandbox-jailer/src/init/collect.rs", r"LEFT_MAX_COUNT: usize = (\d+);", ""),
    "left_files_together": ("crates/unsandbox-jailer/src/init/collect.rs", r"LEFT_MAX_BYTES: usize = (\d+) << 10;", "KB"),
    "scanned": ("crates/unsandbox-jailer/src/init/walk.rs", r"SCANNED_MAX: usize = ([\d_]+);", ""),
    "depth": ("crates/unsandbox-jailer/src/init/walk.rs", r"DEPTH_MAX: usize = (\d+);", ""),
    "search": ("crates/unsandbox-jailer/src/init/collect.rs", r"SEARCH_TIME: Duration = Duration::from_secs\((\d+)\)", "s"),
    "signature": ("crates/unsandbox-protocol/src/limits.rs", r"SIGNATURE_WINDOW: Duration = Duration::from_secs\((\d+)\)", "s"),
    "flush": ("crates/unsandbox-cli/src/otlp.rs", r"FLUSH_TIME: Duration = Duration::from_secs\((\d+)\)", "seconds"),
    "egress_all": ("crates/unsandbox-protocol/src/limits.rs", r"EGRESS_CONNECTIONS_ALL_MAX: usize = ([\d_]+);", ""),
    "weight_max": ("crates/unsandbox-server/src/key_policy.rs", r"WEIGHT_MAX: i64 = ([\d_]+);", ""),
    "egress": ("crates/unsandbox-protocol/src/limits.rs", r"EGRESS_MAX_BYTES: u64 = (\d+) \* 1024 \* 1024;", "MB"),
    "body": ("docs/limits.md", r"^\| body of a request \| (\d+) MB", "MB"),
    "reply": ("docs/limits.md", r"^\| reply that a client reads \| (\d+) MB", "MB"),
    "queue": ("docs/limits.md", r"^\| executions at once, and waiting \|.*?and (\d+) \(", ""),
    "retention": ("docs/limits.md", r"^\| finished jobs kept \| (\d+) minutes", "minutes"),
    "retention_together": ("docs/limits.md", r"^\| finished jobs kept \|.*?(\d+) MB", "MB"),
    "page": ("crates/unsandbox-protocol/src/limits.rs", r"PAGE_MAX_JOBS: usize = ([\d_]+);", ""),
    "memory": ("docs/limits.md", r"^\| `memory_bytes` \|[^|]*\| (\d+) MB \|", "MB"),
    "output": ("docs/limits.md", r"^\| `output_bytes` \|[^|]*\| (\d+) MB \|", "MB"),
    "wait": ("crates/unsandbox-protocol/src/wire/mod.rs", r"WAIT_MAX_SECONDS: u64 = (\d+);", "s"),
    "heartbeat": ("crates/unsandbox-protocol/src/wire/events.rs", r"EVENTS_HEARTBEAT_SECONDS: u64 = (\d+);", "s"),
    "bodies": ("crates/unsandbox-protocol/src/limits.rs", r"REQUEST_BODIES_MAX_BYTES: usize = (\d+) \* 1024 \* 1024;", "MB"),
    "replies": ("crates/unsandbox-protocol/src/limits.rs", r"REPLIES_MAX_BYTES: usize = (\d+) \* 1024 \* 1024;", "MB"),
    "poll_bytes": ("crates/unsandbox-server/src/write_deadline.rs", r"POLL_BYTES: usize = (\d+) << 10;", "KB"),
    "poll_writes": ("crates/unsandbox-server/src/write_deadline.rs", r"POLL_WRITES: usize = (\d+);", ""),
    "poll_credit": ("crates/unsandbox-server/src/fair_queue.rs", r"CREDIT: Duration = Duration::from_millis\((\d+)\);", "ms"),
    "adopted_ends": ("crates/unsandbox-store/src/adopted.rs", r"KEPT_MAX: usize = ([\d_]+);", ""),
    "adopted_results": ("crates/unsandbox-store/src/adopted.rs", r"KEPT_MAX_BYTES: usize = (\d+) << 20;", "MB"),
    "adopted_requests": ("crates/unsandbox-store/src/adopted.rs", r"REQUESTS_MAX_BYTES: u64 = (\d+) << 20;", "MB"),
    "head": ("crates/unsandbox-server/src/state.rs", r"first_head: Duration::from_secs\((\d+)\)", "s"),
    "pause": ("crates/unsandbox-server/src/state.rs", r" read_timeout: Duration::from_secs\((\d+)\)", "s"),
    "http2_head": ("crates/unsandbox-server/src/serve_connection.rs", r"HEAD_BYTES: u32 = (\d+) << 10;", "KB"),
    "ping": ("crates/unsandbox-server/src/serve_connection.rs", r"PING_TIMEOUT: Duration = Duration::from_secs\((\d+)\)", "s"),
    "body_time": ("crates/unsandbox-server/src/state.rs", r"body_time: Duration::from_secs\((\d+)\)", "s"),
    "body_rate": ("crates/unsandbox-server/src/state.rs", r"body_rate: (\d+),", "bytes"),
    "reply_time": ("crates/unsandbox-server/src/state.rs", r"reply_time: Duration::from_secs\((\d+)\)", "s"),
    "reply_rate": ("crates/unsandbox-server/src/state.rs", r"reply_rate: (\d+),", "bytes"),
    "reply_room": ("crates/unsandbox-server/src/state.rs", r"reply_memory_timeout: Duration::from_secs\((\d+)\)", "s"),
    "body_room": ("crates/unsandbox-server/src/state.rs", r"BODY_MEMORY_TIMEOUT: Duration = Duration::from_secs\((\d+)\)", "s"),
    "body_safe": ("crates/unsandbox-server/src/state.rs", r"BODY_SAFE: Duration = Duration::from_secs\((\d+)\)", "s"),
    "reply_safe": ("crates/unsandbox-server/src/state.rs", r"REPLY_SAFE: Duration = Duration::from_secs\((\d+)\)", "s"),
    "place": ("crates/unsandbox-server/tests/flood.rs", r"Within this a connection has its place.*\n.*from_secs\((\d+)\)", "s"),
    "connections": ("crates/unsandbox-cli/src/serve_args.rs", r"default_value_t = (\d+), value_parser = parse_connections", ""),
    "connections_min": ("crates/unsandbox-cli/src/serve_args.rs", r"CONNECTIONS_MIN: usize = ([\d_]+);", ""),
    "connections_max": ("crates/unsandbox-cli/src/serve_args.rs", r"CONNECTIONS_MAX: usize = ([\d_]+);", ""),
    "webhook_time": ("crates/unsandbox-server/src/webhooks/mod.rs", r"DEADLINE: Duration = Duration::from_secs\((\d+)\)", "s"),
    "webhook_first": ("crates/unsandbox-server/src/webhooks/mod.rs", r"PAUSES_SECONDS: \[u64; 9\] = \[(\d+), \d+,", "s"),
    "webhook_second": ("crates/unsandbox-server/src/webhooks/mod.rs", r"PAUSES_SECONDS: \[u64; 9\] = \[\d+, (\d+),", "s"),
    "webhook_places": ("crates/unsandbox-server/src/webhooks/mod.rs", r"PLACES: usize = (\d+);", ""),
    "webhook_places_each": ("crates/unsandbox-server/src/webhooks/mod.rs", r"PLACES_EACH: usize = (\d+);", ""),
    "webhooks_kept": ("crates/unsandbox-protocol/src/limits.rs", r"WEBHOOKS_KEPT_MAX: usize = ([\d_]+);", ""),
    "callback_url": ("crates/unsandbox-protocol/src/limits.rs", r"CALLBACK_URL_MAX_BYTES: usize = ([\d_]+);", "bytes"),
    "question": ("crates/unsandbox/src/remote/mod.rs", r"QUERY_TIMEOUT: Duration = Duration::from_secs\((\d+)\)", "s"),
    "queue_time": ("crates/unsandbox/src/remote/mod.rs", r"QUEUE_TIME: Duration = Duration::from_secs\((\d+)\)", "s"),
    "job_threshold": ("crates/unsandbox/src/remote/mod.rs", r"job_threshold: Duration::from_secs\((\d+)\)", "s"),
    "retries": ("crates/unsandbox/src/remote/mod.rs", r"retries: (\d+),", ""),
    "resolve": ("crates/unsandbox/src/builder.rs", r"resolve: Duration::from_secs\((\d+)\)", "s"),
    "connect": ("crates/unsandbox/src/builder.rs", r"connect: Duration::from_secs\((\d+)\)", "s"),
    "store_retention": ("docs/limits.md", r"^\| finished jobs kept on disk by a server \| (\d+) hours", "hours"),
    "store_retention_together": ("docs/limits.md", r"^\| finished jobs kept on disk by a server \|.*?(\d+) MB", "MB"),
    "command_rust": ("crates/unsandbox-cli/Cargo.toml", r'^rust-version = "([\d.]+)"', ""),
    "rust": ("Cargo.toml", r'^rust-version = "([\d.]+)"', ""),
    "function_lines": ("clippy.toml", r"too-many-lines-threshold = (\d+)", ""),
    "cold": ("docs/speed.md", r"^unsandbox local: .*\+([\d.]+) ms", "ms"),
    "bubblewrap": ("docs/speed.md", r"^bubblewrap .*\+([\d.]+) ms", "ms"),
    "firejail": ("docs/speed.md", r"^firejail .*\+([\d.]+) ms", "ms"),
}

#: A page, a pattern whose groups are numbers, and what they are.
STATED = [
    (
        "crates/unsandbox-cli/src/serve_args.rs",
        r"Limits: (\d+ MB) of request body, ttl (\d+ s), finished jobs kept as",
        "body ttl_max",
    ),
    ("crates/unsandbox-cli/src/serve_args.rs", r"of a synchronous run for (\d+ minutes)\), a long poll .* of at most (\d+ s)", "idempotency wait"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"keys are in the memory of the\nprocess: (\d+ minutes), (\d+ MB)", "retention retention_together"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"the first head of a connection has (\d+ s), later ones (\d+ s)", "head pause"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"A body has (\d+ s) without a\nbyte, (\d+ bytes)/s .* first (\d+ s), and (\d+ s) in all", "pause body_rate pause body_time"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"takes nothing of it for (\d+ s), or less than (\d+ bytes)/s", "reply_time reply_rate"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"the (\d+ MB) of request bodies and the (\d+ MB) of large replies", "bodies replies"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"Retry-After after (\d+ s), of a reply after (\d+ s)", "body_room reply_room"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"at most (\d+ s) a step", "compiling_max"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"Idempotency-Key (\d+ s) later", "retry_window"),
    ("crates/unsandbox-cli/src/args.rs", r"at most (\d+ files), (\d+ MB) each, (\d+ MB)\n", "input_files input_file input_files_together"),
    ("crates/unsandbox-cli/src/args.rs", r"may run, (\d+) to (\d+); the queue", "ttl_min ttl_max"),
    ("crates/unsandbox-cli/src/args.rs", r"(\d+) to (\d+ s) of its own by the language. Default: (\d+),", "compiling compiling_max ttl_default"),
    ("include/unsandbox.h", r"may run: (\d+) to (\d+ seconds) \(limit from the API\), (\d+) unless set", "ttl_min ttl_max ttl_default"),
    ("include/unsandbox.h", r"Limits from the API: (\d+ files), (\d+ MB) each,\n \* (\d+ MB) together", "input_files input_file input_files_together"),
    ("include/unsandbox.hpp", r"(\d+) to (\d+ seconds)\.", "ttl_min ttl_max"),
    ("python/unsandbox/_client.py", r"may run, (\d+) to (\d+); (\d+) unless given", "ttl_min ttl_max ttl_default"),
    ("python/unsandbox/_client.py", r"At most (\d+),\n +(\d+ MB) each, (\d+ MB) together", "input_files input_file input_files_together"),
    ("README.md", r"Rust toolchain \(([\d.]+) or later\)", "command_rust"),
    ("README.md", r"takes ([\d.]+ ms) longer in unsandbox than outside, and ([\d.]+ ms) longer in bubblewrap", "cold bubblewrap"),
    ("CONTRIBUTING.md", r"Rust toolchain \(([\d.]+) or later\)", "command_rust"),
    ("CONTRIBUTING.md", r"functions of at most (\d+)", "function_lines"),
    ("docs/comparison.md", r"\+([\d.]+ ms) \|.*\+([\d.]+ ms) \(bubblewrap\), \+([\d.]+ ms) \(firejail\)", "cold bubblewrap firejail"),
    ("docs/guides/artifacts.md", r"longer than (\d+ bytes)", "filename"),
    ("docs/guides/artifacts.md", r"At most (\d+ files) and (\d+ MB) come back", "artifacts artifacts_together"),
    ("docs/guides/artifacts.md", r"At most (\d+) patterns, (\d+ bytes) together", "outputs outputs_together"),
    ("docs/guides/artifacts.md", r"at most (\d+) and (\d+ KB) of them", "left_files left_files_together"),
    ("docs/guides/artifacts.md", r"searched (\d+) folders deep, ([\d,]+)\n +entries far, and for (\d+ s) at most", "depth scanned search"),
    ("docs/guides/deployment.md", r"Allow bodies of (\d+ MB)", "body"),
    ("docs/guides/deployment.md", r"`--queue` \| ([\d,]+) \|", "queue"),
    ("docs/guides/deployment.md", r"`--connections` \| ([\d,]+);", "connections"),
    ("docs/guides/files.md", r"At most (\d+ files), (\d+ MB) each and (\d+ MB) together", "input_files input_file input_files_together"),
    ("docs/guides/jobs.md", r"kept for (ten minutes)", "retention"),
    ("docs/guides/jobs.md", r"the most jobs of one \(1 to ([\d,]+)\)", "page"),
    ("docs/reference/http.md", r"at most N of them, 1 to (\d+),", "page"),
    ("python/unsandbox/_client.py", r"The most jobs, 1 to ([\d,]+);", "page"),
    ("crates/unsandbox-cli/src/args.rs", r"at most so many jobs, 1 to (\d+)\.", "page"),
    ("include/unsandbox.h", r"the most jobs, 1 to (\d+); 0 for", "page"),
    ("include/unsandbox.hpp", r"0 for all, else 1 to (\d+)\)", "page"),
    ("docs/guides/own-server.md", r"([\d,]+) to ([\d,]+), ([\d,]+) unless given", "connections_min connections_max connections"),
    ("docs/guides/own-server.md", r"\| (\d+ MB) of request bodies, or of large replies", "bodies"),
    ("docs/guides/own-server.md", r"\| (\d+ MB) of request bodies, or of large replies", "replies"),
    (
        "docs/guides/own-server.md",
        r"with 503 after (\d+ s), a reply after (\d+ s);.*a body after (\d+ s) at the earliest, a reply after (\d+ s)",
        "body_room reply_room body_safe reply_safe",
    ),
    ("docs/guides/own-server.md", r"the first head has (\d+ s), later ones (\d+ s)", "head pause"),
    (
        "docs/guides/own-server.md",
        r"A body: (\d+ s) without a byte, ([\d,]+ bytes)/s on average after the first (\d+ s), (\d+ s) in all",
        "pause body_rate pause body_time",
    ),
    ("docs/guides/own-server.md", r"A reply: (\d+ s) of which nothing is taken, ([\d,]+ bytes)/s", "reply_time reply_rate"),
    ("docs/guides/own-server.md", r"a head above (\d+ KB) or in too many parts, no answer to a ping within (\d+ s)", "http2_head ping"),
    ("docs/guides/own-server.md", r"reads about (\d+ KB) and writes", "poll_bytes"),
    ("docs/guides/own-server.md", r"and writes (\d+) times, then others", "poll_writes"),
    ("docs/guides/own-server.md", r"always ask, by up to (\d+ ms)", "poll_credit"),
    ("docs/guides/own-server.md", r"keeps at most ([\d,]+) such ends", "adopted_ends"),
    ("docs/guides/own-server.md", r"such ends, and (\d+ MB) of their results", "adopted_results"),
    ("docs/guides/own-server.md", r"(\d+ MB) of\s+requests wait to be audited", "adopted_requests"),
    ("docs/guides/own-server.md", r"has its place within (\d+ s)", "place"),
    ("docs/guides/own-server.md", r"2xx within (\d+ s) is a success", "webhook_time"),
    ("docs/guides/own-server.md", r"again after (\d+ s), (\d+ s), 2 min, 10 min, 30 min, 1 h, 2 h, 5 h and 10 h", "webhook_first webhook_second"),
    ("docs/guides/own-server.md", r"user and fragment, at most (\d+ bytes)", "callback_url"),
    ("docs/guides/own-server.md", r"has at most ([\d,]+); a further submission with", "webhooks_kept"),
    ("docs/guides/own-server.md", r"gets 429\. (\d+) are under way at once, (\d+) of one key", "webhook_places webhook_places_each"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"not answer 2xx within (\d+ s) gets it again after (\d+ s), (\d+ s), 2 min", "webhook_time webhook_first webhook_second"),
    ("crates/unsandbox-cli/src/serve_args.rs", r"\. (\d+) deliveries are under way at once, (\d+)\nof one key, and ([\d,]+) webhooks", "webhook_places webhook_places_each webhooks_kept"),
    ("docs/guides/own-server.md", r"as a row of the file; beyond that 429 \| ([\d,]+) \|", "queue"),
    ("docs/guides/own-server.md", r"of a synchronous one for (\d+ minutes)\nafter its end", "idempotency"),
    ("docs/guides/remote.md", r"`timeout` \| (\d+ s) for a question;.*and (\d+ s) \|", "question queue_time"),
    ("docs/guides/remote.md", r"`resolve_timeout` \| (\d+ s) \|", "resolve"),
    ("docs/guides/remote.md", r"`connect_timeout` \| (\d+ s) \|", "connect"),
    ("docs/guides/remote.md", r"`retries` \| (\d+) \|", "retries"),
    ("docs/guides/remote.md", r"`reply_max_bytes` \| (\d+ MB) \|", "reply"),
    ("docs/guides/remote.md", r"`job_threshold` \| (\d+ s) \|", "job_threshold"),
    ("docs/limits.md", r"`run_async` for (\d+ hours) and up to ([\d,]+ MB)", "store_retention store_retention_together"),
    ("docs/limits.md", r"with its result, for (\d+ minutes), and all results together up to (\d+ MB)", "retention retention_together"),
    ("docs/guides/network.md", r"and\s+([\d,]+ MB) in both directions", "egress"),
    ("docs/guides/network.md", r"All runs of a server have ([\d,]+), those of one key", "egress_all"),
    ("docs/guides/own-server.md", r"the spans that wait, for at most (\d+ seconds)", "flush"),
    ("docs/guides/own-server.md", r"where the others start one, 1 to ([\d,]+) \|", "weight_max"),
    ("docs/reference/http.md", r"for (\d+ seconds) at most", "wait"),
    ("docs/reference/http.md", r"within (\d+ s) of the server's clock", "signature"),
    ("docs/reference/http.md", r"a comment\s+comes every (\d+ s)", "heartbeat"),
    ("docs/reference/operations.md", r"a ttl over\s+(\d+ s):", "job_threshold"),
    ("docs/reference/rust.md", r"needs Rust ([\d.]+) or later", "rust"),
    ("docs/security.md", r"has its place within (\d+ s)", "place"),
    ("docs/troubleshooting.md", r"`limits.memory_bytes` \((\d+ MB) unless set\)", "memory"),
    ("docs/troubleshooting.md", r"`ttl` \((\d+ s) unless set\)", "ttl_default"),
    ("docs/troubleshooting.md", r"Raise `ttl`, up to (\d+)\.", "ttl_max"),
    ("docs/troubleshooting.md", r"`limits.output_bytes` \((\d+ MB)\)", "output"),
    ("docs/tutorial.md", r"may run for (\d+ seconds) unless", "ttl_default"),
    ("docs/tutorial.md", r"Rust toolchain \(([\d.]+) or later\)", "command_rust"),
]

#: Numbers that are not limits: a page, and a pattern.
OTHERS = [
    ("docs/guides/own-server.md", r"histograms go from 1 ms to 900 s"),
    ("docs/guides/own-server.md", r"asked at most every 10 s"),
    ("docs/guides/own-server.md", r"at the latest 3 seconds later"),
    # Defaults of the standard variables of OpenTelemetry.
    ("docs/guides/own-server.md", r"milliseconds for one attempt to send; 10,000 unless given"),
    ("docs/guides/own-server.md", r"between two sends \(5,000\), spans that may wait \(2,048; at most 65,536\)"),
    ("docs/guides/own-server.md", r"Our clients pause\s+for 50 ms, then longer, for 2 s at most"),
]

#: Printed by tests and benchmarks, or about quotas of the kernel, which the hostile suite holds.
UNREAD = {f"docs/{it}.md" for it in ("compatibility", "faults", "languages", "native", "packages", "security", "speed", "standings")}
PAGES = ["README.md", *sorted(str(it.relative_to(ROOT)) for it in (ROOT / "docs").rglob("*.md"))]
NUMBER = re.compile(r"(?<![\w.])(?:\d[\d,.]* (?:ms|s|seconds|minutes|hours|[KMG]B|bytes|characters|files)\b|ten minutes|\d{1,3}(?:,\d{3})+)")
WORDS = {"ten": 10}
UNITS = {"": 1, "files": 1, "bytes": 1, "ms": 0.001, "s": 1, "seconds": 1, "minutes": 60, "hours": 3600, "KB": 1 << 10, "MB": 1 << 20}


def quantity(text: str) -> float:
    number, _, unit = text.partition(" ")
    plain = re.sub("[,_]", "", number)
    return (WORDS[plain] if plain in WORDS else float(plain)) * UNITS[unit]


def source(name: str) -> float:
    file, pattern, unit = SOURCES[name]
    found = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)
    assert found, f"{file} has no {name}: {pattern}"
    return quantity(f"{found[1]} {unit}".rstrip())


@pytest.mark.parametrize(("page", "pattern", "names"), STATED)
def test_a_number_in_prose_is_that_of_the_table(page: str, pattern: str, names: str) -> None:
    found = list(re.finditer(pattern, (ROOT / page).read_text()))
    assert found, f"{page} does not say {pattern} any more: its row goes, or its pattern changes"
    for match in found:
        for said, name in zip(match.groups(), names.split(), strict=True):
            assert quantity(said) == source(name), f"{page}: {match[0]!r}, but {name} is {source(name)}"


def prose(page: str) -> str:
    """A page with its programs and its generated tables blanked, at the same offsets."""
    text = (ROOT / page).read_text()
    return re.sub(r"^```.*?^```$|<!-- table: .*?<!-- end -->", lambda it: " " * len(it[0]), text, flags=re.MULTILINE | re.DOTALL)


def covered(page: str, text: str) -> Iterator[range]:
    for name, pattern, *_ in [*STATED, *OTHERS]:
        if name == page:
            yield from (range(*match.span()) for match in re.finditer(pattern, text))


@pytest.mark.parametrize("page", sorted(set(PAGES) - UNREAD))
def test_every_number_with_a_unit_has_a_row(page: str) -> None:
    text = prose(page)
    spans = list(covered(page, text))
    missing = [match[0] for match in NUMBER.finditer(text) if not any(match.start() in span for span in spans)]
    assert not missing, f"{page} states {missing}: give each a row in STATED, or in OTHERS if it is not a limit"

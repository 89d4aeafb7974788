// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every fault that the client has to survive: what the caller gets, how often the program was
//! submitted and run, and how long it may take. `docs/faults.md` is this table.

#[path = "../authority/mod.rs"]
mod authority;
mod http;
#[path = "../listener/mod.rs"]
mod listener;
mod live;
mod network;
mod reply;
mod restart;
#[path = "../stub/mod.rs"]
mod stub;
#[path = "../../../unsandbox-server/tests/support/mod.rs"]
mod support;
mod table;
mod tls;

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use stub::{FEATURES, Play, Stub, json, ok, with};
use table::{Outcome, Row, Scene, Server};
use unsandbox::{CallOptions, Client, Request};

/// Faults that are played at once: nearly all of them only wait.
const PLAYERS: usize = 8;

#[test]
fn every_fault_has_its_outcome() {
    if let Some(task) = restart::task() {
        return restart::serve(&task);
    }
    listener::listen();
    // Packed before the time of any row is taken.
    drop(http::bomb());
    let rows: Vec<Row> = chapters().into_iter().flat_map(|(_, rows)| rows).collect();
    let queue = std::sync::Mutex::new(rows.iter().enumerate());
    let wrong = std::sync::Mutex::new(Vec::new());
    let lines = std::sync::Mutex::new(vec![String::new(); rows.len()]);
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let Some((index, row)) = queue.lock().unwrap().next() else { return };
                    let (took, complaints) = play(row);
                    wrong.lock().unwrap().extend(complaints);
                    lines.lock().unwrap()[index] =
                        format!("{:>6} ms  {}", took.as_millis(), row.line());
                }
            });
        }
    });
    // Not by `println!`, which is shown only where the test fails.
    let mut out = std::io::stdout().lock();
    lines.into_inner().unwrap().iter().for_each(|line| writeln!(out, "{line}").unwrap());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let (heard, dumped, with_keys) = listener::heard();
    let found = with_keys.len();
    writeln!(out, "{heard} bytes logged, {dumped} of them dumped; lines with a key: {found}")
        .unwrap();
    assert!(dumped > 100_000, "what is sent and received was listened to: {dumped} bytes");
    assert!(with_keys.is_empty(), "{with_keys:?}");
}

/// Plays one row at each of its servers; how long the slower one took, and what was not as it says.
fn play(row: &Row) -> (Duration, Vec<String>) {
    let mut complaints = Vec::new();
    let mut longest = Duration::ZERO;
    for (server, expected) in row.expected() {
        let (mut outcome, mut took) = once(row, server);
        // A machine that is busy with something else is not an error of the client's: the bound holds if it is
        // kept in one of three.
        for _ in 0..2 {
            if took > row.within {
                (outcome, took) = once(row, server);
            }
        }
        longest = longest.max(took);
        let seen = outcome.shown();
        if seen != expected {
            complaints
                .push(format!("{} ({server:?}): expected {expected:?}, got {seen:?}", row.fault));
        }
        if outcome.runs > 1 {
            complaints.push(format!("{} ({server:?}): {} runs", row.fault, outcome.runs));
        }
        if took > row.within {
            complaints
                .push(format!("{} ({server:?}): {took:?}, more than {:?}", row.fault, row.within));
        }
    }
    (longest, complaints)
}

fn once(row: &Row, server: Server) -> (Outcome, Duration) {
    let begun = Instant::now();
    let outcome = match &row.scene {
        Scene::Submission(fault) => submission(*fault, server, row.deadline),
        Scene::Own(own) => own(),
        Scene::Restart(restart) => restart.play(),
    };
    (outcome, begun.elapsed())
}

/// A submission to a server with a fault. One without idempotency keys has it every time, ours once.
fn submission(fault: fn() -> Play, server: Server, deadline: Option<Duration>) -> Outcome {
    let first = std::sync::atomic::AtomicBool::new(true);
    let stub = Stub::start_whole(move |asked| {
        let again = !first.fetch_and(asked.method != "POST", std::sync::atomic::Ordering::SeqCst);
        match (server, asked.method.as_str()) {
            (Server::Service, "POST") => fault(),
            (Server::Service, _) => json(200, "{}"),
            (Server::Ours, "POST") if !again => fault(),
            (Server::Ours, "POST") => with(ok(), FEATURES),
            (Server::Ours, _) => with(json(200, "{}"), FEATURES),
        }
    });
    // Enough for every reply here, and soon reached by what only pretends to be small.
    let client = stub::builder(&stub).reply_max_bytes(8_000_000).build().unwrap();
    let mut options = CallOptions::new();
    options.deadline = deadline;
    let end = client.with(options).execute(&Request::new("python", "print(1)"));
    let posts: Vec<_> = stub.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    let keys: HashSet<_> =
        posts.iter().map(|asked| asked.header("idempotency-key").unwrap()).collect();
    // A server that refuses runs nothing; one that knows the key runs it once.
    let runs = match (fault().is_refusal(), server) {
        (true, _) => 0,
        (false, Server::Ours) => keys.len(),
        (false, Server::Service) => posts.len(),
    };
    Outcome { end: table::end_of(&end), submissions: posts.len(), runs }
}

fn chapters() -> [(&'static str, Vec<Row>); 6] {
    [
        ("Restarts", restart::rows()),
        ("HTTP", http::rows()),
        ("Replies", reply::rows()),
        ("Live output", live::rows()),
        ("Network", network::rows()),
        ("TLS", tls::rows()),
    ]
}

/// The table as the documentation has it.
fn page() -> String {
    let mut page = String::from(include_str!("head.md"));
    for (title, rows) in chapters() {
        page.push_str(&format!("\n## {title}\n\n"));
        page.push_str(match title {
            "Restarts" => restart::HEAD,
            _ => {
                "| fault | outcome | submissions | at our server | submissions | within |\n\
                 |---|---|---|---|---|---|\n"
            }
        });
        rows.iter().for_each(|row| page.push_str(&format!("{}\n", row.line())));
    }
    page
}

#[test]
fn the_documentation_has_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
    let page = page();
    if std::env::var_os("UNSANDBOX_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/faults.md is not this table; UNSANDBOX_WRITE_DOCS=1 writes it");
}

/// A client that nothing in the environment changes.
pub fn client_of(url: &str) -> unsandbox::ClientBuilder {
    Client::builder().base_url(url).api_key("test-key").no_proxy()
}

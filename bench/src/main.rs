// SPDX-License-Identifier: MIT OR Apache-2.0
//! Speeds, all measured in one run on one machine: rounds of everything that is compared follow each
//! other in turn, so that the machine's mood hits each alike; what is printed are medians. `make bench`
//! builds in release and runs this; names of parts as arguments run only those.

mod call;
mod cold;
mod faces;
mod flood;
mod network;
mod print;
mod python;
mod server;

use std::time::{Duration, Instant};
use unsandbox::Error;

type Part = fn() -> Result<(), Error>;

const PARTS: [(&str, Part); 7] = [
    ("faces", faces::measure_all),
    ("cold", cold::measure_all),
    ("call", call::measure_all),
    ("network", network::measure_all),
    ("server", server::measure_all),
    ("print", print::measure_all),
    ("python", python::measure_all),
];

fn main() -> Result<(), Error> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match &wanted.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--calls", port] => return network::contend(port),
        ["--stop", port, how] => return network::stop(port, how),
        _ => {}
    }
    if let Some(unknown) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        eprintln!("no part is called {unknown:?}; there are: {}", known.join(", "));
        std::process::exit(2);
    }
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    for (_, measure) in PARTS.iter().filter(|(name, _)| chosen(name)) {
        measure()?;
        println!();
    }
    Ok(())
}

/// How long one call takes.
fn timed(run: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let begun = Instant::now();
    run()?;
    Ok(begun.elapsed())
}

/// The value that this share of them (0 to 1) does not pass.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn median(times: &mut [Duration]) -> Duration {
    quantile(times, 0.5)
}

fn in_ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

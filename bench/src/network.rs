// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call to a server costs beside other HTTP clients: `bench/network/run` builds the contenders and
//! compares them; the one in Rust is this program, called with `--calls PORT`, and with `--stop PORT HOW`
//! for how long a blocked call takes to return.

use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use unsandbox::{CallOptions, CancelToken, Client, Error, Request};

pub fn measure_all() -> Result<(), Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("network/run");
    let done = Command::new("python3").arg(script).status().expect("Python as `python3`");
    assert!(done.success(), "bench/network/run failed");
    Ok(())
}

fn client(port: &str) -> Result<Client, Error> {
    Client::builder().base_url(format!("http://127.0.0.1:{port}")).api_key("benchmark-key").build()
}

fn processor() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(now).expect("a time that is past")
}

/// Makes as many calls as each line of standard input says, and prints the nanoseconds that they took, of
/// the clock and of the processor.
pub fn contend(port: &str) -> Result<(), Error> {
    let client = client(port)?;
    let request = Request::new("python", "print(1)");
    for line in std::io::stdin().lines() {
        let line = line.expect("standard input");
        let count: u32 = line.trim().parse().expect("a number of calls");
        let (begun, used) = (Instant::now(), processor());
        for _ in 0..count {
            assert!(client.execute(&request)?.success);
        }
        println!("{} {}", begun.elapsed().as_nanos(), (processor() - used).as_nanos());
    }
    Ok(())
}

/// Prints how many nanoseconds after its end, by token or deadline, a blocked call has returned; for
/// Ctrl-C, when it has.
pub fn stop(port: &str, how: &str) -> Result<(), Error> {
    let client = client(port)?;
    let cancel = CancelToken::new();
    let soon = Duration::from_millis(50);
    let options = match how {
        "deadline" => CallOptions::new().deadline(soon),
        _ => CallOptions::new().cancel(cancel.clone()),
    };
    if how == "Ctrl-C" {
        let mut signals = Signals::new([SIGINT]).expect("a handler");
        let cancel = cancel.clone();
        std::thread::spawn(move || signals.forever().for_each(|_| cancel.cancel()));
    }
    println!("ready");
    let begun = Instant::now();
    let canceller = (how == "token").then(|| {
        std::thread::spawn(move || {
            std::thread::sleep(soon);
            let at = Instant::now();
            cancel.cancel();
            at
        })
    });
    let end = client.with(options).execute(&Request::new("python", "hang"));
    let now = Instant::now();
    assert!(end.is_err(), "the server was silent");
    if how == "Ctrl-C" {
        let now = clock_gettime(ClockId::Monotonic);
        println!("{}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
        return Ok(());
    }
    let ended = canceller.map_or(begun + soon, |thread| thread.join().expect("it only cancels"));
    println!("{}", now.duration_since(ended).as_nanos());
    Ok(())
}

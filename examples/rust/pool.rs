// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs many programs at once: a few threads share one client, and each takes the next program.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use unsandbox::{Client, Error, Request};

const PROGRAMS: usize = 12;
const THREADS: usize = 4;

fn square(client: &Client, number: usize) -> Result<String, Error> {
    let code = format!("echo $(({number} * {number}))");
    Ok(client.execute(&Request::new("bash", code))?.stdout_text().into_owned())
}

fn main() -> Result<(), Error> {
    let client = Client::from_env()?;
    let next = AtomicUsize::new(0);
    let (sender, squares) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (client, next, sender) = (&client, &next, sender.clone());
            scope.spawn(move || {
                loop {
                    let mine = next.fetch_add(1, Ordering::Relaxed);
                    if mine >= PROGRAMS || sender.send((mine, square(client, mine))).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(sender);
    let mut squares: Vec<_> = squares.iter().collect();
    squares.sort_by_key(|(number, _)| *number);
    for (number, squared) in squares {
        print!("{number} squared is {}", squared?);
    }
    Ok(())
}

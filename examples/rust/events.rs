// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs programs from an event loop: each task sends a message to the loop at its end.

use std::sync::mpsc;
use unsandbox::{CallOptions, Client, Error, Request};

fn main() -> Result<(), Error> {
    let client = Client::from_env()?;
    // A program's other events would come through the same channel.
    let (sender, events) = mpsc::channel();
    let mut tasks = Vec::new();
    for code in ["sleep 0.3; echo one", "sleep 0.2; echo two", "echo three"] {
        let (sender, index) = (sender.clone(), tasks.len());
        let notify = Box::new(move || {
            // The loop is gone only where it has failed.
            let _ = sender.send(index);
        });
        let request = Request::new("bash", code);
        tasks.push(client.start_execute(request, CallOptions::new(), Some(notify))?);
    }
    drop(sender);
    for index in events {
        if let Some(result) = tasks[index].wait(None) {
            print!("a program wrote {}", result?.stdout_text());
        }
    }
    Ok(())
}

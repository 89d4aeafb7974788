// SPDX-License-Identifier: MIT OR Apache-2.0
//! The largest inputs and outputs pass without being copied over and over: the peak of resident memory
//! stays within four times the payload. Linux only, where the kernel tells it.
#![cfg(target_os = "linux")]

mod stub;

use std::process::Command;
use stub::{Stub, json, ok};
use unsandbox::{Client, Request};

const MB: usize = 1024 * 1024;
/// Limits from the API: two files of 5 MB are the 10 MB that all together may have.
const INPUT: usize = 10 * MB;
const OUTPUT: usize = 16 * MB;

/// Where a process of its own is told what to do: `in URL` or `out URL`.
const TASK: &str = "UNSANDBOX_TEST_LARGE";

/// Resident bytes of this process, as `field` of its status says.
fn resident(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// What the call of this process came to, in bytes above those that it had before.
fn child(task: &str) {
    let (what, url) = task.split_once(' ').unwrap();
    let client = Client::builder().base_url(url).no_proxy().build().unwrap();
    // Whatever is made once is made.
    client.health().unwrap();
    // Forgets the highest mark so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = resident("VmRSS");
    let mut request = Request::new("python", "print(1)");
    if what == "in" {
        request =
            request.input_file("a", vec![b'a'; INPUT / 2]).input_file("b", vec![b'b'; INPUT / 2]);
    }
    let result = client.execute(&request).unwrap();
    if what == "out" {
        assert_eq!(result.stdout.len(), OUTPUT);
    }
    println!("peak {}", resident("VmHWM") - before);
}

fn peak(what: &str, stub: &Stub) -> usize {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["large_payloads_are_not_copied_over_and_over", "--exact", "--nocapture"])
        .env(TASK, format!("{what} {}", stub.url))
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    let peak = said.lines().find_map(|line| line.split("peak ").nth(1));
    peak.unwrap_or_else(|| panic!("{said} {}", String::from_utf8_lossy(&child.stderr)))
        .parse()
        .unwrap()
}

#[test]
fn large_payloads_are_not_copied_over_and_over() {
    if let Ok(task) = std::env::var(TASK) {
        return child(&task);
    }
    let taker = Stub::start(|_| ok());
    let body = format!(r#"{{"success":true,"stdout":"{}","exit_code":0}}"#, "x".repeat(OUTPUT));
    let giver = Stub::start(move |asked| match asked.path() {
        "/health" => ok(),
        _ => json(200, &body),
    });
    for (what, stub, payload) in [("in", &taker, INPUT), ("out", &giver, OUTPUT)] {
        let peak = peak(what, stub);
        println!("{what}: {peak} bytes for {payload}: {:.1} times", peak as f64 / payload as f64);
        assert!(peak <= 4 * payload, "{what}: {peak} bytes, more than four times {payload}");
    }
    let taken = taker.asked().into_iter().find(|asked| asked.method == "POST").unwrap();
    assert!(taken.body.len() > INPUT * 4 / 3, "both files arrived");
}

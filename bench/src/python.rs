// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program in Python waits for: `import unsandbox`, and one local hello as a whole process, beside
//! `import requests` and beside `subprocess.run` of the same program. `make bench` makes the environment.

use crate::{in_ms, median, timed};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use unsandbox::{Client, Error};

const ROUNDS: usize = 40;
const WARM_UP: usize = 3;

/// The goal of this part; printed with what was measured, never asserted.
const GOAL_OF_IMPORT: Duration = Duration::from_millis(30);
const IMPORT: &str = "import unsandbox";

/// What is compared, as programs of Python; in the last two PROGRAM stands for the interpreter that both
/// of them start.
const PROGRAMS: [(&str, &str); 7] = [
    ("nothing", "pass"),
    (IMPORT, "import unsandbox"),
    ("import subprocess", "import subprocess"),
    ("import requests", "import requests"),
    ("import asyncio", "import asyncio"),
    (
        "a local hello",
        "import unsandbox; unsandbox.execute('python', \"print('hello')\", runtime='PROGRAM').check()",
    ),
    (
        "subprocess.run",
        "import subprocess; subprocess.run(['PROGRAM', '-c', \"print('hello')\"], capture_output=True, check=True)",
    ),
];

pub fn measure_all() -> Result<(), Error> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/venv-bench/bin/python");
    if !environment.exists() {
        println!(
            "python: not measured: build/venv-bench is not there (scripts/bench-python makes it)"
        );
        return Ok(());
    }
    let client = Client::builder().base_url("local:").build()?;
    let python = client.languages()?.into_iter().find(|it| it.name == "python");
    let python = python.and_then(|it| it.path).unwrap_or_else(|| "/usr/bin/python3".to_string());
    client.close();
    println!(
        "whole processes of Python, {ROUNDS} rounds in turn, medians; {}",
        version(&environment)
    );
    let rows = rounds(&environment, &python)?;
    let bare = rows[0].1;
    for (name, time) in &rows {
        let beyond = match time.checked_sub(bare) {
            Some(beyond) if *name != rows[0].0 => format!("+{}", in_ms(beyond)),
            _ => String::new(),
        };
        println!("{name:18} {:>10} {beyond:>12}", in_ms(*time));
    }
    tell_goal(&rows);
    Ok(())
}

fn rounds(environment: &PathBuf, python: &str) -> Result<Vec<(&'static str, Duration)>, Error> {
    let mut times = vec![Vec::new(); PROGRAMS.len()];
    for round in 0..WARM_UP + ROUNDS {
        for ((_, program), all) in PROGRAMS.iter().zip(&mut times) {
            let program = program.replace("PROGRAM", python);
            let taken = timed(|| run(environment, &program))?;
            if round >= WARM_UP {
                all.push(taken);
            }
        }
    }
    let names = PROGRAMS.iter().map(|(name, _)| *name);
    Ok(names.zip(times.iter_mut().map(|all| median(all))).collect())
}

/// Alone (`-I`), so that nothing of the user's own is imported with it.
fn run(environment: &PathBuf, program: &str) -> Result<(), Error> {
    let mut command = Command::new(environment);
    command.args(["-I", "-c", program]).env("UNSANDBOX_URL", "local:").stdin(Stdio::null());
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn version(environment: &PathBuf) -> String {
    let output = Command::new(environment).arg("--version").output().expect("a program");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

fn tell_goal(rows: &[(&str, Duration)]) {
    let of = |wanted: &str| rows.iter().find(|(name, _)| *name == wanted).map(|(_, time)| *time);
    let beyond = of(IMPORT).unwrap_or_default().saturating_sub(rows[0].1);
    let met = if beyond < GOAL_OF_IMPORT { "met" } else { "missed" };
    println!("goal: {IMPORT} under {} beyond Python's own: {met}", in_ms(GOAL_OF_IMPORT));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program in Python waits for: `import unsandbox`, and one local hello as a whole process, beside
//! `import requests` and beside `subprocess.run` of the same program. `make bench` makes the environment.

use crate::{in_ms, median, timed};
use std::path::Path;
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
    println!("{:18} {:>10} {:>14} {:>16}", "", "whole", "beyond nothing", "processor time");
    let rows = rounds(&environment, &python)?;
    for row in &rows {
        let beyond = match row.whole.checked_sub(rows[0].whole) {
            Some(beyond) if row.name != rows[0].name => format!("+{}", in_ms(beyond)),
            _ => String::new(),
        };
        println!(
            "{:18} {:>10} {beyond:>14} {:>16}",
            row.name,
            in_ms(row.whole),
            in_ms(row.processor)
        );
    }
    tell_goal(&rows);
    Ok(())
}

/// What one program came to.
struct Row {
    name: &'static str,
    whole: Duration,
    /// Of the process and those it waited for, as a mean: a busy machine changes it least.
    processor: Duration,
}

fn rounds(environment: &Path, python: &str) -> Result<Vec<Row>, Error> {
    let mut times = vec![(Vec::new(), Duration::ZERO); PROGRAMS.len()];
    for round in 0..WARM_UP + ROUNDS {
        for ((_, program), (all, processor)) in PROGRAMS.iter().zip(&mut times) {
            let program = program.replace("PROGRAM", python);
            let before = processor_time_of_children();
            let taken = timed(|| run(environment, &program))?;
            if round >= WARM_UP {
                all.push(taken);
                *processor += processor_time_of_children().saturating_sub(before);
            }
        }
    }
    let row = |((name, _), (all, processor)): (&(&'static str, _), &mut (Vec<_>, Duration))| Row {
        name,
        whole: median(all),
        processor: *processor / ROUNDS as u32,
    };
    Ok(PROGRAMS.iter().zip(times.iter_mut()).map(row).collect())
}

/// As Linux counts it, in hundredths of a second: only sums over many processes mean something.
pub fn processor_time_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(13).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Alone (`-I`), so that nothing of the user's own is imported with it.
fn run(environment: &Path, program: &str) -> Result<(), Error> {
    let mut command = Command::new(environment);
    command.args(["-I", "-c", program]).env("UNSANDBOX_URL", "local:").stdin(Stdio::null());
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn version(environment: &Path) -> String {
    let output = Command::new(environment).arg("--version").output().expect("a program");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

fn tell_goal(rows: &[Row]) {
    let import = rows.iter().find(|row| row.name == IMPORT).map(|row| row.whole);
    let beyond = import.unwrap_or_default().saturating_sub(rows[0].whole);
    let met = if beyond < GOAL_OF_IMPORT { "met" } else { "missed" };
    println!("goal: {IMPORT} under {} beyond Python's own: {met}", in_ms(GOAL_OF_IMPORT));
}

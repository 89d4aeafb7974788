// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long `execute` takes, through `local:` and through HTTP on loopback, beside the same program started
//! bare, as ratios.

use crate::{in_ms, median, timed};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use unsandbox::{Client, Error, Request};

const ROUNDS: usize = 40;
/// Rounds before the first that counts: caches, pools, connections.
const WARM_UP: usize = 3;

const HELLO_C: &str = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";

struct Program {
    name: &'static str,
    request: Request,
    /// The same without a sandbox: commands of a shell's words, one after the other.
    bare: Vec<Vec<String>>,
}

pub fn measure_all() -> Result<(), Error> {
    let directory = std::env::temp_dir().join(format!("unsandbox-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let (mut server, url) = serve();
    let local = Client::builder().base_url("local:").build()?;
    let remote = Client::builder().base_url(url).build()?;
    println!("{ROUNDS} rounds, medians; in brackets the ratio to the bare program");
    println!("{:14} {:>12} {:>22} {:>22}", "", "posix_spawn", "local:", "http on loopback");
    // A version manager's stand-in on the path would be slower than what the engine starts.
    let python = local.languages()?.into_iter().find(|it| it.name == "python");
    let python = python.and_then(|it| it.path).unwrap_or_else(|| "python3".to_string());
    for program in programs(&directory, &python) {
        measure(&program, &local, &remote)?;
    }
    local.close();
    server.kill().expect("the server's process");
    server.wait().expect("the server's process");
    std::fs::remove_dir_all(&directory).expect("the temporary directory");
    Ok(())
}

/// Our server, from beside this program, with its address.
fn serve() -> (Child, String) {
    let beside = std::env::current_exe().expect("a path").with_file_name("unsandbox");
    let mut server = Command::new(beside)
        .args(["serve", "--listen", "127.0.0.1:0", "--isolation", "auto", "--store", "memory"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("`cargo build --release -p unsandbox-cli` has built the server");
    let mut line = String::new();
    let out = server.stdout.as_mut().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("the server's first line");
    let address = line.trim().trim_start_matches("listening on ").to_string();
    let url = if address.contains("://") { address } else { format!("http://{address}") };
    (server, url)
}

fn programs(directory: &Path, python: &str) -> Vec<Program> {
    let (source, built): (PathBuf, PathBuf) = (directory.join("hello.c"), directory.join("hello"));
    std::fs::write(&source, HELLO_C).expect("a writable directory");
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (source, built) = (source.display().to_string(), built.display().to_string());
    vec![
        Program {
            name: "empty bash",
            request: Request::new("bash", ""),
            bare: vec![words(&["bash", "-c", ""])],
        },
        Program {
            name: "C hello",
            request: Request::new("c", HELLO_C),
            bare: vec![words(&["cc", &source, "-o", &built]), words(&[&built])],
        },
        Program {
            name: "Python hello",
            request: Request::new("python", "print('hello')"),
            bare: vec![words(&[python, "-c", "print('hello')"])],
        },
    ]
}

fn measure(program: &Program, local: &Client, remote: &Client) -> Result<(), Error> {
    let mut times = [const { Vec::new() }; 3];
    for round in 0..WARM_UP + ROUNDS {
        let taken = [
            timed(|| run_bare(program))?,
            timed(|| run_at(local, program))?,
            timed(|| run_at(remote, program))?,
        ];
        if round >= WARM_UP {
            for (all, time) in times.iter_mut().zip(taken) {
                all.push(time);
            }
        }
    }
    let [bare, here, there] = times.map(|mut all| median(&mut all));
    let ratio = |time: Duration| time.as_secs_f64() / bare.as_secs_f64();
    println!(
        "{:14} {:>12} {:>22} {:>22}",
        program.name,
        in_ms(bare),
        format!("{} ({:.2})", in_ms(here), ratio(here)),
        format!("{} ({:.2})", in_ms(there), ratio(there)),
    );
    Ok(())
}

fn run_at(client: &Client, program: &Program) -> Result<(), Error> {
    let result = client.execute(&program.request)?;
    assert!(result.success, "{}: {}", program.name, result.stderr_text());
    Ok(())
}

/// The standard library starts a program with posix_spawn where nothing hinders it.
fn run_bare(program: &Program) -> Result<(), Error> {
    for words in &program.bare {
        let mut command = Command::new(&words[0]);
        let output = command.args(&words[1..]).stdin(Stdio::null()).output().expect("a program");
        assert!(output.status.success(), "{words:?} failed");
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts a child into each standing, judges its report, and prints the table.

use crate::child::{VARIABLE, orders};
use crate::common::{descendants, readable_copy_of_this_program, within};
use crate::table::{Outcome, STANDINGS, Standing};
use std::io::{PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// Who runs the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Root,
    User,
}

/// What a child said, and what it came to in a few words.
struct Heard {
    lines: Vec<(String, String)>,
}

/// One line of the printed table.
struct Line {
    standing: String,
    who: &'static str,
    outcome: &'static str,
    words: String,
}

pub fn play(wanted: &[String]) -> ExitCode {
    let program = readable_copy_of_this_program();
    let is_root = rustix::process::geteuid().is_root();
    let (mut lines, mut failures, mut passed, mut without) =
        (Vec::new(), Vec::new(), 0, Vec::new());
    for who in [Who::Root, Who::User] {
        // What this machine lacks for this user as it is, no standing can add.
        let plain = hear(&STANDINGS[0], who, &program);
        let lacking = plain.of("missing");
        for standing in STANDINGS {
            let chosen = |word: &String| standing.name.contains(word.as_str());
            if !(wanted.is_empty() || wanted.iter().any(chosen)) {
                continue;
            }
            if !is_root && (who == Who::Root || !standing.as_root.is_empty()) {
                without.push(format!("skipped: standing {who:?}: {}: needs root", standing.name));
                continue;
            }
            let heard = hear(standing, who, &program);
            match judge(standing, who, &heard, &lacking) {
                Ok(()) => passed += 1,
                Err(why) => failures.push(format!("{} as {who:?}: {why}", standing.name)),
            }
            let mut line = heard.line(standing, who);
            if standing.name != STANDINGS[0].name && line.words == plain.line(standing, who).words {
                line.words = "as it is".to_string();
            }
            lines.push(line);
        }
    }
    let _ = std::fs::remove_file(&program);
    print_table(lines);
    without.iter().chain(&failures).for_each(|line| println!("{line}"));
    let (word, failed) = (if failures.is_empty() { "ok" } else { "FAILED" }, failures.len());
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The child's report from inside a standing.
fn hear(standing: &Standing, who: Who, program: &Path) -> Heard {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = command(standing, who, program, &writer).spawn().expect("a shell");
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("the pipe is ours");
    let status = child.wait().expect("the child is ours");
    let mut heard = Heard { lines: Vec::new() };
    for line in text.lines() {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        heard.lines.push((key.to_string(), value.to_string()));
    }
    if !status.success() {
        heard.lines.push(("broken".to_string(), format!("the child ended with {status}")));
    }
    let gone = || descendants(std::process::id()).is_empty();
    if !within(Duration::from_secs(5), gone) {
        let left = descendants(std::process::id());
        heard.lines.push(("broken".to_string(), format!("it left processes: {left:?}")));
    }
    heard
}

/// The way into a standing: a shell as root, the user's id, a shell as the user, the child.
fn command(standing: &Standing, who: Who, program: &Path, report: &PipeWriter) -> Command {
    let shell =
        |script: &str| ["sh".into(), "-c".into(), format!("set -e\n{script}\nexec \"$0\" \"$@\"")];
    let mut words: Vec<String> = Vec::new();
    if !standing.as_root.is_empty() {
        words.extend(["unshare".to_string(), "--mount".to_string()]);
        words.extend(shell(standing.as_root));
    }
    if who == Who::User && rustix::process::geteuid().is_root() {
        let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        words.extend(user.map(str::to_string));
    }
    words.extend(shell(standing.then));
    words.push(program.display().to_string());
    // For this child to inherit; no other is started meanwhile.
    rustix::io::fcntl_setfd(report, rustix::io::FdFlags::empty()).expect("the pipe is ours");
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env(VARIABLE, orders(standing.policy, report.as_raw_fd(), standing.denied));
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").env_remove("TMPDIR");
    command.env_remove("UNSANDBOX_JAILER").current_dir("/").stdin(Stdio::null());
    command
}

impl Heard {
    fn of(&self, key: &str) -> Vec<&str> {
        self.lines
            .iter()
            .filter(|(found, _)| found == key)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    fn first(&self, key: &str) -> Option<&str> {
        self.of(key).first().copied()
    }

    /// The row of the table that this report makes.
    fn line(&self, standing: &Standing, who: Who) -> Line {
        let (outcome, words) = match (self.first("refused"), self.first("level")) {
            _ if !self.of("broken").is_empty() => ("BROKEN", self.of("broken").join("; ")),
            (Some(error), _) => ("refused", error.to_string()),
            (None, Some("full")) => (
                "full",
                self.of("lacks").iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            ),
            (None, Some(_)) => {
                let missing = format!("missing: {}", self.first("missing").unwrap_or_default());
                ("reduced", self.first("said").map_or(missing, str::to_string))
            }
            (None, None) => ("BROKEN", "it said nothing".to_string()),
        };
        let words = without_names(&words);
        let simulated = if standing.simulated { " (simulated)" } else { "" };
        let who = if who == Who::Root { "root" } else { "user" };
        Line { standing: format!("{}{simulated}", standing.name), who, outcome, words }
    }
}

/// Whether it came to what it had to.
fn judge(standing: &Standing, who: Who, heard: &Heard, lacking: &[&str]) -> Result<(), String> {
    if let Some(broken) = heard.first("broken") {
        return Err(broken.to_string());
    }
    let expected = if who == Who::Root { standing.root } else { standing.user };
    let all_of = |text: &str, words: &[&str]| match words.iter().find(|word| !text.contains(**word))
    {
        Some(absent) => Err(format!("{absent:?} is not in {text:?}")),
        None => Ok(()),
    };
    match (expected, heard.first("refused"), heard.first("level")) {
        (Outcome::Full(without), None, Some("full")) => {
            let missing = heard.first("missing").unwrap_or_default();
            let mut unexpected = missing.split(", ").filter(|layer| !layer.is_empty());
            let told = without.iter().find(|layer| !missing.contains(**layer));
            if let Some(layer) = told {
                return Err(format!("{layer} is not told as missing"));
            }
            let known = |layer: &str| {
                without.contains(&layer) || lacking.iter().any(|it| it.contains(layer))
            };
            match unexpected.find(|layer| !known(layer)) {
                Some(layer) => Err(format!("{layer} is missing")),
                None => Ok(()),
            }
        }
        (Outcome::Reduced(words), None, Some("reduced")) => {
            if heard.first("missing").unwrap_or_default().is_empty() {
                return Err("the result does not say what is missing".to_string());
            }
            if words.is_empty() {
                return Ok(()); // it was asked for, so that nobody has to be warned
            }
            all_of(heard.first("said").unwrap_or_default(), words)?;
            all_of(&heard.of("lacks").join("\n"), words)
        }
        (Outcome::Refused(code, words), Some(error), None) => {
            all_of(error, &[code])?;
            all_of(error, words)
        }
        _ => Err(format!("it came to {:?}", heard.lines)),
    }
}

/// What a path says of this one machine and moment: its control groups, a jailer's number.
fn without_names(words: &str) -> String {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().filter_map(|line| line.rsplit(':').next());
    let mut words = words.to_string();
    for path in own.filter(|path| path.len() > 1) {
        words = words.replace(path, "/…");
    }
    match words.split_once("unsandbox-tree-") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-');
            format!("{before}unsandbox-tree-…{after}")
        }
        None => words,
    }
}

/// Equal rows of root and user become one.
fn print_table(lines: Vec<Line>) {
    let mut merged: Vec<Line> = Vec::new();
    for line in lines {
        let same =
            merged.iter_mut().find(|it| it.standing == line.standing && it.words == line.words);
        match same {
            Some(same) => same.who = "root, user",
            None => merged.push(line),
        }
    }
    let order = |line: &Line| STANDINGS.iter().position(|it| line.standing.starts_with(it.name));
    merged.sort_by_key(order);
    println!("| standing | as | outcome | the engine's own words |\n|---|---|---|---|");
    for Line { standing, who, outcome, words } in merged {
        let words = if words.is_empty() { "–".to_string() } else { words };
        println!("| {standing} | {who} | {outcome} | {words} |");
    }
}

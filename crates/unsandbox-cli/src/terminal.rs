// SPDX-License-Identifier: MIT OR Apache-2.0
//! All output of the command: no other file opens the two streams. Text of a server, a program or a file name may
//! contain control sequences of a terminal, so all text is escaped, except the output of the program that was run.

use crate::failure::Failure;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use unsandbox::Stream;
use unsandbox::protocol::printable::{printable, printable_json, printable_lines};

/// Writes output of the program that was run, as unchanged bytes.
pub(crate) fn output(stream: Stream, bytes: &[u8]) -> Result<(), Failure> {
    match stream {
        Stream::Stdout => {
            let mut out = stdout().lock();
            out.write_all(bytes)?;
            // Flushed, so that a prompt or an incomplete line is visible.
            out.flush()?;
        }
        // A closed standard error is not a failure.
        Stream::Stderr => _ = stderr().lock().write_all(bytes),
    }
    Ok(())
}

/// One line on standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write_line(&printable(text))
}

/// A JSON document on standard output.
pub(crate) fn json(document: &str) -> Result<(), Failure> {
    write_line(&printable_json(document))
}

fn write_line(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Rows in columns that are as wide as their widest cell; the last one is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> Result<(), Failure> {
    let rows: Vec<Vec<_>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes one line of this command on standard error; a closed one is not an error.
pub(crate) fn say(message: &str) {
    err_line(&format!("unsandbox: {message}"));
}

/// One line of the log of `serve`.
pub(crate) fn log(text: &str) {
    err_line(text);
}

/// One line of the log of `serve`, which is JSON.
pub(crate) fn log_json(document: &str) {
    whole_line(&printable_json(document));
}

fn err_line(text: &str) {
    whole_line(&printable(text));
}

/// In one write, so that it stays whole beside those of other processes.
fn whole_line(text: &str) {
    let _ = stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Writes the text of the argument parser, help on standard output, the rest on standard error, and gives the exit
/// code. A reader that is gone is not an error here; a full disk is one.
pub(crate) fn usage(error: &clap::Error) -> i32 {
    let text = error.render().to_string();
    let text = printable_lines(&text);
    if error.use_stderr() {
        let _ = stderr().lock().write_all(text.as_bytes());
        return error.exit_code();
    }
    let written = stdout().lock().write_all(text.as_bytes()).and_then(|()| stdout().flush());
    match written {
        Err(failed) if failed.kind() != ErrorKind::BrokenPipe => Failure::from(failed).report(),
        _ => error.exit_code(),
    }
}

/// A text of several lines on standard output.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Whether standard error is a terminal.
pub(crate) fn is_watched() -> bool {
    stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn no_other_file_writes_to_the_streams() {
        let ways =
            ["stdout()", "stderr()", "print!(", "println!(", "dbg!(", ".print()", "/dev/std"];
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let way = ways.iter().find(|way| text.contains(*way));
            assert!(path.ends_with("terminal.rs") || way.is_none(), "{path:?} has {way:?}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The committed headers are what the sources say: regenerates include/unsandbox.h, .cdef and
//! .symbols, and compares. `UNSANDBOX_UPDATE=1` writes them in place of comparing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use unsandbox_protocol::error::ERROR_TABLE;
use unsandbox_protocol::{LimitKind, Status};

/// The files in reading order, and the heading of each section of the header.
const SECTIONS: &[(&str, &str)] = &[
    ("status", "Numbers and their words"),
    ("version", "Version"),
    ("error", "Errors"),
    ("config", "Configuration of a client"),
    ("client", "Clients"),
    ("request", "Requests"),
    ("callback", ""),
    ("options", "Options of one call (deadline, cancelling, streams)"),
    ("artifact", "Artifacts"),
    ("result", ""),
    ("result_fields", "Results, field by field"),
    ("job", "Lists of jobs"),
    ("job_fields", "Jobs, field by field"),
    ("info", "Languages, keys, health and isolation"),
    ("usage", "Usage of a key"),
    ("events", "Events of a job"),
    ("task", "Tasks, for event loops"),
    ("json", "JSON in and out: three functions and no structs"),
    ("log", "Log"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn crate_text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names that a source file exports, in order.
fn exported(source: &str) -> Vec<&str> {
    let calls = source.split("pub extern \"C\" fn ").skip(1);
    calls.filter_map(|rest| rest.split('(').next()).collect()
}

fn prelude() -> String {
    let part = |text: &str| text.parse::<u32>().expect("a number");
    let (major, minor, patch) = (
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    );
    let version = crate_text("src/version.rs");
    let abi = version.split("ABI_VERSION: i32 = ").nth(1).and_then(|it| it.split(';').next());
    crate_text("prelude.txt")
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@MAJOR@", &major.to_string())
        .replace("@MINOR@", &minor.to_string())
        .replace("@PATCH@", &patch.to_string())
        .replace("@NUMBER@", &(major * 10_000 + minor * 100 + patch).to_string())
        .replace("@ABI@", abi.expect("ABI_VERSION in version.rs"))
}

/// The headings, each with the beginnings of its functions' names.
fn contents() -> String {
    let noun = |name: &str| {
        let word = name.trim_start_matches("unsandbox_").split('_').next().unwrap_or_default();
        format!("unsandbox_{word}")
    };
    let line = |(file, heading): &(&str, &str)| {
        let source = crate_text(&format!("src/{file}.rs"));
        let mut nouns: Vec<String> = Vec::new();
        for name in exported(&source).into_iter().map(noun) {
            if !nouns.contains(&name) {
                nouns.push(name);
            }
        }
        (!nouns.is_empty()).then(|| format!(" *   {heading}: {}", nouns.join(", ")))
    };
    let lines = SECTIONS.iter().filter(|(_, heading)| !heading.is_empty()).filter_map(line);
    lines.collect::<Vec<_>>().join("\n")
}

fn header() -> String {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("cbindgen.toml");
    let mut config = cbindgen::Config::from_file(config).expect("cbindgen.toml");
    let header = crate_text("header.txt").replace("@CONTENTS@", &contents());
    config.header = Some(header.trim_end().to_string());
    config.after_includes = Some(prelude().trim_end().to_string());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for (file, _) in SECTIONS {
        builder =
            builder.with_src(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/{file}.rs")));
    }
    let mut written = Vec::new();
    builder.generate().expect("cbindgen").write(&mut written);
    let header = String::from_utf8(written).expect("UTF-8");
    with_headings(header)
}

/// cbindgen knows no sections: each gets its heading before its first function.
fn with_headings(header: String) -> String {
    let mut lines: Vec<String> = header.lines().map(str::to_string).collect();
    for (file, heading) in SECTIONS {
        let source = crate_text(&format!("src/{file}.rs"));
        let Some(first) = exported(&source).first().copied() else { continue };
        let declares = |line: &String| {
            !line.starts_with(" *")
                && line.split_once('(').is_some_and(|(before, _)| {
                    before.trim_end().ends_with(&format!(" {first}"))
                        || before.ends_with(&format!("*{first}"))
                })
        };
        let declared = lines.iter().position(declares);
        let declared = declared.unwrap_or_else(|| panic!("{first} is not in the header"));
        let comment = lines[..declared].iter().rposition(|line| line == "/**");
        lines.insert(comment.expect("a comment"), format!("/* {heading} */\n"));
    }
    for pair in lines.chunk_by_mut(|first, _| first == "UNSANDBOX_API") {
        // An attribute of the standard stands before those of a compiler.
        if pair.get(1).is_some_and(|line| line == "UNSANDBOX_NODISCARD") {
            pair.swap(0, 1);
        }
    }
    for line in &mut lines {
        // Each struct has its typedef, so its tag only makes the signatures longer.
        if !line.starts_with("typedef") && !line.starts_with(" *") {
            *line = line.replace("struct unsandbox_", "unsandbox_");
        }
    }
    lines.join("\n") + "\n"
}

/// What parsers without a preprocessor read: no directives, no attributes, no comments.
fn cdef(header: &str) -> String {
    let without_includes: String = header
        .lines()
        .filter(|line| !line.starts_with("#include"))
        .map(|line| format!("{line}\n"))
        .collect();
    let input = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unsandbox_cdef.h");
    fs::write(&input, without_includes).expect("a scratch file");
    let output = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_string()))
        .args(["-E", "-P", "-x", "c", "-DUNSANDBOX_API=", "-DUNSANDBOX_NODISCARD="])
        .arg(&input)
        .output()
        .expect("a C compiler as `cc`, or named by CC");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Compilers differ in their blank lines and line breaks, so each declaration becomes one line.
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut declarations = String::new();
    for word in text.split_whitespace() {
        declarations.push_str(word);
        declarations.push(' ');
    }
    let mut depth = 0;
    let mut out = String::new();
    for c in declarations.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ' ' && out.ends_with('\n') {
            continue;
        }
        out.push(c);
        if c == ';' && depth == 0 {
            out.push('\n');
        }
    }
    out.trim_end().to_string() + "\n"
}

/// One line for each function: its name and since when. Lines are added and never removed.
fn symbols() -> String {
    let mut lines = Vec::new();
    for (file, _) in SECTIONS {
        let source = crate_text(&format!("src/{file}.rs"));
        for piece in source.split("/// @since ").skip(1) {
            let since = piece.lines().next().expect("a line");
            let name = exported(piece)[0];
            lines.push(format!("{name} {since}"));
        }
    }
    lines.sort();
    lines.join("\n") + "\n"
}

fn compare_or_write(name: &str, current: &str) {
    let path = root().join("include").join(name);
    if std::env::var_os("UNSANDBOX_UPDATE").is_some() {
        fs::create_dir_all(root().join("include")).expect("include/");
        fs::write(&path, current).expect("a file in include/");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == current {
        return;
    }
    let differing = committed.lines().zip(current.lines()).position(|(a, b)| a != b);
    let line = differing.unwrap_or_else(|| committed.lines().count().min(current.lines().count()));
    panic!(
        "include/{name} is not what the sources say, first in line {}:\ncommitted: {:?}\nsources:   \
         {:?}\nUNSANDBOX_UPDATE=1 cargo test -p unsandbox-capi --test header writes it anew",
        line + 1,
        committed.lines().nth(line),
        current.lines().nth(line),
    );
}

#[test]
fn the_committed_headers_are_current() {
    let header = header();
    compare_or_write("unsandbox.cdef", &cdef(&header));
    compare_or_write("unsandbox.symbols", &symbols());
    compare_or_write("unsandbox.h", &header);
}

#[test]
fn every_exported_function_is_documented_with_its_version() {
    for (file, _) in SECTIONS {
        let source = crate_text(&format!("src/{file}.rs"));
        let documented = source.matches("/// @since ").count();
        assert_eq!(exported(&source).len(), documented, "{file}.rs");
    }
}

/// The value of a constant in the generated header.
fn constant(header: &str, name: &str) -> i32 {
    let found = header.lines().find_map(|line| line.trim().strip_prefix(&format!("{name} = ")));
    let found = found.unwrap_or_else(|| panic!("{name} is not in the header"));
    found.trim_end_matches(',').parse().expect("a number")
}

#[test]
fn the_numbers_are_those_of_the_protocol() {
    let header = header();
    for row in ERROR_TABLE {
        assert_eq!(constant(&header, &format!("UNSANDBOX_ERR_{}", row.name)), row.number);
    }
    let constants = header.lines().filter(|it| it.trim().starts_with("UNSANDBOX_ERR_"));
    assert_eq!(constants.count(), ERROR_TABLE.len());
    let known = ["pending", "running", "completed", "timeout", "cancelled", "failed"];
    for (index, word) in known.iter().enumerate() {
        assert!(!matches!(Status::parse(word), Status::Other(_)), "{word}");
        let name = format!("UNSANDBOX_STATUS_{}", word.to_uppercase());
        assert_eq!(constant(&header, &name), index as i32 + 1);
    }
    for kind in LimitKind::ALL {
        assert!(
            constant(&header, &format!("UNSANDBOX_LIMIT_{}", kind.as_str().to_uppercase())) > 0
        );
    }
}

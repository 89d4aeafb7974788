// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often the language of a program without shebang is told, measured on a corpus. Programs with odd
//! numbers were there to be looked at while the hints were written; what counts are the even ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use unsandbox_protocol::detect::detect;

struct Program {
    language: String,
    number: u32,
    code: String,
}

fn corpus() -> Vec<Program> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut programs = Vec::new();
    for folder in sorted(&root) {
        for file in sorted(&folder) {
            let number = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let language = folder.file_name().unwrap().to_str().unwrap().to_string();
            programs.push(Program { language, number, code: fs::read_to_string(&file).unwrap() });
        }
    }
    programs
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Languages with the same text count as one.
fn class(language: &str) -> &str {
    match language {
        "dotnet" => "csharp",
        "deno" => "typescript",
        other => other,
    }
}

/// What was told of the programs that `keep` wants: right and all, by language; and the mistakes.
fn measure(keep: impl Fn(&Program) -> bool) -> (BTreeMap<String, (usize, usize)>, Vec<String>) {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for program in corpus().iter().filter(|program| keep(program)) {
        let told = detect(&program.code);
        let right = told.as_ref().is_ok_and(|l| class(l.name) == class(&program.language));
        let count = counts.entry(program.language.clone()).or_default();
        count.0 += usize::from(right);
        count.1 += 1;
        if !right {
            let told =
                told.map_or_else(|error| error.message().to_string(), |l| l.name.to_string());
            mistakes.push(format!("{}/{:02}: {told}", program.language, program.number));
        }
    }
    (counts, mistakes)
}

fn report(title: &str, counts: &BTreeMap<String, (usize, usize)>, mistakes: &[String]) -> f64 {
    let (right, all) = counts.values().fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
    let share = right as f64 / all as f64;
    println!("{title}: {right} of {all} ({:.1} %)", share * 100.0);
    for (language, (right, all)) in counts {
        println!("  {language:<12} {right}/{all}");
    }
    for mistake in mistakes {
        println!("  not right: {mistake}");
    }
    share
}

#[test]
fn the_language_of_programs_kept_back_is_told() {
    let (counts, mistakes) = measure(|program| program.number % 2 == 0);
    let share = report("kept back", &counts, &mistakes);
    assert!(share >= 0.95, "{:.1} % of the programs kept back were told, not 95 %", share * 100.0);
    for (language, (right, all)) in &counts {
        assert!(right * 4 >= all * 3, "{language}: {right} of {all} told, not 75 %");
    }
}

#[test]
fn the_language_of_programs_looked_at_is_told() {
    let (counts, mistakes) = measure(|program| program.number % 2 == 1);
    let share = report("looked at", &counts, &mistakes);
    assert!(share >= 0.95, "{:.1} % of the programs looked at were told, not 95 %", share * 100.0);
}

#[test]
fn the_corpus_has_eight_programs_of_each_language() {
    let mut numbers: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for program in corpus() {
        assert!(!program.code.starts_with("#!"), "{} has a shebang", program.language);
        numbers.entry(program.language).or_default().insert(program.number);
    }
    assert_eq!(numbers.len(), 43);
    for (language, numbers) in numbers {
        assert!(numbers.len() >= 8, "{language} has {} programs", numbers.len());
    }
}

/// A generator that needs no crate and always gives the same numbers.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn no_text_makes_it_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d;
    for _ in 0..300 {
        let length = (random(&mut state) % 3000) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| random(&mut state) as u8).collect();
        let _ = detect(&String::from_utf8_lossy(&bytes));
    }
    for program in corpus() {
        let mut cut = (random(&mut state) as usize) % (program.code.len() + 1);
        while !program.code.is_char_boundary(cut) {
            cut -= 1;
        }
        let _ = detect(&program.code[..cut]);
        let _ = detect(&program.code[cut..]);
        let _ = detect(&format!("#!{}", &program.code[cut..]));
    }
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    for program in corpus() {
        let plain = detect(&program.code).map(|l| l.name).ok();
        let dressed = format!("\u{feff}{}", program.code.replace('\n', "\r\n"));
        assert_eq!(detect(&dressed).map(|l| l.name).ok(), plain, "{}", program.language);
    }
}

#[test]
fn only_the_first_part_of_a_large_program_is_looked_at() {
    let filler = "(((((((((((((((((((((((((((((((((((((((((((((((\n".repeat(1024);
    let python = "def main():\n    import sys\n";
    assert_eq!(detect(&format!("{python}{filler}")).unwrap().name, "python");
    assert!(detect(&format!("{filler}{python}")).is_err());
}

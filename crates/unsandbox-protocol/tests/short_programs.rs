// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often the language of a short program is told: one line, a few lines, or a fence of back-quotes around it. The
//! programs are in `short_programs.txt`.

use unsandbox_protocol::detect::detect;
use unsandbox_protocol::language::find_language;

/// The languages that a program may be taken for, and whether it may be refused instead.
struct Program {
    languages: Vec<&'static str>,
    may_be_refused: bool,
    code: &'static str,
}

fn programs() -> Vec<Program> {
    let entries = include_str!("short_programs.txt").split("\n=== ").skip(1);
    entries
        .map(|entry| {
            let (names, code) = entry.split_once('\n').unwrap();
            let may_be_refused = names.starts_with("? ");
            let languages = names.trim_start_matches("? ").split(' ').collect();
            Program { languages, may_be_refused, code }
        })
        .collect()
}

#[test]
fn the_language_of_short_programs_is_told_and_a_wrong_one_is_not() {
    let (mut right, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    let programs = programs();
    for Program { languages, may_be_refused, code } in &programs {
        for name in languages.iter().filter(|name| **name != "-") {
            assert!(find_language(name).is_some_and(|language| language.name == *name), "{name}");
        }
        match detect(code) {
            Ok(language) if languages.contains(&language.name) => right += 1,
            Ok(language) => {
                wrong.push(format!("{languages:?} taken for {}: {code}", language.name))
            }
            Err(_) if *may_be_refused => right += 1,
            Err(error) => refused.push(format!("{languages:?}: {error}: {code}")),
        }
    }
    let all = programs.len();
    println!("{right} of {all} right, {} refused, {} wrong", refused.len(), wrong.len());
    assert!(wrong.is_empty(), "{} wrong of {all}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(right * 100 >= all * 97, "{} refused of {all}:\n{}", refused.len(), refused.join("\n"));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fortran and COBOL: whether a text is in the form of punched cards, where columns mean something, or in the free one.
//! A text can often be read in both: the recipe tries the other form before it reports an error.

use super::scan::{LIKE_C, NEAR, Quote, Syntax, Token, scan};
use super::{Draft, Source};
use std::collections::{BTreeSet, HashMap, HashSet};

const FORTRAN: Syntax = Syntax {
    line_comments: &["!"],
    block_comments: &[],
    strings: &[
        Quote { escapes: false, doubles: true, ..Quote::line("\"") },
        Quote { escapes: false, doubles: true, ..Quote::line("'") },
    ],
    characters: false,
    ..LIKE_C
};

/// The likelier form, and the modules before those that use them.
pub(super) fn fortran<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let lines = || draft.text.lines().filter(|line| !line.trim_start().starts_with('!'));
    let is_free = lines().any(|line| {
        let first = line.chars().next().unwrap_or(' ');
        !(first.is_whitespace() || first.is_ascii_digit() || "cC*!#".contains(first))
            || line.trim_end().ends_with('&')
    });
    let continues = |line: &str| {
        line.starts_with("     ") && !matches!(line.as_bytes().get(5), None | Some(b' ' | b'0'))
    };
    let is_fixed =
        !is_free && lines().any(|line| line.starts_with(['c', 'C', '*']) || continues(line));
    let is_program = is_program(&draft.text, is_fixed);
    let programs = (0..others.len()).filter(|place| {
        let other = &others[*place];
        let extension = other.name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        self::is_program(other.text, ["f", "for", "f77"].contains(&&*extension))
    });
    let left_out = if is_program { programs.collect() } else { Vec::new() };
    let order = {
        let texts: Vec<String> =
            others.iter().map(|other| other.text.to_ascii_lowercase()).collect();
        let modules: Vec<Modules<'_>> =
            texts.iter().map(|text| modules(&scan(text, &FORTRAN))).collect();
        in_order_of_use(&modules)
    };
    // Lines for the preprocessor, which the tool knows by a capital letter of the extension.
    let is_preprocessed = draft.text.lines().any(|line| line.starts_with('#'))
        || others.iter().any(|other| other.text.lines().any(|line| line.starts_with('#')));
    let uses_openmp =
        uses_openmp(&draft.text) || others.iter().any(|other| uses_openmp(other.text));
    let entry = match (is_preprocessed, uses_openmp) {
        (true, true) => "-cpp -fopenmp",
        (true, false) => "-cpp",
        (false, true) => "-fopenmp",
        (false, false) => "",
    };
    let entry = entry.to_string();
    Draft { form: if is_fixed { "fixed" } else { "free" }, entry, order, left_out, ..draft }
}

/// Whether a program begins in it, and not only parts of one.
fn is_program(text: &str, is_fixed: bool) -> bool {
    const PARTS: [&str; 10] = [
        "module",
        "submodule",
        "subroutine",
        "function",
        "block",
        "blockdata",
        "recursive",
        "pure",
        "elemental",
        "impure",
    ];
    let lower = text.to_ascii_lowercase();
    let is_code = |line: &&str| !(is_fixed && line.starts_with(['c', '*']));
    let code: String = lower.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
    let tokens = scan(&code, &FORTRAN);
    let begins = |token: &Token<'_>, word: &str| token.is(word) && token.begins_line;
    let is_named = |two: &[Token<'_>]| {
        begins(&two[0], "program") && two[1].word().is_some() && !two[1].begins_line
    };
    if tokens.windows(2).any(is_named) {
        return true;
    }
    // Without a name it begins with any statement, of which some begin functions as well.
    let line = tokens.iter().skip(1).take_while(|token| !token.begins_line);
    let mut first_line = tokens.first().into_iter().chain(line);
    tokens.first().is_some_and(|first| !PARTS.contains(&first.text) && !first.is("#"))
        && !first_line.any(|token| token.is("function") || token.is("subroutine"))
}

/// A directive of OpenMP, which looks like a comment, or its module.
fn uses_openmp(text: &str) -> bool {
    let begins = |line: &str, words: &[&str]| {
        let line = line.trim_start().to_ascii_lowercase();
        words.iter().any(|word| line.starts_with(word))
    };
    let directives = ["!$omp ", "c$omp ", "*$omp "];
    text.lines().any(|line| {
        begins(line, &directives) || begins(line, &["use omp_lib", "include 'omp_lib.h'"])
    })
}

/// The modules that a file defines, and those that it uses.
struct Modules<'a> {
    defined: HashSet<&'a str>,
    used: HashSet<&'a str>,
}

fn modules<'a>(tokens: &[Token<'a>]) -> Modules<'a> {
    // `module m`, `use m`, `use, intrinsic :: m`, `submodule (m) part`.
    let after = |keyword: &'static str| {
        let begins = move |token: &Token<'_>| token.is(keyword) && token.begins_line;
        tokens.iter().enumerate().filter(move |(_, token)| begins(token)).filter_map(
            |(place, _)| {
                let line =
                    tokens[place + 1..].iter().take_while(|token| !token.begins_line).take(NEAR);
                let line: Vec<&Token<'_>> = line.collect();
                let colons = line.windows(2).position(|two| two[0].is(":") && two[1].is(":"));
                let rest = &line[colons.map_or(0, |at| at + 2)..];
                rest.iter().find_map(|token| token.word())
            },
        )
    };
    Modules {
        defined: after("module").collect(),
        used: after("use").chain(after("submodule")).collect(),
    }
}

/// Files that use each other do not compile in any order, and keep theirs.
fn in_order_of_use(modules: &[Modules<'_>]) -> Vec<usize> {
    let mut homes: HashMap<&str, usize> = HashMap::new();
    for (place, file) in modules.iter().enumerate() {
        homes.extend(file.defined.iter().map(|name| (*name, place)));
    }
    let mut needs: Vec<HashSet<usize>> = modules
        .iter()
        .map(|file| file.used.iter().filter_map(|name| homes.get(name).copied()).collect())
        .collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); modules.len()];
    for (place, needs) in needs.iter_mut().enumerate() {
        needs.remove(&place);
        needs.iter().for_each(|need| users[*need].push(place));
    }
    let mut waiting: BTreeSet<usize> = (0..modules.len()).collect();
    let mut ready: BTreeSet<usize> =
        waiting.iter().copied().filter(|place| needs[*place].is_empty()).collect();
    let mut order: Vec<usize> = Vec::new();
    while let Some(next) = ready.pop_first().or_else(|| waiting.first().copied()) {
        waiting.remove(&next);
        order.push(next);
        for user in &users[next] {
            if needs[*user].remove(&next) && needs[*user].is_empty() && waiting.contains(user) {
                ready.insert(*user);
            }
        }
    }
    order
}

/// Fixed where nothing but numbers begins before the indicator column, and where a directive does not say it.
///
/// Files that are copied into others are not compiled with them.
pub(super) fn cobol<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let is_directive = |line: &str| {
        let bare: String = line.to_ascii_uppercase().split_whitespace().collect();
        bare.starts_with(">>SOURCE") || bare.starts_with("$SETSOURCEFORMAT")
    };
    let is_fixed = |line: &str| {
        let bytes = line.as_bytes();
        let area = &bytes[..bytes.len().min(6)];
        let is_numbers = area.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ');
        line.trim().is_empty()
            || is_numbers && bytes.get(6).is_none_or(|indicator| b" */-dD".contains(indicator))
    };
    let form = if draft.text.lines().any(is_directive) {
        "said"
    } else if draft.text.lines().all(is_fixed) {
        "fixed"
    } else {
        "free"
    };
    let is_part = |place: &usize| {
        let text = others[*place].text.to_ascii_uppercase();
        !["PROGRAM-ID", "FUNCTION-ID"].iter().any(|word| text.contains(word))
    };
    let left_out = (0..others.len()).filter(is_part).collect();
    Draft { form, left_out, ..draft }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lay_out, uploaded};
    use super::super::{Layout, Upload};

    fn laid<'a>(language: &str, code: &'a str, files: &'a [(String, Vec<u8>)]) -> Layout<'a> {
        lay_out(language, Upload { code, files })
    }

    #[test]
    fn the_likelier_form_is_named() {
        for (language, code, form) in [
            ("fortran", "program x\nprint *, 1\nend", "free"),
            ("fortran", "C comment\n      PRINT *, 1\n      END", "fixed"),
            ("fortran", "      PRINT *,\n     & 1\n      END", "fixed"),
            ("fortran", "! c\n      print *, 1 &\n      , 2\n      end", "free"),
            ("cobol", "       IDENTIFICATION DIVISION.\n", "fixed"),
            ("cobol", "000100 IDENTIFICATION DIVISION.\n000200*comment\n", "fixed"),
            ("cobol", "IDENTIFICATION DIVISION.\n", "free"),
            ("cobol", "      >>SOURCE FORMAT IS FREE\nIDENTIFICATION DIVISION.", "said"),
        ] {
            assert_eq!(laid(language, code, &[]).form, form, "{code}");
        }
    }

    #[test]
    fn other_programs_and_copied_files_are_left_out() {
        let files = [
            ("a.f90", "! program\nmodule a\nend module\nprogram b\nend"),
            ("b.f", "C     OLD\n      INTEGER FUNCTION F(X)\n      END"),
            ("c.f", "*     OLD\n      PRINT *, 'subroutine'\n      END"),
            ("d.f90", "subroutine s(program)\nprogram = 1\nend"),
            ("e.f90", "integer :: i\ni = 1\nend"),
        ];
        let files = uploaded(&files);
        assert_eq!(laid("fortran", "print *, 1\nend", &files).sources, ["b.f", "d.f90"]);
        assert_eq!(laid("fortran", "subroutine x\nend", &files).sources.len(), 5);
        let files =
            [("a.cbl", "01 X PIC 9."), ("b.cob", "identification division. program-id. b.")];
        let files = uploaded(&files);
        assert_eq!(laid("cobol", "program-id. p.", &files).sources, ["b.cob"]);
    }

    #[test]
    fn the_compiler_is_told_of_directives() {
        for (code, entry) in [
            ("program p\n!$omp parallel do\n", "-fopenmp"),
            ("#ifdef A\n#endif\n USE OMP_LIB\n", "-cpp -fopenmp"),
            ("#define A\n", "-cpp"),
            ("print *, '!$omp parallel' ! use omp_lib\n", ""),
        ] {
            assert_eq!(laid("fortran", code, &[]).entry, entry, "{code}");
        }
    }

    #[test]
    fn modules_come_before_their_users() {
        let files = [
            ("a.f90", "module a\n use :: B\nend module"),
            ("b.f90", "MODULE B\nend module"),
            ("c.f90", "! use a\nmodule c\nend"),
        ];
        let files = uploaded(&files);
        assert_eq!(laid("fortran", "use a\nend", &files).sources, ["b.f90", "a.f90", "c.f90"]);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The filters of every jail as one short program. The kernel checks and compiles a filter anew for each
//! jail, and tries it out for every system call there is: three programs, each a list to be looked
//! through, took it more time than all mounts of the jail.

use libc::sock_filter;
use std::collections::BTreeMap;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const GO: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const ALLOW: sock_filter = op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);

/// So many numbers are compared one by one, where the search has come down to them.
const TOGETHER: usize = 4;

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// What becomes of a call by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Refuse {
        errno: u32,
    },
    /// Its arguments decide.
    Look,
}

/// `guard` decides first. What it allows is looked for among the `answers`: a call that is not there is
/// allowed, and of one whose arguments decide, `rules` says what becomes of it.
pub fn joined(
    guard: &[sock_filter],
    answers: &BTreeMap<u32, Answer>,
    rules: &[sock_filter],
) -> Vec<sock_filter> {
    let mut whole = handing_on(guard);
    whole.push(op(LOAD, 0, 0, 0)); // seccomp_data.nr
    let answers: Vec<(u32, Answer)> = answers.iter().map(|(nr, answer)| (*nr, *answer)).collect();
    let search = search(&answers);
    let end = search.len();
    // The rules lie behind the search.
    whole.extend(search.into_iter().enumerate().map(|(at, step)| match step {
        Step::Done(op) => op,
        Step::ToRules => op(GO, 0, 0, (end - at - 1) as u32),
    }));
    whole.extend(rules);
    whole
}

/// A program that goes on behind its end wherever it would allow the call.
fn handing_on(program: &[sock_filter]) -> Vec<sock_filter> {
    let end = program.len();
    let steps = program.iter().enumerate().map(|(at, step)| {
        let allows = step.code == ALLOW.code && step.k == ALLOW.k;
        if allows { op(GO, 0, 0, (end - at - 1) as u32) } else { *step }
    });
    steps.collect()
}

enum Step {
    Done(sock_filter),
    ToRules,
}

/// Halves the numbers until few are left.
fn search(answers: &[(u32, Answer)]) -> Vec<Step> {
    if answers.len() <= TOGETHER {
        return compare(answers);
    }
    let (low, high) = answers.split_at(answers.len() / 2);
    let lower = search(low);
    let first = high[0].0;
    let mut steps = match u8::try_from(lower.len()) {
        Ok(over) => vec![Step::Done(op(AT_LEAST, over, 0, first))],
        // A plain jump reaches further than a comparison's.
        Err(_) => vec![
            Step::Done(op(AT_LEAST, 0, 1, first)),
            Step::Done(op(GO, 0, 0, lower.len() as u32)),
        ],
    };
    steps.extend(lower);
    steps.extend(search(high));
    steps
}

/// The numbers, then what becomes of a call that is none of them, then what becomes of those.
fn compare(answers: &[(u32, Answer)]) -> Vec<Step> {
    let mut kinds: Vec<Answer> = Vec::new();
    for (_, answer) in answers {
        if !kinds.contains(answer) {
            kinds.push(*answer);
        }
    }
    let place = |of: Answer| kinds.iter().position(|kind| *kind == of).unwrap_or(0);
    let comparisons = answers.iter().enumerate().map(|(at, (number, answer))| {
        let over = answers.len() - at + place(*answer);
        Step::Done(op(EQUAL, over as u8, 0, *number))
    });
    let ends = kinds.iter().map(|kind| match kind {
        Answer::Refuse { errno } => Step::Done(op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno)),
        Answer::Look => Step::ToRules,
    });
    comparisons.chain([Step::Done(ALLOW)]).chain(ends).collect()
}

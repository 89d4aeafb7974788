// SPDX-License-Identifier: MIT OR Apache-2.0
//! Joins the filters of every jail into one short program. The kernel checks and compiles a filter for each jail, and
//! runs it for every system call number to cache the answers. Three programs with linear lists took more time than all
//! mounts of the jail.

use libc::sock_filter;
use std::collections::BTreeMap;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const ALLOW: sock_filter = op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
/// Loads the number of the call from `seccomp_data`.
const NUMBER: sock_filter = op(LOAD, 0, 0, 0);

/// The binary search compares so many numbers one by one at its end.
const LINEAR_SEARCH_MAX: usize = 4;

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The answer to a call by its number, or by one of its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Allow,
    Refuse {
        errno: u32,
    },
    /// Handed to the init, which decides.
    Ask,
    /// The programs behind the search decide.
    RunPrograms,
}

pub type Answers = BTreeMap<u32, Answer>;

/// `check` decides first. A call that it allows is looked up in `answers`; a call that is not there is allowed. With
/// [`Answer::RunPrograms`] it goes through the `programs`, and the first that does not allow it decides.
pub fn joined(
    check: &[sock_filter],
    answers: &Answers,
    programs: &[Vec<sock_filter>],
) -> Vec<sock_filter> {
    let mut whole = with_fallthrough(check);
    whole.push(NUMBER);
    let answers: Vec<(u32, Answer)> = answers.iter().map(|(nr, answer)| (*nr, *answer)).collect();
    let search = search(&answers, Answer::Allow);
    let end = search.len();
    // The programs follow the search.
    whole.extend(search.into_iter().enumerate().map(|(at, step)| match step {
        Step::Done(op) => op,
        Step::Fallthrough => op(JUMP, 0, 0, (end - at - 1) as u32),
    }));
    whole.extend(programs.iter().flat_map(|program| with_fallthrough(program)));
    whole.push(ALLOW);
    whole
}

/// A program that checks one argument (its lower 32 bits) of one call, and allows every other call.
pub fn by_argument(
    call: libc::c_long,
    argument: u8,
    answers: &Answers,
    default: Answer,
) -> Vec<sock_filter> {
    const ARGUMENTS: u32 = 16; // offset in seccomp_data
    let answers: Vec<(u32, Answer)> = answers.iter().map(|(nr, answer)| (*nr, *answer)).collect();
    let value = op(LOAD, 0, 0, ARGUMENTS + 8 * u32::from(argument));
    let mut whole = vec![NUMBER, op(EQUAL, 1, 0, call as u32), ALLOW, value];
    whole.extend(search(&answers, default).into_iter().map(|step| match step {
        Step::Done(op) => op,
        Step::Fallthrough => ALLOW,
    }));
    whole
}

/// The program with each "allow" replaced by a jump to its end.
fn with_fallthrough(program: &[sock_filter]) -> Vec<sock_filter> {
    let end = program.len();
    let steps = program.iter().enumerate().map(|(at, step)| {
        let allows = step.code == ALLOW.code && step.k == ALLOW.k;
        if allows { op(JUMP, 0, 0, (end - at - 1) as u32) } else { *step }
    });
    steps.collect()
}

enum Step {
    Done(sock_filter),
    /// Continues after the search.
    Fallthrough,
}

impl Answer {
    fn step(self) -> Step {
        Step::Done(match self {
            Answer::Allow => ALLOW,
            Answer::Refuse { errno } => op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
            Answer::Ask => op(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
            Answer::RunPrograms => return Step::Fallthrough,
        })
    }
}

/// A binary search with a linear end.
fn search(answers: &[(u32, Answer)], default: Answer) -> Vec<Step> {
    if answers.len() <= LINEAR_SEARCH_MAX {
        return compare(answers, default);
    }
    let (low, high) = answers.split_at(answers.len() / 2);
    let lower = search(low, default);
    let first = high[0].0;
    let mut steps = match u8::try_from(lower.len()) {
        Ok(over) => vec![Step::Done(op(AT_LEAST, over, 0, first))],
        // An unconditional jump has a larger range than a conditional one.
        Err(_) => vec![
            Step::Done(op(AT_LEAST, 0, 1, first)),
            Step::Done(op(JUMP, 0, 0, lower.len() as u32)),
        ],
    };
    steps.extend(lower);
    steps.extend(search(high, default));
    steps
}

/// The comparisons, then the default answer, then the answers to the numbers.
fn compare(answers: &[(u32, Answer)], default: Answer) -> Vec<Step> {
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
    comparisons.chain([default.step()]).chain(kinds.iter().map(|kind| kind.step())).collect()
}

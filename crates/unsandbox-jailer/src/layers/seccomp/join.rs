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
/// The number of the call in what a filter is given.
const NUMBER: sock_filter = op(LOAD, 0, 0, 0);

/// So many numbers are compared one by one, where the search has come down to them.
const TOGETHER: usize = 4;

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// What becomes of a call by its number, or by one of its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Allow,
    Refuse {
        errno: u32,
    },
    /// The init looks at it, and says what becomes of it.
    Ask,
    /// The programs behind the search decide.
    Look,
}

pub type Answers = BTreeMap<u32, Answer>;

/// `guard` decides first. What it allows is looked for among the `answers`: a call that is not there is
/// allowed. One that is to be looked at goes through the `programs`, of which the first that does not allow
/// it decides.
pub fn joined(
    guard: &[sock_filter],
    answers: &Answers,
    programs: &[Vec<sock_filter>],
) -> Vec<sock_filter> {
    let mut whole = handing_on(guard);
    whole.push(NUMBER);
    let answers: Vec<(u32, Answer)> = answers.iter().map(|(nr, answer)| (*nr, *answer)).collect();
    let search = search(&answers, Answer::Allow);
    let end = search.len();
    // The programs lie behind the search.
    whole.extend(search.into_iter().enumerate().map(|(at, step)| match step {
        Step::Done(op) => op,
        Step::Behind => op(GO, 0, 0, (end - at - 1) as u32),
    }));
    whole.extend(programs.iter().flat_map(|program| handing_on(program)));
    whole.push(ALLOW);
    whole
}

/// A program that looks at one argument (its lower 32 bits) of one call, and allows every other call.
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
        Step::Behind => ALLOW,
    }));
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
    /// Goes on behind the search.
    Behind,
}

impl Answer {
    fn step(self) -> Step {
        Step::Done(match self {
            Answer::Allow => ALLOW,
            Answer::Refuse { errno } => op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
            Answer::Ask => op(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
            Answer::Look => return Step::Behind,
        })
    }
}

/// Halves the numbers until few are left.
fn search(answers: &[(u32, Answer)], default: Answer) -> Vec<Step> {
    if answers.len() <= TOGETHER {
        return compare(answers, default);
    }
    let (low, high) = answers.split_at(answers.len() / 2);
    let lower = search(low, default);
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
    steps.extend(search(high, default));
    steps
}

/// The numbers, then what becomes of a call that is none of them, then what becomes of those.
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compiled filters, interpreted as the kernel would. In a jail capabilities and namespaces hide
//! most rules from behaviour; here each has a row that fails without it.

use super::table::{Row, foreign, table};
use super::*;
use libc::*;

/// What the kernel hands to a filter (struct seccomp_data).
#[derive(Clone, Copy)]
pub struct Call {
    pub number: i64,
    pub arch: u32,
    pub args: [u64; 6],
}

impl Call {
    /// The 32-bit word at an offset, in the processor's order.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number as u32,
            4 => self.arch,
            16.. => {
                let argument = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
            _ => panic!("no filter reads the instruction pointer"),
        }
    }
}

fn interpret(program: &[sock_filter], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let op = program[at];
        let choose = |condition: bool| usize::from(if condition { op.jt } else { op.jf });
        at += 1;
        match op.code {
            0x20 => accumulator = call.word(op.k),
            0x54 => accumulator &= op.k,
            0x05 => at += op.k as usize,
            0x15 => at += choose(accumulator == op.k),
            0x25 => at += choose(accumulator > op.k),
            0x35 => at += choose(accumulator >= op.k),
            0x45 => at += choose(accumulator & op.k != 0),
            0x06 => return op.k,
            code => panic!("an instruction that this test does not know: {code:#x}"),
        }
    }
}

/// The kernel runs every filter and applies the strictest answer.
pub fn verdict(programs: &[&[sock_filter]], call: &Call) -> &'static str {
    let strictest =
        programs.iter().map(|program| interpret(program, call)).min_by_key(|action| *action as i32);
    match strictest.expect("there is a filter") {
        SECCOMP_RET_ALLOW => "allow",
        SECCOMP_RET_KILL_PROCESS => "kill",
        SECCOMP_RET_USER_NOTIF => "ask",
        // The call returns 0.
        SECCOMP_RET_ERRNO => "nothing",
        action if action == SECCOMP_RET_ERRNO | ENOTTY as u32 => "ENOTTY",
        action if action == SECCOMP_RET_ERRNO | EPERM as u32 => "EPERM",
        action if action == SECCOMP_RET_ERRNO | ENOSYS as u32 => "ENOSYS",
        action => panic!("an action that nobody asked for: {action:#x}"),
    }
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
#[cfg(target_arch = "x86_64")]
pub const OTHERS: [u32; 4] = [0x4000_0003, 0xc000_00b7, 0x4000_0028, 0xc000_00f3];
#[cfg(target_arch = "aarch64")]
pub const OTHERS: [u32; 4] = [0x4000_0003, 0xc000_003e, 0x4000_0028, 0xc000_00f3];
/// Bits that the kernel ignores; a filter has to ignore them, too.
pub const HIGH: u64 = 7 << 32;

/// A call of this processor's own table.
pub fn native(number: c_long, args: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { number, arch: NATIVE, args: all }
}

/// The rules of the filters that seccompiler makes, each with its errno.
struct Source {
    forbidden: Rules,
    flushes: Rules,
    absent: Rules,
    reduced: Rules,
    signals: Rules,
    architecture_check: Vec<sock_filter>,
}

impl Source {
    fn whole() -> Source {
        Source {
            forbidden: forbidden_rules().expect("the rules are valid"),
            flushes: flush_rules().expect("the rules are valid"),
            absent: super::whole(ABSENT),
            reduced: reduced_rules().expect("the rules are valid"),
            signals: signal_rules().expect("the rules are valid"),
            architecture_check: architecture_check(),
        }
    }

    /// Every filter by itself, in the order of the levels that add them.
    fn apart(&self) -> [Vec<sock_filter>; 6] {
        let compile = |rules: &Rules, errno| program(rules.clone(), errno).expect("they compile");
        [
            self.architecture_check.clone(),
            compile(&self.forbidden, EPERM),
            compile(&self.flushes, 0),
            compile(&self.absent, ENOSYS),
            compile(&self.reduced, EPERM),
            compile(&self.signals, EPERM),
        ]
    }

    /// The first row that these rules do not answer as expected.
    fn first_wrong(&self, rows: &[Row]) -> Option<String> {
        let apart = self.apart();
        let full = apart.each_ref().map(Vec::as_slice);
        rows.iter().find_map(|Row { call, expected }| {
            (0..3).find_map(|level| {
                let got = verdict(&full[..4 + level], call);
                (got != expected[level]).then(|| {
                    let Call { number, arch, args } = call;
                    format!(
                        "{number} of {arch:#x} with {args:x?} at {level}: {got}, not {}",
                        expected[level]
                    )
                })
            })
        })
    }
}

#[test]
fn the_filters_answer_every_row_of_the_table() {
    assert_eq!(Source::whole().first_wrong(&table()), None);
}

#[test]
fn what_is_installed_is_what_the_table_is_about() {
    let (installed, source) = (Filters::compile().expect("they compile"), Source::whole());
    let bytes = |program: &[sock_filter]| -> Vec<(u16, u8, u8, u32)> {
        program.iter().map(|op| (op.code, op.jt, op.jf, op.k)).collect()
    };
    let made = |rules: &Rules, errno| bytes(&program(rules.clone(), errno).expect("they compile"));
    let (apart, requests) = (source.apart(), requests::program());
    let mut parts: Vec<&[sock_filter]> = apart[..4].iter().map(Vec::as_slice).collect();
    parts.push(&requests);
    let differs = |call: Call| verdict(&[&installed.every], &call) != verdict(&parts, &call);
    for row in table() {
        assert!(!differs(row.call), "{} with {:x?}", row.call.number, row.call.args);
    }
    for arch in [NATIVE, OTHERS[0]] {
        for number in (0..1100).chain([0x3fff_ffff, 0x4000_0000, 0x4000_0027, 0xffff_ffff]) {
            for argument in [0, 1, 2, 10, 17, 0x5401, 0x4000_0000, u64::MAX] {
                let call = Call { number, arch, args: [argument; 6] };
                assert!(!differs(call), "{number} of {arch:#x} with {argument:#x}");
            }
        }
    }
    assert_eq!(bytes(&installed.reduced), made(&source.reduced, EPERM));
    assert_eq!(bytes(&without_signals().expect("they compile")), made(&source.signals, EPERM));
}

/// Every way to leave one rule out of a list: a call as a whole, or one of its conditions.
pub fn without_one(rules: &Rules) -> Vec<(String, Rules)> {
    let mut variants = Vec::new();
    for (call, conditions) in rules {
        for index in 0..conditions.len().max(1) {
            let mut fewer = rules.clone();
            let mut left = conditions.clone();
            if index < left.len() {
                left.remove(index);
            }
            match left.is_empty() {
                true => drop(fewer.remove(call)),
                false => drop(fewer.insert(*call, left)),
            }
            variants.push((format!("call {call}, rule {index}"), fewer));
        }
    }
    variants
}

#[test]
fn a_row_fails_for_each_rule_that_is_left_out() {
    type Field = fn(&mut Source) -> &mut Rules;
    let fields: [(&str, Field); 5] = [
        ("forbidden", |source| &mut source.forbidden),
        ("flushes", |source| &mut source.flushes),
        ("absent", |source| &mut source.absent),
        ("reduced", |source| &mut source.reduced),
        ("signals", |source| &mut source.signals),
    ];
    let rows = table();
    let mut unnoticed = Vec::new();
    for (name, field) in fields {
        for (what, fewer) in without_one(field(&mut Source::whole())) {
            let mut source = Source::whole();
            *field(&mut source) = fewer;
            if source.first_wrong(&rows).is_none() {
                unnoticed.push(format!("{name}: {what}"));
            }
        }
    }
    assert!(unnoticed.is_empty(), "no row needs these: {unnoticed:#?}");
}

/// seccompiler's filters check the architecture too, so the table above does not test this check.
#[test]
fn the_architecture_check_needs_no_other_filter() {
    let rows = foreign();
    let holds = |check: &[sock_filter]| {
        rows.iter().all(|row| verdict(&[check], &row.call) == "kill")
            && [0, 39, 165].iter().all(|number| {
                let call = |number| Call { number, arch: NATIVE, args: [0; 6] };
                verdict(&[check], &call(*number)) == "allow"
                    && verdict(&[check], &call(0x4000_0000 | number)) == "ENOSYS"
            })
    };
    assert!(holds(&architecture_check()));
    let comparisons = architecture_check().len() - 2;
    for index in (0..comparisons).filter(|index| architecture_check()[*index].code & 7 == 5) {
        for (jt, jf) in [(0, 0), (1, 1)] {
            let mut broken = architecture_check();
            (broken[index].jt, broken[index].jf) = (jt, jf);
            assert!(!holds(&broken), "instruction {index} is not needed");
        }
    }
}

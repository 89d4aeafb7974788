// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of a result's plain fields: flags, numbers and words. The wire and the faces follow from it; only
//! streams, artifacts and what has parts is written by hand where it is needed.

use crate::result::{ExecutionResult, LimitKind};

/// What a field holds. `None` where it is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldValue<'a> {
    /// True or false; always known.
    Flag(bool),
    /// An integer.
    Number(Option<i64>),
    /// A word or a sentence.
    Text(Option<&'a str>),
}

/// How a reply gives a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldKind {
    /// `true` or `false`.
    Flag,
    /// An integer.
    Number,
    /// One text.
    Word,
    /// A word, or an object that has one as its message.
    Message,
}

/// What is written where a field is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// The key with `null`.
    Null,
    /// Nothing, not even the key.
    Omitted,
}

/// Where a field is written. Fields of the service come in the order of its specification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// After the streams.
    Outcome,
    /// After the artifacts.
    Run,
    /// After all that the service knows.
    Ours,
}

/// One row of the table.
#[derive(Debug)]
pub struct ResultField {
    /// The key of the wire, and the name on every face.
    pub name: &'static str,
    /// Keys of other servers.
    pub also: &'static [&'static str],
    /// How a reply gives its value.
    pub kind: FieldKind,
    /// The part of a reply in which it is written.
    pub group: Group,
    /// What a reply has instead of an unknown value.
    pub absent: Absent,
    /// What it says, in a few words without a final stop.
    pub means: &'static str,
    /// Gives its value in a result.
    pub get: fn(&ExecutionResult) -> FieldValue<'_>,
    /// A value of another kind, or beyond the field's range, is as if it were unknown.
    pub set: fn(&mut ExecutionResult, FieldValue<'_>),
}

macro_rules! field {
    ($name:ident, $kind:ident, $group:ident, $absent:ident, $means:literal, $also:expr, $get:expr, $set:expr) => {
        ResultField {
            name: stringify!($name),
            also: &$also,
            kind: FieldKind::$kind,
            group: Group::$group,
            absent: Absent::$absent,
            means: $means,
            get: $get,
            set: $set,
        }
    };
}

macro_rules! number {
    ($name:ident, $group:ident, $absent:ident, $means:literal, $also:expr) => {
        field!(
            $name,
            Number,
            $group,
            $absent,
            $means,
            $also,
            |it| FieldValue::Number(it.$name.and_then(|value| value.try_into().ok())),
            |it, value| {
                let FieldValue::Number(value) = value else { return };
                it.$name = value.and_then(|value| value.try_into().ok());
            }
        )
    };
}

macro_rules! text {
    ($name:ident, $kind:ident, $group:ident, $absent:ident, $means:literal) => {
        field!(
            $name,
            $kind,
            $group,
            $absent,
            $means,
            [],
            |it| FieldValue::Text(it.$name.as_deref()),
            |it, value| {
                let FieldValue::Text(value) = value else { return };
                it.$name = value.map(str::to_string);
            }
        )
    };
}

macro_rules! flag {
    ($name:ident, $group:ident, $means:literal) => {
        field!(
            $name,
            Flag,
            $group,
            Null,
            $means,
            [],
            |it| FieldValue::Flag(it.$name),
            |it, value| {
                let FieldValue::Flag(value) = value else { return };
                it.$name = value;
            }
        )
    };
}

/// In the order in which they are written.
pub const RESULT_FIELDS: &[ResultField] = &[
    number!(
        exit_code,
        Outcome,
        Null,
        "exit code of the program: 124 after its ttl, 137 after another limit, 128 and the number of a signal that ended it, -1 where there is none",
        ["exitCode"]
    ),
    text!(
        error,
        Message,
        Outcome,
        Null,
        "one sentence on why it did not succeed, or on what could not be collected"
    ),
    text!(language, Word, Outcome, Null, "name of the language that ran"),
    text!(
        detected_language,
        Word,
        Outcome,
        Omitted,
        "name of the language that was detected, where the request named none"
    ),
    text!(
        execution_mode,
        Word,
        Run,
        Omitted,
        "`cold`, or `pooled` where the interpreter was started before the request came"
    ),
    text!(network_mode, Word, Run, Omitted, "the network mode of the run"),
    number!(
        total_time_ms,
        Run,
        Omitted,
        "milliseconds from the submission to the end: queue, compiler and program",
        ["execution_time_ms", "execution_time", "executionTime", "duration_ms", "runtime_ms"]
    ),
    number!(signal, Ours, Null, "number of the signal that ended the program", []),
    field!(
        limit,
        Word,
        Ours,
        Null,
        "the limit that ended the program",
        [],
        |it| FieldValue::Text(it.limit.map(LimitKind::as_str)),
        |it, value| {
            let FieldValue::Text(value) = value else { return };
            it.limit = value.and_then(LimitKind::parse);
        }
    ),
    flag!(
        truncated,
        Ours,
        "whether a stream reached the limit of the output, and the rest of it is lost"
    ),
    text!(runtime, Word, Ours, Omitted, "path of the interpreter or compiler that was used"),
];

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
    /// Gives its value in a result.
    pub get: fn(&ExecutionResult) -> FieldValue<'_>,
    /// A value of another kind, or beyond the field's range, is as if it were unknown.
    pub set: fn(&mut ExecutionResult, FieldValue<'_>),
}

macro_rules! field {
    ($name:ident, $kind:ident, $group:ident, $absent:ident, $also:expr, $get:expr, $set:expr) => {
        ResultField {
            name: stringify!($name),
            also: &$also,
            kind: FieldKind::$kind,
            group: Group::$group,
            absent: Absent::$absent,
            get: $get,
            set: $set,
        }
    };
}

macro_rules! number {
    ($name:ident, $group:ident, $absent:ident, $also:expr) => {
        field!(
            $name,
            Number,
            $group,
            $absent,
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
    ($name:ident, $kind:ident, $group:ident, $absent:ident) => {
        field!(
            $name,
            $kind,
            $group,
            $absent,
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
    ($name:ident, $group:ident) => {
        field!($name, Flag, $group, Null, [], |it| FieldValue::Flag(it.$name), |it, value| {
            let FieldValue::Flag(value) = value else { return };
            it.$name = value;
        })
    };
}

/// In the order in which they are written.
pub const RESULT_FIELDS: &[ResultField] = &[
    number!(exit_code, Outcome, Null, ["exitCode"]),
    text!(error, Message, Outcome, Null),
    text!(language, Word, Outcome, Null),
    text!(detected_language, Word, Outcome, Omitted),
    text!(execution_mode, Word, Run, Omitted),
    text!(network_mode, Word, Run, Omitted),
    number!(
        total_time_ms,
        Run,
        Omitted,
        ["execution_time_ms", "execution_time", "executionTime", "duration_ms", "runtime_ms"]
    ),
    number!(signal, Ours, Null, []),
    field!(
        limit,
        Word,
        Ours,
        Null,
        [],
        |it| FieldValue::Text(it.limit.map(LimitKind::as_str)),
        |it, value| {
            let FieldValue::Text(value) = value else { return };
            it.limit = value.and_then(LimitKind::parse);
        }
    ),
    flag!(truncated, Ours),
    text!(runtime, Word, Ours, Omitted),
];

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows that describe the members of an object, and the JSON Schema that they become.

use serde_json::{Map, Value, json};

/// What the value of a member is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Flag,
    /// An integer of either sign.
    Integer,
    /// An integer of at least 0.
    Count,
    Text,
    /// Bytes as base64.
    Base64,
    /// A time as RFC 3339 has it.
    Time,
    Texts,
    /// An object of any names, whose values are texts.
    TextMap,
    /// An object of any names, whose values are integers of at least 0.
    CountMap,
    /// Text, or an integer.
    TextOrInteger,
    /// The schema of this name.
    Object(&'static str),
    /// An array of the schema of this name.
    Objects(&'static str),
    /// An array without elements.
    Nothing,
}

/// Whether a reply has a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Always,
    /// Always; null where it is unknown.
    OrNull,
    Sometimes,
    /// Sometimes, and then null where there is none.
    SometimesOrNull,
}

/// One member of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
    /// What it says, in a few words without a final stop.
    pub(super) means: &'static str,
}

pub(super) const fn always(name: &'static str, kind: Kind, means: &'static str) -> Member {
    Member { name, kind, presence: Presence::Always, means }
}

pub(super) const fn sometimes(name: &'static str, kind: Kind, means: &'static str) -> Member {
    Member { name, kind, presence: Presence::Sometimes, means }
}

/// The schema of an object with these members.
pub(super) fn object<'a>(means: &str, members: impl IntoIterator<Item = &'a Member>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for member in members {
        properties.insert(member.name.to_string(), schema_of(member));
        if matches!(member.presence, Presence::Always | Presence::OrNull) {
            required.push(member.name);
        }
    }
    let mut schema = json!({"type": "object", "description": means, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Refers to the schema of this name.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schema_of(member: &Member) -> Value {
    let mut schema = match member.kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Count => json!({"type": "integer", "minimum": 0}),
        Kind::Text => json!({"type": "string"}),
        Kind::Base64 => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::TextMap => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::CountMap => {
            json!({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
        }
        Kind::TextOrInteger => json!({"type": ["string", "integer"]}),
        Kind::Object(name) => reference(name),
        Kind::Objects(name) => json!({"type": "array", "items": reference(name)}),
        Kind::Nothing => json!({"type": "array", "items": {}, "maxItems": 0}),
    };
    if matches!(member.presence, Presence::OrNull | Presence::SometimesOrNull) {
        schema = or_null(schema);
    }
    schema["description"] = member.means.into();
    schema
}

fn or_null(mut schema: Value) -> Value {
    let Some(kind) = schema.get("type").cloned() else {
        return json!({"anyOf": [schema, {"type": "null"}]});
    };
    schema["type"] = json!([kind, "null"]);
    schema
}

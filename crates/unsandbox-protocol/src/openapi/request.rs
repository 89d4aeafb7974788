// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request may have, from the table of options and the table of limits.

use super::schema::reference;
use crate::language::languages;
use crate::limits::*;
use crate::request::{NetworkMode, Rerun};
use crate::wire::{OPTION_TABLE, OptionKind, OptionReach, OptionRow};
use serde_json::{Map, Value, json};

/// The schemas of bodies, and of their parts.
pub(super) fn schemas() -> Map<String, Value> {
    let names: Vec<_> = languages().iter().map(|language| language.name).collect();
    let language = json!({
        "type": "string",
        "description": "name or alias of the language, in any case; GET /languages lists those that run",
        "examples": names,
    });
    let execute = "a program in a named language, and its options";
    let run = "a program whose language the server detects, and its options";
    Map::from_iter([
        ("ExecuteRequest".to_string(), body(execute, Some(language))),
        ("RunRequest".to_string(), body(run, None)),
        (
            "InputFile".to_string(),
            file(
                "a file of the working directory",
                "filename",
                json!({
                    "type": "string", "minLength": 1, "maxLength": FILENAME_MAX_CHARS, "pattern": "^[^/\\u0000]*$",
                    "description": format!("its name, at most {FILENAME_MAX_BYTES} bytes; without it the index of the file"),
                }),
                format!(
                    "its bytes as base64, at most {INPUT_FILE_MAX_BYTES} bytes of them; also read: `content_base64`"
                ),
                &["content"],
            ),
        ),
        (
            "TreeFile".to_string(),
            file(
                "a file of the working directory or of a folder in it",
                "path",
                json!({
                    "type": "string", "minLength": 1, "maxLength": PATH_MAX_BYTES,
                    "description": format!(
                        "its path in the working directory, as `pkg/util.py`, at most {PATH_MAX_BYTES} bytes; missing folders are made"
                    ),
                }),
                "its bytes as base64; also read: `content_base64`".to_string(),
                &["path", "content"],
            ),
        ),
        ("Limits".to_string(), limits()),
    ])
}

/// The options of `/run` where its body is the program.
pub(super) fn query_parameters() -> Map<String, Value> {
    let rows = OPTION_TABLE.iter().filter(|row| row.query.is_some());
    rows.map(|row| (parameter_of(row.name), query_parameter(row))).collect()
}

/// The names of these parameters among the components.
pub(super) fn query_names() -> Vec<String> {
    OPTION_TABLE
        .iter()
        .filter(|row| row.query.is_some())
        .map(|row| parameter_of(row.name))
        .collect()
}

fn parameter_of(option: &str) -> String {
    format!("Query.{option}")
}

fn query_parameter(row: &OptionRow) -> Value {
    let mut schema = option(row);
    if row.kind == OptionKind::Pairs {
        // One text in a query: an object is written as JSON.
        schema = json!({"type": "string", "contentMediaType": "application/json", "contentSchema": schema});
    }
    let means = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let means = means.unwrap_or_else(|| describe(row).into());
    json!({"name": row.name, "in": "query", "description": means, "schema": schema})
}

fn body(means: &str, language: Option<Value>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some(language) = language {
        properties.insert("language".to_string(), language);
        required.push("language");
    }
    required.push("code");
    let code = json!({"type": "string", "description": "source text of the program"});
    properties.insert("code".to_string(), code);
    for row in OPTION_TABLE.iter().filter(|row| row.reach != OptionReach::Local) {
        properties.insert(row.name.to_string(), option(row));
        if row.kind == OptionKind::Bytes {
            properties.insert(format!("{}_base64", row.name), bytes(row));
        }
    }
    properties.insert(
        "async".to_string(),
        json!({
            "type": "boolean", "default": false, "deprecated": true,
            "description": "the reply is a job at once, as from the operation with /async",
        }),
    );
    json!({"type": "object", "description": means, "properties": properties, "required": required})
}

/// The schema of an option: its kind, and its bounds.
fn option(row: &OptionRow) -> Value {
    let mut schema = match row.kind {
        OptionKind::Text | OptionKind::Path | OptionKind::Bytes => json!({"type": "string"}),
        OptionKind::Flag => json!({"type": "boolean", "default": false}),
        OptionKind::Seconds => json!({"type": "integer"}),
        OptionKind::Pairs => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        OptionKind::Files => json!({"type": "array", "items": reference("InputFile")}),
        OptionKind::Tree => json!({"type": "array", "items": reference("TreeFile")}),
        OptionKind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        OptionKind::Limits => reference("Limits"),
    };
    let known = schema.as_object_mut().expect("every schema is an object");
    known.extend(bounds(row.name).0);
    if known.contains_key("$ref") {
        known.remove("type");
    }
    known.insert("description".to_string(), describe(row).into());
    schema
}

/// The second form of an option that is any bytes.
fn bytes(row: &OptionRow) -> Value {
    json!({
        "type": "string", "contentEncoding": "base64",
        "description": format!("{} as base64, for bytes that are not text; it has precedence", row.means),
    })
}

fn describe(row: &OptionRow) -> String {
    let mut parts = vec![row.means.to_string()];
    parts.extend(bounds(row.name).1);
    let others = row.keys.iter().filter(|key| **key != row.name && !key.ends_with("_base64"));
    let others: Vec<_> = others.map(|key| format!("`{key}`")).collect();
    if !others.is_empty() {
        parts.push(format!("also read: {}", others.join(", ")));
    }
    if row.reach == OptionReach::Ours {
        parts.push("not known to the service".to_string());
    }
    parts.join("; ")
}

/// The keywords that bound an option, and the bounds that no keyword can say. A bound in bytes also bounds the
/// characters.
fn bounds(name: &str) -> (Map<String, Value>, Option<String>) {
    let texts = |count: usize, least: usize, most: usize| json!({"maxItems": count, "items": {"type": "string", "minLength": least, "maxLength": most}});
    let (keywords, told) = match name {
        "env" => (
            json!({"maxProperties": ENV_MAX_COUNT}),
            format!(
                "at most {ENV_MAX_COUNT}, {ENV_VALUE_MAX_BYTES} bytes each and {ENV_MAX_BYTES} bytes together; a name is not \
                 empty and has no `=`"
            ),
        ),
        "network_mode" => {
            let default = NetworkMode::default().as_str();
            let mut keywords = reference("NetworkMode");
            keywords["default"] = default.into();
            return (keywords_of(keywords), None);
        }
        "ttl" => (
            json!({"minimum": TTL_MIN_SECONDS, "maximum": TTL_MAX_SECONDS, "default": TTL_DEFAULT_SECONDS}),
            "queue and compiler are not counted; a server may allow less, which is then the default, too".to_string(),
        ),
        "input_files" => (
            json!({"maxItems": INPUT_FILES_MAX}),
            format!("at most {INPUT_FILES_MAX}, and {INPUT_FILES_TOTAL_MAX_BYTES} bytes together"),
        ),
        "files" => (
            json!({"maxItems": FILES_MAX}),
            format!("at most {FILES_MAX}, and {FILES_TOTAL_MAX_BYTES} bytes together"),
        ),
        "rerun" => {
            let words = [Rerun::Never, Rerun::IfLost].map(Rerun::as_str);
            let keywords = json!({"enum": words, "default": Rerun::default().as_str()});
            return (keywords_of(keywords), None);
        }
        "callback_url" => (
            json!({"format": "uri", "maxLength": CALLBACK_URL_MAX_BYTES}),
            "`http:` or `https:` without user and fragment; a request that is not for a job is refused with it".to_string(),
        ),
        "stdin" => (json!({}), "at its end at once without it".to_string()),
        "args" => (
            texts(ARGS_MAX_COUNT, 0, ARG_MAX_BYTES),
            format!("at most {ARGS_MAX_COUNT}, {ARG_MAX_BYTES} bytes each and {ARGS_MAX_BYTES} bytes together"),
        ),
        "flags" => (
            texts(FLAGS_MAX_COUNT, 0, ARG_MAX_BYTES),
            format!("of those that the language takes, at most {FLAGS_MAX_COUNT}"),
        ),
        "outputs" => (
            texts(OUTPUTS_MAX_COUNT, 1, OUTPUTS_MAX_BYTES),
            format!("as `*.png` or `out/**/*.csv`; at most {OUTPUTS_MAX_COUNT}, and {OUTPUTS_MAX_BYTES} bytes together"),
        ),
        _ => return (Map::new(), None),
    };
    (keywords_of(keywords), Some(told))
}

fn keywords_of(keywords: Value) -> Map<String, Value> {
    match keywords {
        Value::Object(keywords) => keywords,
        _ => Map::new(),
    }
}

fn file(means: &str, name: &str, name_schema: Value, content: String, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": means,
        "properties": {
            name: name_schema,
            "content": {"type": "string", "contentEncoding": "base64", "description": content},
        },
        "required": required,
    })
}

/// The table of limits. An unknown limit is refused, so that no other member is allowed.
fn limits() -> Value {
    let rows = LIMIT_TABLE.iter().map(|row| {
        let mut schema = json!({"type": "integer", "minimum": row.min, "maximum": row.max});
        if let Some(default) = row.default {
            schema["default"] = default.into();
        }
        let default = if row.default.is_some() { "" } else { "; no limit by default" };
        schema["description"] = format!("{}{default}", row.means).into();
        (row.name.to_string(), schema)
    });
    json!({
        "type": "object",
        "description": "what the run may use; a limit that is left out has its default, or a higher one where the language \
                        needs more, or the server's own bound where that is lower",
        "properties": rows.collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

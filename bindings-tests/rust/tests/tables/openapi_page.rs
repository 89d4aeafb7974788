// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables of docs/reference/openapi.md, made from the OpenAPI document.

use serde_json::Value;

/// The operations of the document: a row each, with the statuses of its replies.
pub(crate) fn operations(document: &Value) -> String {
    let mut table =
        "\n| operation | `operationId` | body | reply | refused with |\n|---|---|---|---|---|\n"
            .to_string();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            let id = operation["operationId"].as_str().expect("an id");
            let bodies: Vec<_> = members(&operation["requestBody"]["content"])
                .map(|(media, content)| match &content["schema"] {
                    schema if schema.get("$ref").is_some() => kind(schema),
                    _ => format!("the program, as {media}"),
                })
                .collect();
            let statuses = members(&operation["responses"]).map(|(status, _)| status.as_str());
            let refused: Vec<_> = statuses.filter(|status| *status != "200").collect();
            let reply =
                kind(&operation["responses"]["200"]["content"]["application/json"]["schema"]);
            let method = method.to_uppercase();
            let (bodies, refused) = (bodies.join(", or "), refused.join(", "));
            table += &format!("| `{method} {path}` | `{id}` | {bodies} | {reply} | {refused} |\n");
        }
    }
    table + "\n"
}

/// The schemas of the document: a table of members each.
pub(crate) fn schemas(document: &Value) -> String {
    let mut text = String::new();
    for (name, schema) in members(&document["components"]["schemas"]) {
        let means = schema["description"].as_str().expect("a description");
        text += &format!("\n### {name}\n\nThis is {means}.\n");
        let mut properties = members(&schema["properties"]).peekable();
        if properties.peek().is_some() {
            text += "\n| member | type | always | what |\n|---|---|---|---|\n";
        }
        let required = schema["required"].as_array();
        for (member, schema) in properties {
            let always = required.is_some_and(|names| names.contains(&member.as_str().into()));
            let (kind, always) = (kind(schema), if always { "yes" } else { "" });
            let means = schema["description"].as_str().unwrap_or_default();
            text += &format!("| `{member}` | {kind} | {always} | {means}{} |\n", bounds(schema));
        }
    }
    text + "\n"
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The type of a schema in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(several) = schema["anyOf"].as_array() {
        return several.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let word = |kind: &Value| match kind.as_str() {
        Some("array") if schema["items"] != serde_json::json!({}) => {
            format!("array of {}", kind_of_items(schema))
        }
        Some("string") if schema["contentEncoding"] == "base64" => "base64".to_string(),
        word => word.unwrap_or_default().to_string(),
    };
    match &schema["type"] {
        Value::Array(several) => several.iter().map(word).collect::<Vec<_>>().join(" or "),
        one => word(one),
    }
}

fn kind_of_items(schema: &Value) -> String {
    kind(&schema["items"])
}

/// Words, default and range of a schema.
fn bounds(schema: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        parts.push(format!("one of {}", words.collect::<Vec<_>>().join(", ")));
    }
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        parts.push(format!("{least} to {most}"));
    }
    if let Some(default) = schema.get("default").filter(|default| **default != false) {
        parts.push(format!("by default {default}"));
    }
    parts.into_iter().map(|part| format!("; {part}")).collect()
}

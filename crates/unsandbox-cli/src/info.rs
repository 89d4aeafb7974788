// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox languages`, `doctor`, `validate-key` and `health`: questions about an endpoint or this machine.

use crate::Done;
use crate::args::{DoctorArgs, EndpointArgs, ListArgs};
use crate::endpoint::client;
use crate::failure::EXIT_FAILED;
use crate::terminal::{self, line, say, table};
use serde_json::{Value, json};
use unsandbox::protocol::Level;
use unsandbox::protocol::wire;
use unsandbox::{Client, Error, ErrorCode, IsolationPolicy, LanguageInfo, Probe};

fn any_client(args: EndpointArgs) -> Result<Client, crate::failure::Failure> {
    client(args, IsolationPolicy::Auto)
}

pub(crate) fn languages(args: ListArgs) -> Done {
    let languages = any_client(args.endpoint)?.languages()?;
    if args.json {
        let list: Vec<Value> = languages.iter().map(language_json).collect();
        terminal::json(&Value::from(list).to_string())?;
        return Ok(0);
    }
    let mut rows = vec![["NAME", "VERSION", "PATH"].map(str::to_string).to_vec()];
    rows.extend(languages.iter().map(language_row));
    table(&without_empty_columns(rows))?;
    Ok(0)
}

/// Removes columns without a value, such as the versions of languages at a server.
fn without_empty_columns(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let columns = rows.first().map_or(0, Vec::len);
    for column in (0..columns).rev() {
        if rows.len() > 1 && rows.iter().skip(1).all(|row| row[column] == "-") {
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    rows
}

fn language_row(language: &LanguageInfo) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
    let path = match (language.available, &language.install) {
        (Some(false), Some(install)) => format!("not here; install: {install}"),
        (Some(false), None) => "not here".to_string(),
        _ => or_dash(&language.path),
    };
    let mark = if language.untested { " (untested by this project)" } else { "" };
    vec![language.name.clone(), or_dash(&language.version), format!("{path}{mark}")]
}

fn language_json(language: &LanguageInfo) -> Value {
    json!({
        "name": language.name,
        "aliases": language.aliases,
        "available": language.available,
        "version": language.version,
        "path": language.path,
        "install": language.install,
        "untested": language.untested,
    })
}

pub(crate) fn doctor(args: DoctorArgs) -> Done {
    let probe = Client::builder().base_url("local:").build()?.probe()?;
    if args.json {
        terminal::json(&probe_json(&probe).to_string())?;
    } else {
        let rows: Vec<Vec<String>> = probe
            .layers
            .iter()
            .map(|layer| {
                let mark = if layer.available { "yes" } else { "NO" };
                vec![layer.name.clone(), mark.to_string(), layer.detail.clone()]
            })
            .collect();
        table(&rows)?;
        for layer in probe.layers.iter().filter(|layer| !layer.available && !layer.fix.is_empty()) {
            line(&format!("to get {}: {}", layer.name, layer.fix))?;
        }
        line(&match probe.level {
            Some(level) => format!("isolation: {}", level.as_str()),
            None => "isolation: none; programs are refused".to_string(),
        })?;
    }
    Ok(match probe.level {
        Some(Level::Full) => 0,
        Some(Level::Reduced) => 1,
        None => EXIT_FAILED,
    })
}

fn probe_json(probe: &Probe) -> Value {
    let layers: Vec<Value> = probe
        .layers
        .iter()
        .map(|layer| {
            json!({
                "name": layer.name,
                "available": layer.available,
                "detail": layer.detail,
                "fix": layer.fix,
            })
        })
        .collect();
    json!({ "level": probe.level.map(Level::as_str), "layers": layers })
}

pub(crate) fn validate_key(args: ListArgs) -> Done {
    let client = any_client(args.endpoint)?;
    let info = client.validate_key()?;
    if !args.json && client.endpoint() == "local:" {
        line("valid, tier local: no key is needed there; --url names a server or the service")?;
    } else if args.json {
        terminal::json(&wire::encode_key_info(&info))?;
    } else if info.valid {
        line(&format!("valid, tier {}", info.tier.as_deref().unwrap_or("unknown")))?;
    } else {
        let reason = info.reason.as_deref().unwrap_or("no reason given");
        let told = info.raw.as_ref().and_then(|raw| {
            let reply: Value = serde_json::from_str(raw).ok()?;
            Some(reply.get("message")?.as_str()?.to_string())
        });
        line(&format!("not valid: {}", told.as_deref().unwrap_or(reason)))?;
        let error = Error::new(ErrorCode::Auth, reason).with_wire(reason);
        if let Some(hint) = error.hint(|hint| hint.shell) {
            say(&format!("hint: {hint}"));
        }
    }
    Ok(i32::from(!info.valid))
}

pub(crate) fn health(args: ListArgs) -> Done {
    let health = any_client(args.endpoint)?.health()?;
    match args.json {
        true => terminal::json(&wire::encode_health(&health))?,
        false => line(&health.status)?,
    }
    Ok(if health.healthy { 0 } else { EXIT_FAILED })
}

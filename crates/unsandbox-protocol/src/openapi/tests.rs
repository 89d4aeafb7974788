// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables of the document against the encoders and the rules of this crate.

use super::*;
use crate::backend::{Health, KeyInfo, LanguageInfo};
use crate::isolation::Isolation;
use crate::limits::LIMIT_TABLE;
use crate::result::{Artifact, EXIT_CANCELLED, EXIT_LIMIT, EXIT_TIMEOUT, LimitKind, Usage};
use crate::result_fields::RESULT_FIELDS;
use crate::usage::KeyUsage;
use crate::wire::{self, KeyLimits, OPTION_TABLE, OptionReach, Shape};
use crate::{Error, ExecutionResult, Job, JobPage, Status, ValidRequest};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Validates values strictly, and notes the members that it saw as `Schema.member`.
struct Checker {
    document: Value,
    seen: BTreeSet<String>,
}

impl Checker {
    fn new() -> Checker {
        Checker { document: document(), seen: BTreeSet::new() }
    }

    fn body(&mut self, name: &str, text: &str) {
        let value = serde_json::from_str(text).unwrap();
        self.check(&value, &schema::reference(name))
            .unwrap_or_else(|why| panic!("{name}: {why}\n{text}"));
    }

    fn check(&mut self, value: &Value, schema: &Value) -> Result<(), String> {
        self.check_as(value, schema, "")
    }

    fn check_as(&mut self, value: &Value, schema: &Value, name: &str) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            let target = self.document["components"]["schemas"][name].clone();
            assert!(target.is_object(), "{reference} is not there");
            return self.check_as(value, &target, name);
        }
        if let Some(several) = schema["anyOf"].as_array() {
            let tried = several.iter().map(|one| self.check(value, one)).collect::<Vec<_>>();
            return tried
                .into_iter()
                .find(Result::is_ok)
                .unwrap_or_else(|| Err("nothing of anyOf".to_string()));
        }
        let kinds =
            schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
        if !kinds.iter().any(|kind| kind.is_null() || is_of(value, kind.as_str().unwrap())) {
            return Err(format!("{value} is not of the type {kinds:?}"));
        }
        match schema["enum"].as_array() {
            Some(words) if !words.contains(value) => {
                return Err(format!("{value} is not one of {words:?}"));
            }
            _ => {}
        }
        match value {
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.check(item, &schema["items"]))
            }
            Value::Object(members) => self.members(members, schema, name),
            _ => Ok(()),
        }
    }

    fn members(
        &mut self,
        members: &Map<String, Value>,
        schema: &Value,
        name: &str,
    ) -> Result<(), String> {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(required.as_str().unwrap()) {
                return Err(format!("{required} is missing"));
            }
        }
        for (key, value) in members {
            let known = schema["properties"].get(key).or(schema.get("additionalProperties"));
            let known = known.ok_or_else(|| format!("{key} is not described"))?.clone();
            self.check(value, &known).map_err(|why| format!("{key}: {why}"))?;
            self.seen.insert(format!("{name}.{key}"));
        }
        Ok(())
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

/// A result with everything, whose streams are not text.
fn full() -> ExecutionResult {
    let usage = Usage { cpu_time_ms: 1, peak_memory_bytes: 2, wall_time_ms: 3 };
    let artifact = |url: Option<&str>| Artifact {
        filename: "a".to_string(),
        kind: "file".to_string(),
        content: vec![0],
        url: url.map(str::to_string),
    };
    ExecutionResult {
        stdout: vec![255],
        stderr: vec![254],
        exit_code: Some(137),
        signal: Some(9),
        limit: Some(LimitKind::Memory),
        error: Some("memory".to_string()),
        language: Some("c".to_string()),
        detected_language: Some("c".to_string()),
        job_id: Some("job_1".to_string()),
        artifacts: vec![artifact(None), artifact(Some("https://example.com/a"))],
        left_files: vec!["b".to_string()],
        execution_mode: Some("cold".to_string()),
        network_mode: Some("zerotrust".to_string()),
        total_time_ms: Some(5),
        usage: Some(usage),
        compile: Some(usage),
        runtime: Some("/usr/bin/cc".to_string()),
        isolation: Some(Isolation {
            level: "full".to_string(),
            layers: vec!["seccomp".to_string()],
            missing: Vec::new(),
        }),
        ..ExecutionResult::new(Status::Completed)
    }
}

fn jobs(result: &ExecutionResult) -> [Job; 2] {
    let bare = Job::new("job_1", Status::Pending);
    let ended = Job {
        language: Some("c".to_string()),
        detected_language: Some("c".to_string()),
        network_mode: Some("semitrusted".to_string()),
        created_at: Some(1),
        started_at: Some(2),
        completed_at: Some(3),
        result: Some(Arc::new(result.clone())),
        status: Status::Timeout,
        ..bare.clone()
    };
    [bare, ended]
}

fn check_results(checker: &mut Checker) {
    let text = ExecutionResult { stdout: b"x".to_vec(), ..ExecutionResult::new(Status::Failed) };
    let ran = ExecutionResult { usage: Some(Usage::default()), ..text.clone() };
    for result in [&full(), &text, &ran] {
        for shape in [Shape::Compat, Shape::Once, Shape::Lean] {
            checker.body("ExecutionResult", &wire::encode_result(result, shape));
            for job in jobs(result) {
                checker.body("Job", &wire::encode_job(&job, shape));
                checker.body("CancelledJob", &wire::encode_cancelled(&job, shape));
            }
        }
    }
    let [bare, ended] = jobs(&full());
    let warned = |text: String| wire::with_warnings(text, &["a sentence".to_string()]);
    checker.body("ExecutionResult", &warned(wire::encode_result(&text, Shape::Lean)));
    checker.body("SubmittedJob", &warned(wire::encode_submitted(&ended)));
    checker.body("SubmittedJob", &wire::encode_submitted(&bare));
    checker.body("JobList", &wire::encode_jobs(&[bare, ended]));
    checker.body("JobList", &wire::encode_jobs(&[]));
    checker.body("JobList", &wire::encode_job_page(&JobPage::default()));
    checker.body("DeletedJob", &wire::encode_deleted("job_1"));
}

fn check_the_rest(checker: &mut Checker) {
    let bare = LanguageInfo {
        name: "a".to_string(),
        aliases: vec!["b".to_string()],
        available: None,
        version: None,
        path: Some("/usr/bin/a".to_string()),
        install: None,
        untested: false,
    };
    let known = LanguageInfo {
        available: Some(false),
        version: Some("1".to_string()),
        install: Some("apt".to_string()),
        untested: true,
        ..bare.clone()
    };
    checker.body("LanguageList", &wire::encode_languages(&[bare, known]));
    checker.body("LanguageList", &wire::encode_languages(&[]));
    checker.body("Alive", &wire::encode_alive());
    let check = |trouble: Option<&str>| wire::ReadyCheck {
        name: "store",
        trouble: trouble.map(str::to_string),
    };
    checker.body("Ready", &wire::encode_ready(false, Some(&[check(None), check(Some("full"))])));
    checker.body("Ready", &wire::encode_ready(true, None));
    let limits = KeyLimits { rate_per_minute: 1, burst: 2, concurrency: 3 };
    let key = |valid, tier: &str| KeyInfo {
        valid,
        tier: Some(tier.to_string()),
        reason: None,
        raw: None,
    };
    checker.body("KeyInfo", &wire::encode_server_key_info(&key(true, "self-hosted"), Some(limits)));
    checker.body("KeyInfo", &wire::encode_key_info(&key(true, "3")));
    checker.body("KeyInfo", &wire::encode_key_info(&key(false, "x")));
    let mut usage = KeyUsage::default();
    usage.limits.network_mode = "zerotrust".to_string();
    checker.body("KeyUsage", &wire::encode_usage(&usage));
    let error = Error::argument("no").with_job_id("job_1");
    checker.body("Error", &wire::encode_error(&error));
    checker.body("Health", &wire::encode_server_health("ok", "process:1", Some("store:2"), None));
    checker.body(
        "Unhealthy",
        &wire::encode_server_health(
            "stopping",
            "process:1",
            Some("store:2"),
            Some(&Error::argument("no")),
        ),
    );
    for (list, name) in replies::EMPTY_LISTS {
        checker.body(name, &wire::encode_empty_list(list));
    }
    let health = Health { healthy: true, status: "ok".to_string(), raw: None };
    assert_eq!(wire::encode_health(&health), r#"{"status":"ok"}"#);
}

#[test]
fn replies_have_the_members_of_their_schemas_and_no_others() {
    let mut checker = Checker::new();
    check_results(&mut checker);
    check_the_rest(&mut checker);
    let mut described = BTreeSet::new();
    let schemas = checker.document["components"]["schemas"].as_object().unwrap();
    let requests = ["ExecuteRequest", "RunRequest", "InputFile", "TreeFile", "Limits"];
    for (name, schema) in schemas.iter().filter(|(name, _)| !requests.contains(&name.as_str())) {
        let properties = schema["properties"].as_object().into_iter().flatten();
        described.extend(properties.map(|(member, _)| format!("{name}.{member}")));
    }
    let unseen: Vec<_> = described.difference(&checker.seen).collect();
    assert!(described.len() > 100 && unseen.is_empty(), "no encoder writes {unseen:?}");
}

#[test]
fn a_reply_that_is_not_described_is_noticed() {
    let mut checker = Checker::new();
    let good: Value = serde_json::from_str(&wire::encode_result(&full(), Shape::Compat)).unwrap();
    let result = schema::reference("ExecutionResult");
    checker.check(&good, &result).unwrap();
    let wrong: [fn(&mut Value); 5] = [
        |it| it["extra"] = json!(1),
        |it| it["exit_code"] = json!("0"),
        |it| it["status"] = json!("done"),
        |it| it["usage"]["wall_time_ms"] = Value::Null,
        |it| drop(it.as_object_mut().unwrap().remove("artifacts")),
    ];
    for change in wrong {
        let mut value = good.clone();
        change(&mut value);
        assert!(checker.check(&value, &result).is_err(), "{value}");
    }
}

#[test]
fn the_exit_codes_of_the_description_are_those_of_results() {
    let field = RESULT_FIELDS.iter().find(|field| field.name == "exit_code").unwrap();
    let numbers = field.means.split([' ', ',', ':']).filter_map(|word| word.parse().ok());
    let numbers: Vec<i32> = numbers.filter(|number| *number != 128).collect();
    assert_eq!(numbers, [EXIT_TIMEOUT, EXIT_LIMIT, EXIT_CANCELLED]);
}

/// Every string below `key` in a value.
fn strings_at<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == key => found.push(text),
            _ => strings_at(value, key, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| strings_at(item, key, found)),
        _ => {}
    }
}

#[test]
fn every_reference_has_its_component_and_every_component_its_reference() {
    let document = document();
    let mut referred = Vec::new();
    strings_at(&document, "$ref", &mut referred);
    let referred: BTreeSet<_> = referred.into_iter().map(str::to_string).collect();
    let mut there = BTreeSet::new();
    for (kind, components) in document["components"].as_object().unwrap() {
        let names = components.as_object().unwrap().keys();
        there.extend(names.map(|name| format!("#/components/{kind}/{name}")));
    }
    there.retain(|name| !name.contains("/securitySchemes/"));
    assert_eq!(referred, there);
    let mut ids = Vec::new();
    strings_at(&document["paths"], "operationId", &mut ids);
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
}

/// What a server says of a body of `/execute` with this option.
fn refused(name: &str, value: Value) -> Result<(), Error> {
    let body = json!({"language": "c", "code": "", name: value}).to_string();
    let incoming = wire::decode_request(body.as_bytes())?;
    assert_eq!(incoming.warnings, [""; 0], "{body:.80}");
    ValidRequest::new(Cow::Owned(incoming.request)).map(drop)
}

/// Asserts that the server takes the first value, and not the second.
fn bound(name: &str, taken: Value, refused_value: Value) {
    refused(name, taken).unwrap_or_else(|error| panic!("{error}"));
    refused(name, refused_value).expect_err(name);
}

#[test]
fn the_bounds_of_options_are_those_of_the_rules() {
    let document = document();
    let body = &document["components"]["schemas"]["ExecuteRequest"]["properties"];
    let number = |value: &Value| value.as_i64().unwrap();
    let count = |name: &str, keyword: &str| number(&body[name][keyword]) as usize;
    let files = |name: &str, count: usize| {
        (0..count).map(|index| json!({name: format!("f{index}"), "content": ""})).collect::<Value>()
    };
    let texts = |text: &str, count: usize| (0..count).map(|_| json!(text)).collect::<Value>();
    let pairs = |count: usize| {
        Value::Object((0..count).map(|index| (format!("A{index}"), json!(""))).collect())
    };
    let ttl = &body["ttl"];
    bound("ttl", ttl["maximum"].clone(), json!(number(&ttl["maximum"]) + 1));
    bound("ttl", ttl["minimum"].clone(), json!(number(&ttl["minimum"]) - 1));
    let most = count("env", "maxProperties");
    bound("env", pairs(most), pairs(most + 1));
    for (name, key) in [("input_files", "filename"), ("files", "path")] {
        let most = count(name, "maxItems");
        bound(name, files(key, most), files(key, most + 1));
    }
    for (name, text) in [("args", ""), ("flags", "-O2"), ("outputs", "a")] {
        let most = count(name, "maxItems");
        bound(name, texts(text, most), texts(text, most + 1));
        let longest = number(&body[name]["items"]["maxLength"]) as usize;
        refused(name, json!([format!("-O{}", "2".repeat(longest))])).expect_err(name);
    }
    let modes = &document["components"]["schemas"]["NetworkMode"]["enum"];
    for mode in modes.as_array().unwrap() {
        bound("network_mode", mode.clone(), json!("other"));
    }
    let limits = document["components"]["schemas"]["Limits"]["properties"].as_object().unwrap();
    assert_eq!(limits.len(), LIMIT_TABLE.len());
    for (name, schema) in limits {
        let limit = |value: i64| json!({name: value});
        let (least, most) = (number(&schema["minimum"]), number(&schema["maximum"]));
        bound("limits", limit(most), limit(most + 1));
        bound("limits", limit(least), limit(least - 1));
    }
}

#[test]
fn every_option_of_a_server_is_in_both_bodies_and_its_default_changes_nothing() {
    let document = document();
    for name in ["ExecuteRequest", "RunRequest"] {
        let properties = &document["components"]["schemas"][name]["properties"];
        for row in OPTION_TABLE {
            let described = properties.get(row.name);
            assert_eq!(described.is_some(), row.reach != OptionReach::Local, "{}", row.name);
            let Some(default) = described.and_then(|schema| schema.get("default")) else {
                continue;
            };
            let mut request = crate::Request::new("c", "");
            row.set(&mut request, default.clone()).unwrap();
            assert_eq!(request.ttl_seconds(), crate::Request::new("c", "").ttl_seconds());
            assert!(row.name == "ttl" || !(row.is_set)(&request), "{}", row.name);
        }
    }
}

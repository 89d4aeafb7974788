// SPDX-License-Identifier: MIT OR Apache-2.0
//! What replies have: the table of a result's fields, and the tables of the objects that the encoders of the wire write
//! by hand. A test compares every table with what its encoder writes.

use super::schema::{Kind, Member, Presence, always, object, reference, sometimes};
use crate::request::NetworkMode;
use crate::result::{LimitKind, Status};
use crate::result_fields::{Absent, FieldKind, Group, RESULT_FIELDS, ResultField};
use serde_json::{Map, Value, json};

const USAGE: &[Member] = &[
    always("cpu_time_ms", Kind::Count, "processor time in milliseconds"),
    always("peak_memory_bytes", Kind::Count, "largest memory in bytes"),
    always("wall_time_ms", Kind::Count, "milliseconds from its start to its end"),
];

const ISOLATION: &[Member] = &[
    always("level", Kind::Text, "`full` or `reduced`"),
    always("layers", Kind::Texts, "names of the layers that the jail had"),
    always("missing", Kind::Texts, "names of the layers that the machine could not give"),
];

const ARTIFACT: &[Member] = &[
    always("filename", Kind::Text, "its name, or its path in the working directory"),
    always("name", Kind::Text, "the same as `filename`"),
    sometimes("type", Kind::Text, "`base64`, where the bytes are here"),
    sometimes("content_base64", Kind::Base64, "its bytes"),
    sometimes(
        "data",
        Kind::Base64,
        "the same as `content_base64`; left out with x-unsandbox-compat: 0, and of large artifacts",
    ),
    sometimes("size", Kind::Count, "number of its bytes"),
    sometimes("url", Kind::Text, "where it is, if another server gave only a link"),
    always("kind", Kind::Text, "`binary`, `wasm` or `file`"),
];

/// How an execution ended, which stands beside its result in a job.
const ENDED: Member = always("status", Kind::Object("EndStatus"), "how the execution ended");
const SUCCESS: Member =
    always("success", Kind::Flag, "whether the program ended by itself with exit code 0");

const STREAMS: &[Member] = &[
    sometimes(
        "stdout",
        Kind::Text,
        "standard output as text, with U+FFFD for what is not UTF-8; with x-unsandbox-compat: 0 only where it is exact",
    ),
    sometimes("stderr", Kind::Text, "standard error, as `stdout`"),
];

const STREAM_BYTES: &[Member] = &[
    sometimes("stdout_base64", Kind::Base64, "standard output, where the text is not exact"),
    sometimes("stderr_base64", Kind::Base64, "standard error, where the text is not exact"),
];

const ARTIFACTS: Member =
    always("artifacts", Kind::Objects("Artifact"), "files that the run gave back");
const EXECUTION_TIME: Member = sometimes(
    "execution_time_ms",
    Kind::Count,
    "the same as `total_time_ms`; left out with x-unsandbox-compat: 0",
);
const RESULT_JOB_ID: Member = sometimes("job_id", Kind::Text, "id of the job");

const PARTS: &[Member] = &[
    sometimes(
        "usage",
        Kind::Object("Usage"),
        "what the program used, with all processes that it started; absent where it was not started",
    ),
    Member {
        name: "compile",
        kind: Kind::Object("Usage"),
        presence: Presence::SometimesOrNull,
        means: "what the compiler used; null where nothing was compiled",
    },
];

const LAST: &[Member] = &[
    sometimes(
        "left_files",
        Kind::Texts,
        "paths of files that the program made or changed in the working directory and nothing asked for; of many, some",
    ),
    sometimes("isolation", Kind::Object("Isolation"), "what the jail was made of"),
];

const WARNINGS: Member =
    sometimes("warnings", Kind::Texts, "what the request had that did nothing, a sentence each");

const SUBMITTED: &[Member] = &[
    always("job_id", Kind::Text, "id by which the job is asked for and cancelled"),
    always("status", Kind::Object("JobStatus"), "`pending`, or how the job ended"),
    always("message", Kind::Text, "a sentence"),
    sometimes(
        "detected_language",
        Kind::Text,
        "name of the language that was detected, where the request named none",
    ),
    WARNINGS,
];

const JOB: &[Member] = &[
    always("job_id", Kind::Text, "id of the job"),
    always("status", Kind::Object("JobStatus"), "state of the job"),
    Member {
        name: "language",
        kind: Kind::Text,
        // The result at the root has null where it is unknown.
        presence: Presence::SometimesOrNull,
        means: "name of its language",
    },
    sometimes("detected_language", Kind::Text, "name of the language that was detected"),
    sometimes("network_mode", Kind::Object("NetworkMode"), "the network mode of the run"),
    sometimes("created_at", Kind::Integer, "when it was submitted, in Unix seconds"),
    sometimes("started_at", Kind::Integer, "when it began to run, in Unix seconds"),
    sometimes("completed_at", Kind::Integer, "when it ended, in Unix seconds"),
];
const RESULT: Member =
    sometimes("result", Kind::Object("JobResult"), "its result, once it has ended");

const CANCELLED: &[Member] = &[
    always("message", Kind::Text, "`Job cancelled`, or `Job already finished`"),
    always("job_id", Kind::Text, "id of the job"),
    always("status", Kind::Object("JobStatus"), "state of the job"),
];

const JOB_ENTRY: &[Member] = &[
    always("job_id", Kind::Text, "id of the job"),
    always("status", Kind::Object("JobStatus"), "`pending` or `running`"),
    Member {
        name: "language",
        kind: Kind::Text,
        presence: Presence::OrNull,
        means: "name of its language",
    },
    sometimes("network_mode", Kind::Object("NetworkMode"), "the network mode of the run"),
    sometimes("submitted_at", Kind::Time, "when it was submitted"),
];

const JOB_LIST: &[Member] = &[
    always("jobs", Kind::Objects("JobEntry"), "the jobs of the key that wait or run"),
    always("count", Kind::Count, "number of the jobs"),
    sometimes(
        "has_more",
        Kind::Flag,
        "whether the list goes on behind these jobs; only where the request has `limit` or `after`",
    ),
];

const DELETED_JOB: &[Member] = &[
    always("job_id", Kind::Text, "id of the job; it is unknown from now on"),
    always("deleted", Kind::Flag, "true"),
];

const LANGUAGE: &[Member] = &[
    always("name", Kind::Text, "the name that requests use"),
    always("aliases", Kind::Texts, "other names that requests may use"),
    sometimes("available", Kind::Flag, "whether its runtime is installed"),
    sometimes("version", Kind::Text, "version of its runtime, as `3.12.1`"),
    sometimes("install", Kind::Text, "what to install where the runtime is missing"),
    sometimes("untested", Kind::Flag, "true where the tests of this project have never run it"),
];

const LANGUAGE_LIST: &[Member] = &[
    always("languages", Kind::Texts, "names of the languages that run"),
    always(
        "aliases",
        Kind::TextMap,
        "other names of these languages, each with the name that it stands for",
    ),
    always("count", Kind::Count, "number of the languages that run"),
    always("details", Kind::Objects("Language"), "every language that the server knows"),
];

const KEY_INFO: &[Member] = &[
    always("valid", Kind::Flag, "whether the server takes the key"),
    sometimes("tier", Kind::TextOrInteger, "`self-hosted`; a number at other servers"),
    sometimes("status", Kind::Text, "`active`, where the key is valid"),
    sometimes(
        "rate_per_minute",
        Kind::Count,
        "requests in a minute; a large number, because there is no limit",
    ),
    sometimes(
        "burst",
        Kind::Count,
        "executions that are accepted at once: those that run, and those that wait",
    ),
    sometimes("concurrency", Kind::Count, "executions that run at once"),
    sometimes(
        "reason",
        Kind::Text,
        "why the key is not valid, at a server in front of another one",
    ),
    sometimes("error", Kind::Text, "the same as `reason`"),
];

const ALIVE: &[Member] = &[always("status", Kind::Text, "`ok`")];

const READY: &[Member] = &[
    always("status", Kind::Text, "`ready` or `not_ready`"),
    sometimes("checks", Kind::Objects("ReadyCheck"), "what was looked at; left out without a key"),
];

const READY_CHECK: &[Member] = &[
    always("name", Kind::Text, "`store`, `jailer`, `queue`, `level` or `accepting`"),
    always("ok", Kind::Flag, "whether it is in order"),
    sometimes("detail", Kind::Text, "what is wrong"),
];

const HEALTH: &[Member] = &[
    always("status", Kind::Text, "`ok`, or why the server takes no work"),
    always("idempotency", Kind::Text, "name of the store of idempotency keys"),
    sometimes(
        "idempotency_jobs",
        Kind::Text,
        "name of the store of those of asynchronous submissions, where that is another one",
    ),
];

const ERROR: &[Member] = &[
    always("success", Kind::Flag, "false"),
    always("error", Kind::Text, "a word for programs; each status has its own"),
    always("message", Kind::Text, "one sentence for people"),
    always("stderr", Kind::Text, "empty"),
    sometimes(
        "job_id",
        Kind::Text,
        "the job that the refusal is about, which can still be asked for",
    ),
];

/// The words of a status, a network mode and a limit.
fn words() -> [(&'static str, &'static str, Vec<&'static str>); 4] {
    let status = ["pending", "running", "completed", "timeout", "cancelled", "failed"];
    let is_end = |word: &&str| Status::parse(word).is_terminal();
    let modes = [NetworkMode::Zerotrust, NetworkMode::Semitrusted];
    let limits = LimitKind::ALL.map(LimitKind::as_str);
    [
        ("JobStatus", "the state of a job", status.to_vec()),
        ("EndStatus", "how an execution ended", status.into_iter().filter(is_end).collect()),
        ("NetworkMode", "how much network a program has", modes.map(NetworkMode::as_str).to_vec()),
        ("LimitKind", "the limit that ended a program", limits.to_vec()),
    ]
}

/// Lists that the service has and this server has not.
pub(super) const EMPTY_LISTS: [(&str, &str); 4] = [
    ("services", "ServiceList"),
    ("sessions", "SessionList"),
    ("snapshots", "SnapshotList"),
    ("images", "ImageList"),
];

/// The schemas of replies, and of their parts.
pub(super) fn schemas() -> Map<String, Value> {
    let beside = result_members();
    let alone: Vec<_> = [&SUCCESS, &RESULT_JOB_ID, &ENDED]
        .into_iter()
        .chain(&beside[1..])
        .copied()
        .chain([WARNINGS])
        .collect();
    let job: Vec<_> = JOB.iter().copied().chain(flat(&beside, JOB)).chain([RESULT]).collect();
    let cancelled: Vec<_> =
        CANCELLED.iter().copied().chain(flat(&beside, CANCELLED)).chain([RESULT]).collect();
    let mut schemas = Map::new();
    let mut add = |name: &str, means: &str, members: &[Member]| {
        schemas.insert(name.to_string(), object(means, members));
    };
    add("ExecutionResult", "what one execution gave", &alone);
    add("JobResult", "the result of a job, whose id and status stand beside it", &beside);
    add("Artifact", "a file that the run gave back", ARTIFACT);
    add("Usage", "time and memory, with all processes that were started", USAGE);
    add("Isolation", "what the jail of a run was made of", ISOLATION);
    add("SubmittedJob", "a job that was accepted", SUBMITTED);
    add(
        "Job",
        "a job as it is now; without x-unsandbox-compat: 0 the fields of its result stand here, too",
        &job,
    );
    add("JobEntry", "a job in a list", JOB_ENTRY);
    add("JobList", "the list of a key's jobs", JOB_LIST);
    add(
        "CancelledJob",
        "a job after a cancel, with the output that the program had written; its result stands as in `Job`",
        &cancelled,
    );
    add("DeletedJob", "a job that was deleted", DELETED_JOB);
    add("Language", "a language that the server knows", LANGUAGE);
    add("LanguageList", "the list of a server's languages", LANGUAGE_LIST);
    add("KeyInfo", "what a key may ask of this server", KEY_INFO);
    super::usage::schemas(&mut add);
    of_server(&mut add);
    for (member, name) in EMPTY_LISTS {
        let list = [
            always(member, Kind::Nothing, "empty: this server has none"),
            always("count", Kind::Count, "0"),
        ];
        add(name, "a list of the service, for its clients", &list);
    }
    add("Error", "a refusal", ERROR);
    for (name, means, words) in words() {
        let schema = json!({"type": "string", "description": means, "enum": words});
        schemas.insert(name.to_string(), schema);
    }
    schemas
        .insert("Document".to_string(), json!({"type": "object", "description": "this document"}));
    schemas
}

/// What the server says of itself.
fn of_server(add: &mut impl FnMut(&str, &str, &[Member])) {
    let unhealthy = [&HEALTH[..1], &ERROR[..4], &HEALTH[1..]].concat();
    add("Health", "what a server says that takes work", HEALTH);
    add("Unhealthy", "what a server says that takes no work, with the refusal", &unhealthy);
    add("Alive", "what a server says whose process answers", ALIVE);
    add("Ready", "whether a server would run a program now", READY);
    add("ReadyCheck", "one thing that has to be in order", READY_CHECK);
}

/// The members of a result whose id and status stand beside it, in the order in which they are written.
fn result_members() -> Vec<Member> {
    let group =
        |group| RESULT_FIELDS.iter().filter(move |field| field.group == group).map(member_of);
    let one = |member: &Member| vec![*member];
    [
        one(&SUCCESS),
        STREAMS.to_vec(),
        group(Group::Outcome).collect(),
        one(&ARTIFACTS),
        group(Group::Run).collect(),
        one(&EXECUTION_TIME),
        STREAM_BYTES.to_vec(),
        PARTS.to_vec(),
        group(Group::Ours).collect(),
        LAST.to_vec(),
    ]
    .concat()
}

/// The members of a result that stand at the root of a job, but for those that the job has itself.
fn flat(result: &[Member], own: &[Member]) -> Vec<Member> {
    let is_ours = |name: &str| {
        RESULT_FIELDS.iter().any(|field| field.name == name && field.group == Group::Ours)
    };
    let nested_only = [STREAM_BYTES, PARTS, LAST, &[EXECUTION_TIME]].concat();
    let is_nested =
        |name: &str| nested_only.iter().any(|member| member.name == name) || is_ours(name);
    let at_root =
        result.iter().filter(|it| !is_nested(it.name) && own.iter().all(|own| own.name != it.name));
    let optional = |member: &Member| {
        let presence = match member.presence {
            Presence::OrNull | Presence::SometimesOrNull => Presence::SometimesOrNull,
            Presence::Always | Presence::Sometimes => Presence::Sometimes,
        };
        Member { presence, ..*member }
    };
    at_root.map(optional).collect()
}

fn member_of(field: &ResultField) -> Member {
    let kind = match (field.name, field.kind) {
        ("limit", _) => Kind::Object("LimitKind"),
        ("network_mode", _) => Kind::Object("NetworkMode"),
        (_, FieldKind::Flag) => Kind::Flag,
        (_, FieldKind::Number) => Kind::Integer,
        (_, FieldKind::Word | FieldKind::Message) => Kind::Text,
    };
    let presence = match (field.kind, field.absent) {
        (FieldKind::Flag, _) => Presence::Always,
        (_, Absent::Null) => Presence::OrNull,
        (_, Absent::Omitted) => Presence::Sometimes,
    };
    Member { name: field.name, kind, presence, means: field.means }
}

/// One of several schemas, or the only one.
pub(super) fn any_of(names: &[&str]) -> Value {
    match names {
        [name] => reference(name),
        _ => json!({"anyOf": names.iter().map(|name| reference(name)).collect::<Vec<_>>()}),
    }
}

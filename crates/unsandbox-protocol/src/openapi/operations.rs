// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of operations: path, method, what goes in, what comes out, and with which statuses it is refused. A test of
//! the server compares it with the router.

use super::refusals::component;
use super::replies::any_of;
use super::request::query_names;
use super::schema::reference;
use crate::wire::EVENT_STREAM;
use serde_json::{Map, Value, json};

/// What the body of a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Body {
    None,
    /// JSON with the language.
    Execute,
    /// The program itself with options in the query, or JSON without the language.
    Run,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    path: &'static str,
    method: &'static str,
    /// Its name in the vocabulary of all faces.
    id: &'static str,
    tag: &'static str,
    /// What it does, without a final stop.
    summary: &'static str,
    /// Whether it needs a key, where the server has keys.
    needs_key: bool,
    body: Body,
    /// Parameters beside the options of `/run`, by the names of their components.
    parameters: &'static [&'static str],
    /// The schemas of its reply; more than one where it depends on the request. None for text.
    reply: &'static [&'static str],
    /// The media types of a reply that is text.
    text: &'static [&'static str],
    replied: &'static str,
    /// Whether it answers with a stream of events: never, if it is asked to, or always.
    streams: Streams,
    /// Statuses of refusals beside those of every operation.
    refused: &'static [u16],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Streams {
    Never,
    /// By the header `Accept`.
    IfAsked,
    Always,
}

const JSON: &str = "application/json";
/// The media type of the metrics.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML_TYPE: &str = "text/html; charset=utf-8";
const EXECUTION: &str = "Execution";
const JOBS: &str = "Jobs";
const SERVER: &str = "Server";
const CONSOLE: &str = "Console";
const SERVICE: &str = "Service";

/// Statuses with which a server may refuse any request.
const EVERYWHERE: [u16; 6] = [403, 408, 413, 415, 500, 503];
const SUBMISSION: &[u16] = &[400, 409, 412, 422, 429, 501, 507];
const SUBMISSION_PARAMETERS: &[&str] = &["IdempotencyKey", "Compat"];
const LIVE_PARAMETERS: &[&str] = &["IdempotencyKey", "Compat", "LastEventId"];
const RESULT_OR_JOB: &[&str] = &["ExecutionResult", "SubmittedJob", "Job"];
const JOB_ACCEPTED: &[&str] = &["SubmittedJob", "Job"];
const SAID_JOB: &str =
    "the job; one that ended already, which a repeated Idempotency-Key may name, with its result";
const SAID_EVENTS: &str = "server-sent events `queued`, `started`, `stdout`, `stderr`, `gap`, and `finished` or \
                           `error` as the last one; docs/reference/http.md has their data";
const SAID_RESULT: &str =
    "the result of the program, successful or not; a job where the request has `async: true`";

const OPERATION: Operation = Operation {
    path: "",
    method: "get",
    id: "",
    tag: SERVER,
    summary: "",
    needs_key: true,
    body: Body::None,
    parameters: &[],
    reply: &[],
    text: &[],
    replied: "",
    streams: Streams::Never,
    refused: &[],
};

const SUBMIT: Operation = Operation {
    method: "post",
    tag: EXECUTION,
    body: Body::Execute,
    parameters: SUBMISSION_PARAMETERS,
    reply: JOB_ACCEPTED,
    replied: SAID_JOB,
    refused: SUBMISSION,
    ..OPERATION
};

const CANCEL: Operation = Operation {
    path: "/jobs/{id}",
    method: "delete",
    id: "cancel_job",
    tag: JOBS,
    summary: "Cancels a job and waits for its end",
    parameters: &["JobId", "Compat"],
    reply: &["CancelledJob"],
    replied: "the job, cancelled or as it had ended before",
    refused: &[404, 507],
    ..OPERATION
};

const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/execute",
        id: "execute",
        summary: "Runs a program in a named language and waits for its result",
        parameters: LIVE_PARAMETERS,
        streams: Streams::IfAsked,
        reply: RESULT_OR_JOB,
        replied: SAID_RESULT,
        ..SUBMIT
    },
    Operation {
        path: "/execute/async",
        id: "execute_async",
        summary: "Submits a program in a named language as a job",
        ..SUBMIT
    },
    Operation {
        path: "/run",
        id: "run",
        summary: "Runs a program whose language the server detects, and waits for its result",
        parameters: LIVE_PARAMETERS,
        streams: Streams::IfAsked,
        body: Body::Run,
        reply: RESULT_OR_JOB,
        replied: SAID_RESULT,
        ..SUBMIT
    },
    Operation {
        path: "/run/async",
        id: "run_async",
        summary: "Submits a program whose language the server detects as a job",
        body: Body::Run,
        ..SUBMIT
    },
    Operation {
        path: "/jobs",
        id: "list_jobs",
        tag: JOBS,
        summary: "Lists the jobs of the key that wait or run, those that were submitted first at the beginning",
        parameters: &["Limit", "After"],
        reply: &["JobList"],
        replied: "the jobs",
        refused: &[400],
        ..OPERATION
    },
    Operation {
        path: "/jobs/{id}",
        id: "get_job",
        tag: JOBS,
        summary: "Gives a job, with its result once it has ended",
        parameters: &["JobId", "Wait", "Compat"],
        reply: &["Job"],
        replied: "the job as it is now",
        refused: &[400, 404, 507],
        ..OPERATION
    },
    Operation {
        path: "/jobs/{id}/events",
        id: "job_events",
        tag: JOBS,
        summary: "Sends the events of a job as they happen, until its end",
        parameters: &["JobId", "From", "LastEventId", "Compat"],
        replied: SAID_EVENTS,
        streams: Streams::Always,
        refused: &[400, 404, 507],
        ..OPERATION
    },
    CANCEL,
    Operation {
        path: "/jobs/{id}/cancel",
        method: "post",
        id: "cancel_job_by_post",
        summary: "Cancels a job, for clients that cannot send DELETE",
        ..CANCEL
    },
    Operation {
        path: "/jobs/{id}/record",
        method: "delete",
        id: "delete_job",
        tag: JOBS,
        summary: "Deletes a job that has ended, with its result and its Idempotency-Key",
        parameters: &["JobId"],
        reply: &["DeletedJob"],
        replied: "the job is deleted",
        refused: &[404, 409, 507],
        ..OPERATION
    },
    Operation {
        path: "/languages",
        id: "languages",
        summary: "Lists the languages",
        needs_key: false,
        reply: &["LanguageList"],
        replied: "those that run, and what to install for the others",
        ..OPERATION
    },
    Operation {
        path: "/keys/validate",
        method: "post",
        id: "validate_key",
        summary: "Says whether the server takes the key, and what the key may ask for",
        reply: &["KeyInfo"],
        replied: "the key is taken",
        ..OPERATION
    },
    Operation {
        path: "/usage",
        id: "usage",
        summary: "Says what the key may have, what it has now, and what it has used since the server started",
        reply: &["KeyUsage"],
        replied: "of this key alone",
        refused: &[507],
        ..OPERATION
    },
    Operation {
        path: "/health",
        id: "health",
        summary: "Says whether the server takes work",
        needs_key: false,
        reply: &["Health"],
        replied: "it takes work",
        ..OPERATION
    },
    Operation {
        path: "/healthz",
        id: "alive",
        summary: "Says that the process answers",
        needs_key: false,
        reply: &["Alive"],
        replied: "it answers",
        ..OPERATION
    },
    Operation {
        path: "/readyz",
        id: "ready",
        summary: "Says whether the server would run a program now; with a key, also why not",
        needs_key: false,
        reply: &["Ready"],
        replied: "it would",
        ..OPERATION
    },
    Operation {
        path: "/metrics",
        id: "metrics",
        summary: "Gives the metrics of the server in the text format of Prometheus",
        text: &[METRICS_TYPE],
        replied: "the metrics",
        ..OPERATION
    },
    Operation {
        path: "/openapi.json",
        id: "openapi",
        summary: "Gives this document",
        reply: &["Document"],
        replied: "the document",
        ..OPERATION
    },
    Operation {
        path: "/",
        id: "console",
        tag: CONSOLE,
        summary: "Gives the console, a page for browsers",
        needs_key: false,
        text: &[HTML_TYPE],
        replied: "the page; 404 without `text/html` in `Accept`",
        refused: &[404],
        ..OPERATION
    },
    Operation {
        path: "/console/{name}",
        id: "console_file",
        tag: CONSOLE,
        summary: "Gives a file of the console",
        needs_key: false,
        parameters: &["FileName"],
        text: &[
            HTML_TYPE,
            "text/css; charset=utf-8",
            "text/javascript; charset=utf-8",
            "text/plain; charset=utf-8",
            "image/svg+xml",
        ],
        replied: "the file",
        refused: &[404],
        ..OPERATION
    },
    list("/services", "list_services", "Gives an empty list of services", &["ServiceList"]),
    list("/sessions", "list_sessions", "Gives an empty list of sessions", &["SessionList"]),
    list("/snapshots", "list_snapshots", "Gives an empty list of snapshots", &["SnapshotList"]),
    list("/images", "list_images", "Gives an empty list of images", &["ImageList"]),
];

/// A list that is empty here, for clients of the service.
const fn list(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    reply: &'static [&'static str],
) -> Operation {
    Operation { path, id, tag: SERVICE, summary, reply, replied: "an empty list", ..OPERATION }
}

/// The path of each operation, as `/jobs/{id}`.
pub fn templates() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.path)
}

pub(super) fn tags() -> Value {
    json!([
        {"name": EXECUTION, "description": "programs that run, and jobs that are submitted"},
        {"name": JOBS, "description": "jobs that were submitted"},
        {"name": SERVER, "description": "what the server says about itself"},
        {"name": CONSOLE, "description": "a page for browsers, and its files"},
        {"name": SERVICE, "description": "lists that the service has; they are empty here, for its clients"},
    ])
}

pub(super) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method] = described(operation);
    }
    paths
}

fn described(operation: &Operation) -> Value {
    let mut parameters: Vec<_> = operation.parameters.iter().map(|name| name.to_string()).collect();
    if operation.body == Body::Run {
        parameters.extend(query_names());
    }
    let refer = |name: &String| json!({"$ref": format!("#/components/parameters/{name}")});
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters.iter().map(refer).collect::<Vec<_>>(),
        "responses": responses(operation),
        "security": if operation.needs_key { json!([{"bearer": []}, {"bearer": [], "timestamp": [], "signature": []}]) } else { json!([]) },
    });
    if let Some(body) = body(operation.body) {
        described["requestBody"] = body;
    }
    described
}

fn body(body: Body) -> Option<Value> {
    let json_of = |name| json!({"schema": reference(name)});
    let content = match body {
        Body::None => return None,
        Body::Execute => json!({JSON: json_of("ExecuteRequest")}),
        Body::Run => json!({
            "application/json": json_of("RunRequest"),
            "text/plain": {"schema": {"type": "string", "description": "source text of the program; its options are in the query"}},
        }),
    };
    Some(json!({"required": true, "content": content}))
}

/// The forms of a reply.
fn content(operation: &Operation) -> Value {
    let mut forms = Map::new();
    match (operation.streams, operation.reply) {
        (_, []) => {
            for media in operation.text {
                forms.insert(media.to_string(), json!({"schema": {"type": "string"}}));
            }
        }
        (_, schemas) => _ = forms.insert(JSON.to_string(), json!({"schema": any_of(schemas)})),
    }
    if operation.streams != Streams::Never {
        let events = json!({"schema": {"type": "string", "description": SAID_EVENTS}});
        forms.insert(EVENT_STREAM.to_string(), events);
    }
    forms.into()
}

fn responses(operation: &Operation) -> Map<String, Value> {
    let mut responses = Map::new();
    let reply = json!({
        "description": operation.replied,
        "headers": super::reply_headers(),
        "content": content(operation),
    });
    responses.insert("200".to_string(), reply);
    let key: &[u16] = if operation.needs_key { &[401, 429] } else { &[] };
    let mut statuses = [operation.refused, key, &EVERYWHERE].concat();
    statuses.sort_unstable();
    for status in statuses {
        let mut refused = json!({"$ref": format!("#/components/responses/{}", component(status))});
        if operation.path == "/health" && status == 503 {
            refused = super::refusals::unhealthy();
        }
        if operation.path == "/readyz" && status == 503 {
            refused = super::refusals::not_ready();
        }
        responses.insert(status.to_string(), refused);
    }
    responses
}

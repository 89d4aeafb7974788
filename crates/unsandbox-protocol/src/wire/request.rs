// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests: as our client writes them, and as a server reads what any client sends. A server is strict
//! about types and values and lenient about the names that other clients use.

use super::body::{self, Read};
use super::json::Writer;
use super::options::{OPTION_TABLE, boolean, field, string, wrong};
use super::query::{pairs, percent_encode};
use crate::error::Error;
use crate::request::Request;
use crate::rules::{shown, shown_json};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// A request as a server received it, not validated yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// Code and options; what was not sent has its default.
    pub request: Request,
    /// The body said `"async": true`: the reply is a job, as from `/execute/async`.
    pub wants_async: bool,
    /// What was sent and did nothing, for the reply; a sentence each.
    pub warnings: Vec<String>,
}

/// The body of `/execute` and `/execute/async`, and of `/run` where a server takes JSON there.
///
/// What the service does not know is written only when it is used.
pub fn encode_execute(request: &Request) -> String {
    let files = request.input_files.iter().map(|file| 128 + file.content.len().div_ceil(3) * 4);
    let stdin = request.stdin.as_ref().map_or(0, Vec::len);
    let bytes = 256 + request.code.len() + files.sum::<usize>() + stdin;
    Writer::document_of(bytes, |w| {
        w.text_if("language", request.language.as_deref());
        w.text("code", &request.code);
        OPTION_TABLE.iter().for_each(|row| (row.write)(request, w));
    })
}

/// The query string of `/run`, whose body is the code itself.
pub fn encode_run_query(request: &Request) -> String {
    let texts = OPTION_TABLE.iter().filter_map(|row| {
        let text = (row.query.as_ref()?.write)(request)?;
        Some(format!("{}={}", row.name, percent_encode(&text)))
    });
    texts.collect::<Vec<_>>().join("&")
}

/// Reads the body of `/execute`. ARGUMENT names the field and the value that is wrong.
pub fn decode_request(body: &[u8]) -> Result<Incoming, Error> {
    let Read { known: map, unknown } = read_body(body)?;
    let language = string(&map, "language")?;
    let language = language.ok_or_else(|| Error::argument("language is missing"))?;
    let mut incoming = read_options(&map, Request::detect(""), unknown.iter().map(ignored))?;
    incoming.request.language = Some(language);
    Ok(incoming)
}

/// Reads `/run`: the code itself with options in the query, or a JSON body with all of them.
pub fn decode_run(query: &str, content_type: Option<&str>, body: &[u8]) -> Result<Incoming, Error> {
    let mut request = Request::detect("");
    let mut warnings = Vec::new();
    for pair in pairs(query) {
        let (name, value) = pair?;
        let row = OPTION_TABLE.iter().find(|row| row.keys.contains(&name.as_ref()));
        match row.map(|row| &row.query) {
            Some(Some(query)) => (query.read)(&mut request, &name, &value)?,
            Some(None) => warnings
                .push(format!("{} in the query was ignored: send it in a JSON body", shown(&name))),
            None => warnings.push(ignored(&name)),
        }
    }
    warnings.truncate(WARNINGS_MAX);
    if run_is_json(content_type) {
        let Read { known: map, unknown } = read_body(body)?;
        if let Some(language) = field(&map, "language") {
            return Err(Error::argument(format!(
                "/run detects the language and does not take `language` (got {}); use /execute",
                shown_json(language)
            )));
        }
        return read_options(
            &map,
            request,
            warnings.into_iter().chain(unknown.iter().map(ignored)),
        );
    }
    let code = std::str::from_utf8(body);
    request.code = code.map_err(|_| Error::argument("code is not UTF-8 text"))?.to_string();
    Ok(Incoming { request, wants_async: false, warnings })
}

/// Adds the warnings about a request to its reply, a JSON object; none to a reply without warnings.
pub fn with_warnings(mut reply: String, warnings: &[String]) -> String {
    if !warnings.is_empty() && reply.pop() == Some('}') {
        let member = Writer::document(|w| w.texts("warnings", warnings));
        reply.push(',');
        reply.push_str(&member[1..]);
    }
    reply
}

/// Whether the body of `/run` is JSON rather than the code itself.
pub fn run_is_json(content_type: Option<&str>) -> bool {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

/// The fields of a body that are read here.
static FIELDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let options = OPTION_TABLE.iter().flat_map(|row| row.keys).copied();
    ["language", "code", "async"].into_iter().chain(options).collect()
});

/// Names of the query that are reported.
const WARNINGS_MAX: usize = 16;

/// Clients of the service send more than this server has, so it is no error.
fn ignored(name: impl AsRef<str>) -> String {
    format!("{} was ignored: no option has this name", shown(name.as_ref()))
}

fn read_body(body: &[u8]) -> Result<Read, Error> {
    if body.is_empty() {
        return Ok(Read::default());
    }
    body::read(body, &FIELDS)?.map_err(|other| wrong("the body", "a JSON object", &other))
}

/// Reads code and options in addition to those of a query string. `runtime` is read so that a server can refuse it.
fn read_options(
    map: &Map<String, Value>,
    mut request: Request,
    warnings: impl Iterator<Item = String>,
) -> Result<Incoming, Error> {
    let code = string(map, "code")?;
    request.code = code.ok_or_else(|| Error::argument("code is missing"))?;
    for row in OPTION_TABLE {
        (row.read)(&mut request, map)?;
    }
    let wants_async = boolean(map, "async")?.unwrap_or(false);
    Ok(Incoming { request, wants_async, warnings: warnings.collect() })
}

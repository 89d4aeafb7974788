// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: a page at `/` and its files, which are in this program. They need no key and hold nothing of anybody.
//! Their headers keep what a program made from acting as the person who looks at it; docs/security.md says how.

use crate::reply::{self, Refusal};
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

/// Where the files of the page are.
pub(crate) const FOLDER: &str = "/console/";

/// Of the page: its own scripts and styles and nothing inline, no other host, no frame around it, and no text as markup.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// Of the frame for HTML that a program made. `sandbox` without allow-same-origin gives it an origin of its own, however it
/// is opened; its scripts and styles run, so that a report looks as it should, and load nothing.
const VIEWER_POLICY: &str = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; \
                             style-src 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:; \
                             base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// Beside the policy of the viewer, which says nothing of WebRTC, of connections made in advance and of lookups of names: no
/// connection at all, in browsers that know the header (Chromium).
const VIEWER_CONNECTIONS: &str = "()";
/// Of every other reply: should a browser show one, then without scripts and without this origin.
const REPLY_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

struct File {
    name: &'static str,
    media: &'static str,
    policy: &'static str,
    content: &'static [u8],
    /// Made when it is first asked for.
    compressed: LazyLock<Bytes, Box<dyn FnOnce() -> Bytes + Send>>,
    /// Of the content, whether it is sent compressed or not; therefore a weak one.
    tag: String,
}

macro_rules! files {
    ($($path:literal $media:expr, $policy:expr;)*) => {
        [$(file($path, $media, $policy, include_bytes!(concat!("../console/", $path))),)*]
    };
}

static FILES: LazyLock<[File; 17]> = LazyLock::new(|| {
    files! {
        "index.html" HTML, PAGE_POLICY;
        "viewer.html" HTML, VIEWER_POLICY;
        "console.css" "text/css; charset=utf-8", REPLY_POLICY;
        "icon.svg" "image/svg+xml", REPLY_POLICY;
        "codemirror/LICENSE" "text/plain; charset=utf-8", REPLY_POLICY;
        "codemirror/codemirror.js" SCRIPT, REPLY_POLICY;
        "api.js" SCRIPT, REPLY_POLICY;
        "artifacts.js" SCRIPT, REPLY_POLICY;
        "dom.js" SCRIPT, REPLY_POLICY;
        "editor.js" SCRIPT, REPLY_POLICY;
        "jobs.js" SCRIPT, REPLY_POLICY;
        "main.js" SCRIPT, REPLY_POLICY;
        "options.js" SCRIPT, REPLY_POLICY;
        "result.js" SCRIPT, REPLY_POLICY;
        "run.js" SCRIPT, REPLY_POLICY;
        "samples.js" SCRIPT, REPLY_POLICY;
        "server.js" SCRIPT, REPLY_POLICY;
    }
});

fn file(
    path: &'static str,
    media: &'static str,
    policy: &'static str,
    content: &'static [u8],
) -> File {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(content)[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    let name = path.rsplit('/').next().unwrap_or(path);
    let compressed = LazyLock::new(Box::new(|| compress(content)) as Box<_>);
    File { name, media, policy, content, compressed, tag }
}

fn compress(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).expect("a vector takes all bytes");
    encoder.finish().expect("a vector takes all bytes").into()
}

/// `GET /`: the page, for a browser. Who does not ask for HTML gets what every path without an operation gets.
pub(crate) async fn console_page(headers: HeaderMap) -> Result<Response<Body>, Refusal> {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if !accepted.flat_map(|value| value.split(',')).any(is_html) {
        return Err(reply::not_found("/").into());
    }
    let mut response = answer(&FILES[0], &headers);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    Ok(response)
}

/// `GET /console/{name}`: a file of the page.
pub(crate) async fn console_file(
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    match FILES.iter().skip(1).find(|file| file.name == name) {
        Some(file) => Ok(answer(file, &headers)),
        None => Err(reply::not_found(&format!("{FOLDER}{name}")).into()),
    }
}

fn is_html(accepted: &str) -> bool {
    accepted.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/html")
}

fn is_gzip(accepted: &str) -> bool {
    let (name, parameters) = accepted.split_once(';').unwrap_or((accepted, ""));
    let quality = parameters.trim().strip_prefix("q=").map(|value| value.trim().parse::<f32>());
    name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality, Some(Ok(0.0)))
}

/// The file, or 304 if the browser has it.
fn answer(file: &File, headers: &HeaderMap) -> Response<Body> {
    let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let known = texts(IF_NONE_MATCH).any(|tags| tags.contains(&file.tag));
    let is_compressed = texts(ACCEPT_ENCODING).flat_map(|all| all.split(',')).any(is_gzip);
    let mut response = Response::new(match (known, is_compressed) {
        (true, _) => Body::empty(),
        (false, true) => Body::from(file.compressed.clone()),
        (false, false) => Body::from(Bytes::from_static(file.content)),
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if is_compressed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let etag = HeaderValue::try_from(format!("W/{}", file.tag)).expect("hexadecimal digits");
    let same_origin = HeaderValue::from_static("same-origin");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media));
    headers.insert(ETAG, etag);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    // Asked again each time, so that a page never has files of an earlier version.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(file.policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if file.policy == PAGE_POLICY {
        // Who has opened the page keeps no hold on it.
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), same_origin);
    }
    if file.policy == VIEWER_POLICY {
        let connections = HeaderValue::from_static(VIEWER_CONNECTIONS);
        headers.insert(HeaderName::from_static("connection-allowlist"), connections);
    }
    response
}

/// The headers of every reply: a browser takes it for what it says it is, and for no page of this origin.
pub(crate) fn guard(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert_with(|| HeaderValue::from_static(REPLY_POLICY));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/console");

    fn text(file: &File) -> &str {
        std::str::from_utf8(file.content).unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_served_or_makes_one() {
        let mut found = BTreeSet::new();
        for folder in [FOLDER.to_string(), format!("{FOLDER}/codemirror")] {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    found.insert(entry.file_name().into_string().unwrap());
                }
            }
        }
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_string()).collect();
        let left: Vec<_> = found.difference(&served).collect();
        assert_eq!(left, ["entry.js", "package.json"]);
        assert_eq!(served.len(), FILES.len(), "two files have one name");
    }

    #[test]
    fn scripts_import_files_that_are_served_and_no_address() {
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name).collect();
        for file in FILES.iter().filter(|file| file.media == SCRIPT) {
            for import in text(file).split(" from \"").skip(1) {
                let name = import.split('"').next().unwrap();
                if file.name != "codemirror.js" {
                    assert!(
                        served.contains(name.trim_start_matches("./")),
                        "{}: {name}",
                        file.name
                    );
                }
            }
            let foreign = text(file).matches("://").count();
            // CodeMirror has the name of SVG's vocabulary, which nobody fetches.
            let allowed = text(file).matches("http://www.w3.org/2000/svg").count();
            assert_eq!(foreign, allowed, "{}", file.name);
        }
    }

    #[test]
    fn the_editor_is_of_the_pinned_versions_and_with_its_licences() {
        let find = |name| text(FILES.iter().find(|file| file.name == name).unwrap());
        let head = find("codemirror.js").lines().nth(1).unwrap();
        let pinned = std::fs::read(Path::new(FOLDER).join("codemirror/package.json")).unwrap();
        let pinned: serde_json::Value = serde_json::from_slice(&pinned).unwrap();
        for (name, version) in pinned["dependencies"].as_object().unwrap() {
            let version = format!("{name} {}", version.as_str().unwrap());
            let is_tool = name == "esbuild";
            assert_eq!(head.contains(&version), !is_tool, "{version}; run scripts/console-editor");
            assert_eq!(find("LICENSE").contains(&version), !is_tool, "{version}");
        }
    }

    #[test]
    fn clients_are_told_apart_by_what_they_accept() {
        for accept in ["text/html", "text/html,application/xhtml+xml;q=0.9", "TEXT/HTML;q=0.8"] {
            assert!(accept.split(',').any(is_html), "{accept}");
        }
        for accept in ["*/*", "application/json", "text/plain", ""] {
            assert!(!accept.split(',').any(is_html), "{accept}");
        }
        for accept in ["gzip", "br, gzip", "GZIP;q=0.5"] {
            assert!(accept.split(',').any(is_gzip), "{accept}");
        }
        for accept in ["", "br", "gzip;q=0", "gzip; q=0.0", "x-gzip-not"] {
            assert!(!accept.split(',').any(is_gzip), "{accept}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console at bare HTTP: who gets which page, with which headers, and which pages of which sites may ask. What it does in a
//! browser is in bindings-tests/console.

mod support;

use support::{execute_body, keyed, start};
use unsandbox_server::ServerOptions;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

#[test]
fn browsers_get_the_page_with_or_without_keys_and_others_what_they_got() {
    for options in [ServerOptions::default(), keyed("good")] {
        let server = start(options);
        let page = server.call("GET", "/", BROWSER, b"");
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.head.contains("content-type: text/html; charset=utf-8"), "{}", page.head);
        assert!(page.head.contains("vary: accept, accept-encoding"), "{}", page.head);
        let script = page.body.split("<script type=\"module\" src=\"").nth(1).unwrap();
        let script = server.get(&format!("/{}", script.split('"').next().unwrap()));
        assert_eq!(script.status, 200, "{}", script.head);
        assert!(script.head.contains("content-type: text/javascript"), "{}", script.head);
        for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
            server.call("GET", "/", accept, b"").refused(404, "not_found");
        }
        for path in
            ["/console/", "/console/nothing.js", "/console/package.json", "/console/..%2fsrc"]
        {
            assert_eq!(server.call("GET", path, BROWSER, b"").status, 404, "{path}");
        }
        assert_eq!(server.call("POST", "/", BROWSER, b"").status, 405);
    }
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let server = start(ServerOptions::default());
    let first = server.get("/console/console.css");
    assert!(first.head.contains("cache-control: no-cache"), "{}", first.head);
    let etag = first.head.split("etag: ").nth(1).unwrap().lines().next().unwrap().to_string();
    let ask = |tags: &str| {
        server.call("GET", "/console/console.css", &format!("If-None-Match: {tags}\r\n"), b"")
    };
    for tags in [etag.clone(), format!("\"other\", {etag}")] {
        let again = ask(&tags);
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{tags}");
    }
    assert_eq!(ask("\"other\"").body, first.body);
}

#[test]
fn the_editor_is_sent_compressed_to_who_accepts_that() {
    let server = start(ServerOptions::default());
    let length = |headers: &str| {
        // Only its head: the body is not text.
        let head = server.call("HEAD", "/console/codemirror.js", headers, b"").head;
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        (length.parse::<usize>().unwrap(), head.contains("content-encoding: gzip"))
    };
    let (plain, is_compressed) = length("");
    assert!(plain > 400_000 && !is_compressed, "{plain}");
    let (compressed, is_compressed) = length("Accept-Encoding: gzip, deflate, br\r\n");
    assert!(compressed < 165_000 && is_compressed, "{compressed}");
}

#[test]
fn no_reply_is_taken_for_a_page_of_this_origin() {
    let server = start(keyed("good"));
    let key = "Authorization: Bearer good\r\n";
    let policy = |path: &str, headers: &str| {
        let reply = server.call("GET", path, headers, b"");
        assert!(reply.head.contains("x-content-type-options: nosniff"), "{path}: {}", reply.head);
        let lines =
            reply.head.lines().filter_map(|line| line.strip_prefix("content-security-policy: "));
        let policies: Vec<_> = lines.map(str::to_string).collect();
        assert_eq!(policies.len(), 1, "{path}: {}", reply.head);
        policies[0].clone()
    };
    let page = policy("/", BROWSER);
    for rule in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "connect-src 'self'"]
    {
        assert!(page.split("; ").any(|part| part == rule), "{rule}: {page}");
    }
    assert!(!page.contains("unsafe") && !page.contains("http"), "{page}");
    // Its scripts run, in an origin of their own, and reach no address.
    let viewer = policy("/console/viewer.html", "");
    assert!(viewer.starts_with("sandbox allow-scripts; default-src 'none'; "), "{viewer}");
    assert!(!viewer.contains("allow-same-origin") && !viewer.contains("connect-src"), "{viewer}");
    for (path, headers) in [
        ("/jobs", key),
        ("/jobs", ""),
        ("/health", ""),
        ("/openapi.json", key),
        ("/metrics", key),
        ("/x", ""),
    ] {
        let policy = policy(path, headers);
        assert!(
            policy.contains("default-src 'none'") && policy.ends_with("; sandbox"),
            "{path}: {policy}"
        );
    }
}

#[test]
fn without_keys_the_pages_of_this_server_may_ask_and_those_of_others_not() {
    let server = start(ServerOptions::default());
    let body = execute_body("print(1)");
    let run = |headers: &str| server.call("POST", "/execute", headers, body.as_bytes());
    for own in [
        "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\nSec-Fetch-Site: same-origin\r\n",
        "Host: 127.0.0.1:8080\r\nOrigin: http://127.0.0.1:8080\r\n",
        "Host: [::1]:8080\r\nOrigin: http://[::1]:8080\r\n",
        "Host: 127.3.2.1\r\nOrigin: https://127.3.2.1\r\n",
        "Host: LocalHost:8080\r\nOrigin: http://localhost:8080\r\n",
    ] {
        assert_eq!(run(own).status, 200, "{own}");
    }
    for foreign in [
        // Another program of this machine, and another name of it.
        "Host: localhost:8080\r\nOrigin: http://localhost:3000\r\n",
        "Host: localhost:8080\r\nOrigin: http://127.0.0.1:8080\r\n",
        "Host: localhost:8080\r\nSec-Fetch-Site: same-site\r\n",
        // A frame without an origin, as the one for what a program made.
        "Host: localhost:8080\r\nOrigin: null\r\n",
        "Host: localhost:8080\r\nOrigin: localhost:8080\r\n",
        "Host: localhost:8080\r\nOrigin: ftp://localhost:8080\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost:8080.evil.example\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\nOrigin: http://evil.example\r\n",
        // A name of the attacker that leads here: its page is of the same origin.
        "Host: evil.example\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
        "Host: localhost:8080\r\nHost: evil.example\r\nOrigin: http://localhost:8080\r\n",
    ] {
        let told = run(foreign).refused(403, "forbidden");
        assert!(told.contains("--keys"), "{told}");
    }
}

#[test]
fn a_link_on_another_site_opens_the_console_and_nothing_else() {
    let server = start(ServerOptions::default());
    let link = format!("{BROWSER}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n");
    assert_eq!(server.call("GET", "/", &link, b"").status, 200);
    for path in ["/jobs", "/languages", "/console/main.js"] {
        server.call("GET", path, &link, b"").refused(403, "forbidden");
    }
    let fetched = format!("{BROWSER}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n");
    server.call("GET", "/", &fetched, b"").refused(403, "forbidden");
    server
        .call("GET", "/", &format!("{link}Host: evil.example\r\n"), b"")
        .refused(403, "forbidden");
}

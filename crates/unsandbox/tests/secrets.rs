// SPDX-License-Identifier: MIT OR Apache-2.0
//! No key is found in any byte that the client logs (every crate, down to trace), shows or puts into an
//! error, whatever goes wrong. A process of its own: it takes the log for itself.

mod listener;
mod stub;

use listener::key_in;
use stub::{Play, Stub, json, ok, with};
use unsandbox::{CallOptions, Client, ClientBuilder, Request};

const BEARER: &str = "unsb-key-5ecre7-bearer";
const SECRET: &str = "unsb-sk-5ecre7-signing";
const PASSWORD: &str = "5ecre7-proxy";

fn hold_against(text: &str, whence: &str) {
    assert_eq!(key_in(text), None, "{whence} has a key: {text}");
}

#[test]
fn no_key_is_ever_seen() {
    listener::listen();
    let faults: [fn() -> Play; 12] = [
        ok,
        || Play::Close,
        || Play::Reset(b"HTTP/1.1 200 OK\r\n".to_vec()),
        || Play::Raw(b"garbage\r\n\r\n".to_vec()),
        || json(200, "{"),
        || json(401, r#"{"error":"invalid_api_key","message":"no"}"#),
        || {
            with(
                json(401, r#"{"error":"invalid_timestamp"}"#),
                "Date: Fri, 01 Jan 2100 00:00:00 GMT",
            )
        },
        || json(429, ""),
        || json(500, "oops"),
        || with(json(307, ""), "Location: https://example.com/"),
        || with(ok(), "Content-Encoding: gzip"),
        || Play::Hang,
    ];
    for fault in faults {
        let stub = Stub::start(move |_| fault());
        for builder in [
            Client::builder().base_url(&stub.url).api_key(BEARER),
            Client::builder().base_url(&stub.url).key_pair("unsb-pk-public", SECRET),
        ] {
            try_all(builder.retries(1));
        }
    }
    let proxy = Stub::start(|_| json(407, ""));
    let proxy = proxy.url.replace("http://", &format!("http://me:{PASSWORD}@"));
    try_all(Client::builder().base_url("https://server.test").api_key(BEARER).proxy(proxy));
    for builder in [
        Client::builder().base_url("http://example.com").api_key(BEARER),
        Client::builder().base_url(format!("http://me:{PASSWORD}@example.com")),
        Client::builder().base_url("https://example.com").api_key(format!("{BEARER}\n")),
        Client::builder().base_url("https://example.com").proxy(format!("nonsense://{PASSWORD}@x")),
    ] {
        hold_against(&format!("{builder:?}"), "a builder");
        let error = builder.build().unwrap_err();
        hold_against(&format!("{error} {error:?}"), "an error");
    }
    // A line with a key in it is found, in words and in a dump.
    assert!(listener::heard().2.is_empty(), "{:?}", listener::heard().2);
    let (heard, dumped, _) = listener::heard();
    assert!(heard > 100_000 && dumped > 10_000, "all crates were listened to: {heard}, {dumped}");
    log::info!("a {BEARER}");
    log::trace!(target: "ureq_proto::util", "756e 7362 2d6b 6579 2d35 6563 7265 372d  unsb-key-5ecre7-");
    assert_eq!(listener::heard().2.len(), 3);
}

fn try_all(builder: ClientBuilder) {
    let mut shown = format!("{builder:?}");
    let client = builder.build().unwrap();
    shown.push_str(&format!("{client:?}"));
    let brief = || CallOptions::new().deadline(std::time::Duration::from_millis(150));
    let request = Request::new("python", "print(1)");
    let ends = [
        client.with(brief()).execute(&request).map(|result| format!("{result:?}")),
        client.with(brief()).execute_async(&request).map(|job| format!("{job:?}")),
        client.with(brief()).get_job("j").map(|job| format!("{job:?}")),
        client.with(brief()).cancel_job("j").map(|result| format!("{result:?}")),
        client.with(brief()).health().map(|health| format!("{health:?}")),
    ];
    for end in ends {
        shown.push_str(&end.unwrap_or_else(|error| format!("{error} {error:?}")));
    }
    hold_against(&shown, "what a caller sees");
}

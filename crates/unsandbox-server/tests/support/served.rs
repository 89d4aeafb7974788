// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server over a real store, with the keys `a` and `b`.
#![allow(dead_code)]

use crate::support::{Fake, Reply, TEST_TIMEOUT, read_reply, request};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use unsandbox_protocol::{Backend, CancelToken, Error};
use unsandbox_server::{KeyRing, Keys, Listen, Server, ServerOptions};
use unsandbox_store::{StoreOptions, Stored};

/// A directory of its own, removed at the end.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Place {
        let name = format!("served-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs on a thread of its own.
pub struct Served {
    pub backend: Arc<Stored>,
    pub inner: Arc<Fake>,
    pub keys: Arc<KeyRing>,
    pub host: String,
    stop: CancelToken,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Served {
    /// Its store is `u.db` in the directory.
    pub fn start(place: &Place, store: StoreOptions, options: ServerOptions) -> Served {
        let inner = Arc::new(Fake::default());
        let stored = Stored::open(inner.clone(), &place.0.join("u.db"), store).unwrap();
        let (backend, keys) = (Arc::new(stored), KeyRing::of(Keys::from_words("a,b").unwrap()));
        let options = ServerOptions { keys: keys.clone(), grace: Duration::ZERO, ..options };
        let server = Server::new(backend.clone(), options);
        let bound = server.bind(&Listen::parse("127.0.0.1:0").unwrap()).unwrap();
        let host = bound.address().strip_prefix("http://").unwrap().to_string();
        let stop = CancelToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || bound.run_until(&stopped, &stopped));
        Served { backend, inner, keys, host, stop, thread: Some(thread) }
    }

    pub fn call(&self, method: &str, path: &str, key: &str, body: &str) -> Reply {
        self.call_with(method, path, &format!("Authorization: Bearer {key}\r\n"), body)
    }

    pub fn call_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream.write_all(&request(&self.host, method, path, headers, body.as_bytes())).unwrap();
        read_reply(&mut stream)
    }

    pub fn metrics(&self) -> String {
        self.call("GET", "/metrics", "a", "").body
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
            self.backend.close(Duration::ZERO);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

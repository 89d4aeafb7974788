// SPDX-License-Identifier: MIT OR Apache-2.0
//! An audit file whose lines are waited for.

use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_server::AuditLog;

/// Removed at the end.
pub struct AuditFile {
    pub log: Arc<AuditLog>,
    path: PathBuf,
}

impl AuditFile {
    pub fn new(name: &str) -> AuditFile {
        let file = format!("us-audited-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        let _ = fs::remove_file(&path);
        AuditFile { log: Arc::new(AuditLog::open(&path).unwrap()), path }
    }

    /// Waits for so many lines.
    pub fn lines(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        let text = loop {
            self.log.flush();
            let text = fs::read_to_string(&self.path).unwrap();
            if text.lines().count() >= count {
                break text;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{count} lines never came: {text}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(!text.contains("secret") && !text.contains("the-code"), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

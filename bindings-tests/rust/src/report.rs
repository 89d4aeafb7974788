// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a case gave, as lines. A field that is not there has no line.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unsandbox::protocol::limits::LIMIT_TABLE;
use unsandbox::{
    Error, ExecutionResult, Health, Job, JobEvent, JobEvents, KeyInfo, KeyUsage, LanguageInfo,
    Stream,
};

/// Longer output is told by its length and its first bytes.
const SHOWN_MAX_BYTES: usize = 65_536;

pub struct Report {
    text: String,
}

impl Report {
    pub fn new(name: &str) -> Self {
        let mut report = Report { text: String::new() };
        report.value("case", name);
        report
    }

    pub fn value(&mut self, key: &str, value: impl Display) {
        self.words(key, &[value.to_string().as_bytes()]);
    }

    fn optional(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    fn words(&mut self, key: &str, words: &[&[u8]]) {
        self.text += key;
        for word in words {
            self.text.push(' ');
            for byte in *word {
                if (0x21..0x7f).contains(byte) && *byte != b'%' {
                    self.text.push(char::from(*byte));
                } else {
                    write!(self.text, "%{byte:02X}").expect("a string takes all");
                }
            }
        }
        self.text.push('\n');
    }

    fn stream(&mut self, key: &str, bytes: &[u8]) {
        self.words(key, &[&bytes[..bytes.len().min(SHOWN_MAX_BYTES)]]);
        self.value(&format!("{key}_len"), bytes.len());
    }

    pub fn error(&mut self, error: &Error) {
        self.value("error", error.code().name());
        self.value("message", error);
        self.optional("http_status", Some(error.http_status()).filter(|status| *status != 0));
        self.optional("retry_after_ms", error.retry_after_ms());
        self.value("may_have_run", u8::from(error.may_have_run()));
        self.optional("error_job_id", error.job_id());
    }

    pub fn result(&mut self, result: &ExecutionResult) {
        self.value("success", u8::from(result.success));
        self.value("status", &result.status);
        self.stream("stdout", &result.stdout);
        self.stream("stderr", &result.stderr);
        self.optional("exit_code", result.exit_code);
        self.optional("signal", result.signal);
        self.optional("limit", result.limit.map(|limit| limit.as_str()));
        self.optional("error_text", result.error.as_ref());
        self.optional("language", result.language.as_ref());
        self.optional("detected_language", result.detected_language.as_ref());
        self.optional("job_id", result.job_id.as_ref());
        self.optional("execution_mode", result.execution_mode.as_ref());
        self.optional("runtime", result.runtime.as_ref());
        self.optional("network_mode", result.network_mode.as_ref());
        self.optional("total_time_ms", result.total_time_ms);
        self.optional("cpu_time_ms", result.usage.map(|usage| usage.cpu_time_ms));
        self.optional("peak_memory_bytes", result.usage.map(|usage| usage.peak_memory_bytes));
        self.optional("wall_time_ms", result.usage.map(|usage| usage.wall_time_ms));
        self.optional("compile_cpu_time_ms", result.compile.map(|it| it.cpu_time_ms));
        self.optional("compile_peak_memory_bytes", result.compile.map(|it| it.peak_memory_bytes));
        self.optional("compile_wall_time_ms", result.compile.map(|it| it.wall_time_ms));
        self.value("truncated", u8::from(result.truncated));
        self.optional("isolation", result.isolation.as_ref().map(|isolation| &isolation.level));
        for artifact in &result.artifacts {
            let len = artifact.content.len();
            let head = &artifact.content[..len.min(4)];
            let words = [artifact.filename.as_bytes(), artifact.kind.as_bytes()];
            self.words("artifact", &[words[0], words[1], len.to_string().as_bytes(), head]);
        }
        for name in &result.left_files {
            self.value("left_file", name);
        }
    }

    pub fn job(&mut self, job: &Job) {
        self.value("job.job_id", &job.job_id);
        self.value("job.status", &job.status);
        self.optional("job.language", job.language.as_ref());
        self.optional("job.detected_language", job.detected_language.as_ref());
        self.optional("job.network_mode", job.network_mode.as_ref());
        self.optional("job.created_at", job.created_at);
        self.optional("job.started_at", job.started_at);
        self.optional("job.completed_at", job.completed_at);
    }

    pub fn languages(&mut self, languages: &[LanguageInfo]) {
        self.value("count", languages.len());
        for language in languages {
            let available = match language.available {
                Some(true) => "1",
                Some(false) => "0",
                None => "-",
            };
            self.words("offers", &[language.name.as_bytes(), available.as_bytes()]);
        }
    }

    /// What happened to the job itself, and the output in one piece.
    pub fn events(&mut self, events: JobEvents) -> Result<(), Error> {
        let (mut kinds, mut streams) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut last = None;
        for event in events {
            match event? {
                JobEvent::Output { stream, bytes, .. } => {
                    streams[usize::from(stream == Stream::Stderr)].extend(bytes);
                }
                JobEvent::Queued(_) => kinds.push("queued"),
                JobEvent::Started(_) => kinds.push("started"),
                JobEvent::Finished(job) => {
                    kinds.push("finished");
                    last = Some(job);
                }
                other => panic!("no case has such an event: {other:?}"),
            }
        }
        self.value("event_kinds", kinds.join(" "));
        self.stream("stdout", &streams[0]);
        self.stream("stderr", &streams[1]);
        let job = last.expect("the last event has the job");
        self.job(&job);
        self.optional("exit_code", job.result.as_ref().and_then(|result| result.exit_code));
        Ok(())
    }

    pub fn key(&mut self, key: &KeyInfo) {
        self.value("valid", u8::from(key.valid));
        self.optional("tier", key.tier.as_ref());
        self.optional("reason", key.reason.as_ref());
    }

    pub fn usage(&mut self, usage: &KeyUsage) {
        let limits = &usage.limits;
        let optional = [
            ("requests_remaining", usage.requests_remaining),
            ("requests_per_minute", limits.requests_per_minute),
            ("burst", limits.burst),
        ];
        let numbers = [
            ("running", usage.running),
            ("waiting", usage.waiting),
            ("kept_jobs", usage.kept_jobs),
            ("kept_bytes", usage.kept_bytes),
            ("cpu_time_ms", usage.cpu_time_ms),
            ("wall_time_ms", usage.wall_time_ms),
            ("concurrency", limits.concurrency),
            ("reserved", limits.reserved),
            ("queue", limits.queue),
            ("weight", limits.weight),
        ];
        for (name, value) in optional.into_iter().chain(numbers.map(|(name, it)| (name, Some(it))))
        {
            self.optional(&format!("usage_{name}"), value);
        }
        self.optional("usage_key", usage.key.as_ref());
        self.value("usage_since", usage.since);
        let runs = usage.runs.iter().map(|(status, count)| format!("{status}={count}"));
        self.value("usage_runs", runs.collect::<Vec<_>>().join(" "));
        self.value("usage_max_ttl", limits.max_ttl);
        let most = |name| Some(format!("{name}={}", limits.max_limits.get(name)?));
        let max_limits = LIMIT_TABLE.iter().filter_map(|row| most(row.name));
        self.value("usage_max_limits", max_limits.collect::<Vec<_>>().join(" "));
        self.value("usage_network_mode", &limits.network_mode);
        self.optional("usage_languages", limits.languages.as_ref().map(|names| names.join(" ")));
    }

    pub fn health(&mut self, health: &Health) {
        self.value("healthy", u8::from(health.healthy));
        self.value("health", &health.status);
    }

    pub fn end(mut self, elapsed: Duration) {
        self.value("elapsed_ms", elapsed.as_millis());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        self.value("ended_at_ms", now.as_millis());
        self.text += "end\n";
        let mut out = std::io::stdout().lock();
        out.write_all(self.text.as_bytes()).and_then(|()| out.flush()).expect("a reader");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log of `serve` on standard error: one line an event, as text or as JSON.

use crate::serve_args::LogForm;
use crate::terminal;
use log::kv::{self, Key, Value, VisitSource, VisitValue};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::Map;

static TEXT: StderrLog = StderrLog(LogForm::Text);
static JSON: StderrLog = StderrLog(LogForm::Json);

struct StderrLog(LogForm);

impl Log for StderrLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let time = format!("{:.3}", jiff::Timestamp::now());
        match self.0 {
            LogForm::Text => {
                terminal::log(&format!("{time} {} {}", record.level(), record.args()));
            }
            LogForm::Json => terminal::log_json(&object(&time, record)),
        }
    }

    fn flush(&self) {}
}

/// Starts the log, unless the host process has one already.
pub(crate) fn start(form: LogForm, verbose: bool) {
    let logger = match form {
        LogForm::Text => &TEXT,
        LogForm::Json => &JSON,
    };
    if log::set_logger(logger).is_ok() {
        log::set_max_level(if verbose { LevelFilter::Debug } else { LevelFilter::Info });
    }
}

/// A record as JSON in one line. Where it has fields, they say what its text says.
fn object(time: &str, record: &Record<'_>) -> String {
    let mut fields = Fields(Map::new());
    // It collects, and does not fail.
    let _ = record.key_values().visit(&mut fields);
    let mut object = Map::new();
    object.insert("time".to_string(), time.into());
    object.insert("level".to_string(), record.level().as_str().into());
    object.insert("target".to_string(), record.target().into());
    if fields.0.is_empty() {
        object.insert("message".to_string(), record.args().to_string().into());
    }
    object.extend(fields.0);
    serde_json::Value::Object(object).to_string()
}

struct Fields(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let mut json = Json(serde_json::Value::Null);
        value.visit(&mut json)?;
        self.0.insert(key.to_string(), json.0);
        Ok(())
    }
}

struct Json(serde_json::Value);

impl<'v> VisitValue<'v> for Json {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_take_the_place_of_the_text_and_keep_their_types() {
        let fields: [(&str, Value<'_>); 4] = [
            ("status", Value::from(200_u16)),
            ("path", Value::from("/a\"b")),
            ("job_id", Value::null()),
            ("live", Value::from(true)),
        ];
        let mut record = Record::builder();
        record.target("t").level(log::Level::Info).key_values(&fields);
        assert_eq!(
            object("now", &record.args(format_args!("text")).build()),
            r#"{"time":"now","level":"INFO","target":"t","status":200,"path":"/a\"b","job_id":null,"live":true}"#
        );
        let mut plain = Record::builder();
        plain.target("t").level(log::Level::Warn);
        assert_eq!(
            object("now", &plain.args(format_args!("a\nb")).build()),
            r#"{"time":"now","level":"WARN","target":"t","message":"a\nb"}"#
        );
    }
}

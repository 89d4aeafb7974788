// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of bad input, each with the words that have to be in its error.

use super::*;
use crate::request::Request;
use crate::validate::ValidRequest;
use serde_json::json;

fn refused(request: Request) -> String {
    let error = request.validate().expect_err("refused");
    assert_eq!(error.code(), crate::ErrorCode::Argument);
    error.message().to_string()
}

fn python() -> Request {
    Request::new("python", "print(1)")
}

fn names(names: &[Option<&str>]) -> Request {
    let mut request = python();
    request.input_files = names
        .iter()
        .map(|name| InputFile { filename: name.map(str::to_string), content: Vec::new() })
        .collect();
    request
}

#[test]
fn a_plain_request_is_valid() {
    let request = python().network_mode("semitrusted").ttl(900);
    let valid = request.validate().unwrap();
    assert_eq!(valid.language().unwrap().name, "python");
    assert!(!valid.is_detected());
    assert_eq!(valid.network_mode(), NetworkMode::Semitrusted);
    assert!(Request::new("bash", "").validate().is_ok(), "an empty program is a program");
}

#[test]
fn a_wrong_ttl_gets_the_same_words_from_every_side() {
    let words = "ttl must be an integer number of seconds from 1 to 900, got ";
    for seconds in [0, -1, 901] {
        let message = format!("{words}{seconds}");
        assert_eq!(refused(python().ttl(seconds)), message);
        assert_eq!(ttl_from_text(&seconds.to_string()).unwrap_err().message(), message);
        assert_eq!(ttl_from_json(&json!(seconds)).unwrap_err().message(), message);
    }
    assert_eq!(ttl_from_text("1.5").unwrap_err().message(), format!("{words}1.5"));
    assert_eq!(ttl_from_json(&json!(1.5)).unwrap_err().message(), format!("{words}1.5"));
    assert_eq!(ttl_from_json(&json!("60")).unwrap_err().message(), format!("{words}\"60\""));
    assert_eq!(ttl_from_json(&json!(true)).unwrap_err().message(), format!("{words}true"));
    assert_eq!(ttl_from_json(&json!([1])).unwrap_err().message(), format!("{words}an array"));
    assert_eq!(ttl_from_text("soon").unwrap_err().message(), format!("{words}\"soon\""));
    assert_eq!(ttl_from_text("").unwrap_err().message(), format!("{words}\"\""));
    assert!(ttl_from_text("99999999999999999999").is_err());
    assert!(ttl_from_text("+5").is_err());
    assert_eq!(ttl_from_text("60").unwrap(), 60);
    assert_eq!(ttl_from_json(&json!(60)).unwrap(), 60);
}

#[test]
fn words_are_checked() {
    let message = refused(python().network_mode("open"));
    assert_eq!(message, "network_mode must be \"zerotrust\" or \"semitrusted\", got \"open\"");
    let message = refused(Request::new("pyhton", ""));
    assert!(message.contains("\"pyhton\"") && message.contains("python"), "{message}");
    let message = refused(python().network_mode("x\u{1b}[31m".repeat(100)));
    assert!(message.len() < 500 && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn names_of_files() {
    for (name, word) in [
        ("", "empty"),
        (".", "directory"),
        ("..", "\"..\""),
        ("a/b", "\"/\""),
        ("/x", "\"/\""),
        ("a\0b", "NUL"),
        ("a..b", "\"..\""),
    ] {
        let message = refused(names(&[Some("ok"), Some(name)]));
        assert!(message.starts_with("input_files[1] "), "{message}");
        assert!(message.contains(word), "{name:?}: {message}");
    }
    assert!(refused(names(&[Some(&"n".repeat(257))])).contains("257 characters, the limit is 256"));
    assert!(refused(names(&[Some(&"n".repeat(256))])).contains("256 bytes, the limit is 255"));
    assert!(refused(names(&[Some(&"é".repeat(128))])).contains("256 bytes, the limit is 255"));
    assert!(names(&[Some(&"n".repeat(255))]).validate().is_ok());
    assert!(refused(names(&[Some("a"), Some("a")])).contains("unique"));
    assert!(refused(names(&[Some("1"), None])).contains("unique"));
    let request = names(&[None, Some("data"), None]);
    assert_eq!(file_names(&request.input_files).unwrap(), ["0", "data", "2"]);
}

#[test]
fn sizes_of_files() {
    let sized = |sizes: &[usize]| {
        let mut request = python();
        request.input_files = sizes
            .iter()
            .map(|size| InputFile { filename: None, content: vec![0; *size] })
            .collect();
        request
    };
    let mb = 1024 * 1024;
    assert!(refused(sized(&[0; 11])).contains("11 files, the limit is 10"));
    assert!(refused(sized(&[5 * mb + 1])).contains("5242881 bytes, the limit is 5242880"));
    assert!(refused(sized(&[5 * mb, 5 * mb, 1])).contains("10485761 bytes together"));
    assert!(sized(&[5 * mb, 5 * mb]).validate().is_ok());
    assert!(sized(&[1; 10]).validate().is_ok());
}

#[test]
fn environment_and_arguments() {
    for (name, value, word) in [
        ("", "v", "empty"),
        ("A=B", "v", "\"=\""),
        ("A\0", "v", "NUL"),
        ("A", "v\0", "the value of env \"A\""),
    ] {
        let message = refused(python().env(name, value));
        assert!(message.contains(word), "{message}");
    }
    let big = "v".repeat(limits::ENV_VALUE_MAX_BYTES);
    assert!(refused(python().env("A", &big)).contains("bytes, the limit is"));
    let mut many = python();
    many.env = (0..20).map(|i| (format!("V{i}"), big[8..].to_string())).collect();
    assert!(refused(many.clone()).contains("bytes together"));
    many.env = (0..=limits::ENV_MAX_COUNT).map(|i| (format!("V{i}"), String::new())).collect();
    assert!(refused(many).contains("4097 variables, the limit is 4096"));
    assert!(refused(python().arg("ok").arg("a\0")).contains("args[1]"));
    assert!(refused(python().arg("a".repeat(limits::ARG_MAX_BYTES + 1))).contains("args[0] has"));
    let mut many = python();
    many.args = vec![String::new(); limits::ARGS_MAX_COUNT + 1];
    assert!(refused(many.clone()).contains("4097 arguments"));
    many.args = vec!["a".repeat(limits::ARG_MAX_BYTES); 10];
    assert!(refused(many).contains("bytes together"));
    assert!(python().arg("").env("A", "").validate().is_ok());
}

#[test]
fn limits_and_code() {
    for row in LIMIT_TABLE {
        for (value, good) in [
            (row.min, true),
            (row.max, true),
            (row.max + 1, false),
            (row.min.wrapping_sub(1), false),
        ] {
            let mut asked = Limits::default();
            assert!(asked.set(row.name, value));
            let request = python().limits(asked);
            let valid = request.validate();
            assert_eq!(valid.is_ok(), good, "{} = {value}", row.name);
            if let Err(error) = valid {
                assert!(error.message().contains(row.name), "{error}");
            }
        }
    }
    assert!(refused(Request::new("bash", "echo \0")).contains("NUL"));
    assert!(refused(Request::detect("#!/bin/bash\necho \0")).contains("NUL"));
    assert!(refused(python().runtime("")).contains("runtime"));
    assert!(refused(python().runtime("/a\0")).contains("runtime"));
    assert!(refused(python().runtime("/".repeat(RUNTIME_MAX_BYTES + 1))).contains("4097 bytes"));
}

/// A plan takes 0 for "no limit". A file, though, may be kept to no bytes.
#[test]
fn no_limit_can_be_asked_away() {
    for row in LIMIT_TABLE.iter().filter(|row| row.name != "file_size_bytes") {
        let mut limits = Limits::default();
        assert!(limits.set(row.name, 0));
        assert!(refused(python().limits(limits)).contains(row.name));
    }
}

#[test]
fn a_backend_that_detects_gets_the_request_without_a_language() {
    use std::borrow::Cow;
    let request = Request::detect("#!/bin/bash\necho");
    let open = ValidRequest::undetected(Cow::Borrowed(&request)).unwrap();
    assert!(open.language().is_none() && !open.is_detected());
    let valid = open.detect().unwrap();
    assert!(valid.is_detected() && valid.language().unwrap().name == "bash");
    assert_eq!(valid.into_request().language.as_deref(), Some("bash"));
    let alias = Request::new("py", "");
    assert_eq!(alias.validate().unwrap().into_request().language.as_deref(), Some("python"));
    assert!(ValidRequest::undetected(Cow::Owned(Request::detect("").ttl(0))).is_err());
}

#[test]
fn code_in_a_fence_is_taken_out_of_it_unless_a_language_is_named() {
    use std::borrow::Cow;
    for (text, code, language) in [
        ("```py\nx\n```", "x\n", Some("python")),
        ("So:\n\n```c++\nint main() {}\n```\n", "int main() {}\n", Some("cpp")),
        ("```\necho hi\n```", "echo hi\n", None),
        ("```idris\nx\n```", "x\n", None),
    ] {
        let open = ValidRequest::undetected(Cow::Owned(Request::detect(text))).unwrap();
        assert_eq!((&*open.code, open.language().map(|it| it.name)), (code, language), "{text}");
        assert_eq!(open.is_detected(), language.is_some(), "{text}");
    }
    let named = Request::new("bash", "```\nx\n```");
    assert_eq!(named.validate().unwrap().code, "```\nx\n```");
}

#[test]
fn a_valid_request_stays_valid_when_it_is_changed() {
    let request = python();
    let mut valid = request.validate().unwrap();
    assert!(valid.set_ttl(901).is_err() && valid.ttl.is_none());
    let below = Limits { memory_bytes: Some(1), ..Limits::default() };
    assert!(valid.set_limits(below).is_err() && valid.limits.is_default());
    valid.set_ttl(7).unwrap();
    assert_eq!(valid.ttl, Some(7));
}

#[test]
fn paths_of_files_stay_below_the_working_directory() {
    for good in ["a", "pkg/util.py", ".hidden/x", "a..b/c", "with space/é", "artifacts/x"] {
        let request = python().file(good, "x");
        assert_eq!(file_paths(&request).unwrap(), [good]);
        assert!(request.validate().is_ok(), "{good}");
    }
    let long = "x".repeat(256);
    let deep = "a/".repeat(512) + "b";
    for (bad, why) in [
        ("", "empty"),
        ("/a", "\"\""),
        ("a/", "\"\""),
        ("a//b", "\"\""),
        ("./a", "\".\""),
        ("a/../b", "\"..\""),
        ("a\0b", "NUL"),
        (&*long, "256 bytes"),
        (&*deep, "1025 bytes"),
    ] {
        let error = refused(python().file("ok", "").file(bad, ""));
        assert!(error.starts_with("files[1]") && error.contains(why), "{error}");
    }
    let twice = python().input_file("a", "").file("b/c", "").file("a", "");
    assert!(refused(twice).starts_with("files[1] has the path \"a\""));
    let folder = python().input_file("a", "").file("a/b", "");
    assert!(refused(folder).contains("\"a\" is the path of a file and of a folder"));
}

#[test]
fn many_files_are_counted_and_weighed() {
    let many = |count: usize| {
        (0..count).fold(python(), |request, number| request.file(format!("d/{number}"), ""))
    };
    assert!(many(limits::FILES_MAX).validate().is_ok());
    assert!(refused(many(limits::FILES_MAX + 1)).contains("1001 files"));
    let heavy = |len: usize| python().file("a", vec![0; len / 2]).file("b", vec![0; len - len / 2]);
    assert!(heavy(limits::FILES_TOTAL_MAX_BYTES).validate().is_ok());
    assert!(refused(heavy(limits::FILES_TOTAL_MAX_BYTES + 1)).contains("67108865 bytes"));
}

#[test]
fn flags_are_those_of_the_language() {
    let c = |flag: &str| Request::new("c", "").flag(flag);
    assert!(c("-O2").validate().is_ok() && c("-std=c11").validate().is_ok());
    assert!(refused(c("-o/tmp/x")).contains("flags[0] \"-o/tmp/x\" is not a flag that c takes"));
    assert!(refused(c("@file")).contains("-std=*"));
    assert!(refused(python().flag("-O")).contains("it takes none"));
    assert!(refused(Request::detect("#!/bin/bash\n").flag("-x")).contains("bash"));
    assert!(refused(c(&("-D".to_string() + &"x".repeat(200_000)))).contains("200002 bytes"));
    let named = Request::new("C++17", "").flag("-O2");
    let valid = named.validate().unwrap();
    assert_eq!(valid.flags, ["-std=gnu++17", "-O2"]);
    assert_eq!(valid.into_request().language.as_deref(), Some("cpp"));
}

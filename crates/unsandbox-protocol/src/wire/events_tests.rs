// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams of events, cut anywhere.

use super::*;
use crate::result::Status;

/// The events of a stream that comes in pieces of `size` bytes.
fn parsed(stream: &[u8], size: usize) -> Vec<Frame> {
    let (mut parser, mut frames) = (EventParser::new(1 << 20), Vec::new());
    for piece in stream.chunks(size) {
        let keep = &mut |frame| {
            frames.push(frame);
            Ok(())
        };
        parser.read(piece, keep).unwrap();
    }
    frames
}

fn frame(name: &str, data: &str, id: &str) -> Frame {
    Frame { name: name.to_string(), data: data.to_string(), id: id.to_string() }
}

#[test]
fn a_stream_is_read_the_same_wherever_it_is_cut() {
    let long = "x".repeat(10_000);
    let lines = [
        "\u{feff}event: stdout",
        "id: 1-0",
        "data: {\"text\":\"é𐍈\"}",
        "",
        ": a comment",
        "retry: 10",
        "unknown: field",
        "data",
        "data:  two",
        "data:three",
        "",
        "event: without data",
        "",
        "id",
        "data: ",
        "",
        "event:finished",
        &format!("data: {long}"),
        "",
        "data: cut off",
    ];
    let expected = [
        frame("stdout", "{\"text\":\"é𐍈\"}", "1-0"),
        frame("", "\n two\nthree", "1-0"),
        frame("", "", ""),
        frame("finished", &long, ""),
    ];
    for end in ["\n", "\r\n", "\r"] {
        let stream = lines.join(end);
        for size in [1, 2, 3, 5, 7, 4096, stream.len()] {
            assert_eq!(parsed(stream.as_bytes(), size), expected, "{end:?} in pieces of {size}");
        }
        let short = &stream.as_bytes()[..200];
        for cut in 0..short.len() {
            let (mut parser, mut frames) = (EventParser::new(1 << 20), Vec::new());
            for piece in [&short[..cut], &short[cut..]] {
                let keep = &mut |frame| {
                    frames.push(frame);
                    Ok(())
                };
                parser.read(piece, keep).unwrap();
            }
            assert_eq!(frames, expected[..3], "{end:?} cut at {cut}");
        }
    }
}

#[test]
fn an_event_over_the_limit_is_an_error_however_it_comes() {
    for stream in ["data: 12345678901\n\n", "data: 1234\ndata: 567\n\n", "12345678901234567890"] {
        for size in [1, 100] {
            let mut parser = EventParser::new(10);
            let mut pieces = stream.as_bytes().chunks(size);
            let end = pieces.find_map(|piece| parser.read(piece, &mut |_| Ok(())).err());
            assert_eq!(end.map(|error| error.code()), Some(ErrorCode::TooLarge), "{stream} {size}");
        }
    }
}

/// Any bytes at all are a stream of events.
#[test]
fn no_bytes_make_the_parser_fail() {
    let mut seed = 7u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    for _ in 0..2_000 {
        let words = [
            &b"data: "[..],
            b"event:",
            b"id: ",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b":",
            b"\xff",
            b"\xef\xbb\xbf",
        ];
        let mut stream = Vec::new();
        for _ in 0..random() % 20 {
            match random() % 12 {
                at @ 0..10 => stream.extend_from_slice(words[usize::from(at)]),
                _ => stream.push(random()),
            }
        }
        let whole = parsed(&stream, stream.len().max(1));
        let size = 1 + usize::from(random() % 5);
        assert_eq!(parsed(&stream, size), whole, "{stream:?} in pieces of {size}");
        for frame in whole {
            let _ = decode_stream_event(frame);
        }
    }
}

/// The pieces that a client has after the stream, on each of both streams.
fn decoded(stream: &str) -> ([Vec<u8>; 2], usize) {
    let (mut streams, mut binary) = ([Vec::new(), Vec::new()], 0);
    for frame in parsed(stream.as_bytes(), 7) {
        let id: Offsets = frame.id.parse().unwrap();
        binary += usize::from(frame.data.contains("\"base64\""));
        let StreamEvent::Job(JobEvent::Output { stream, offset, bytes }) =
            decode_stream_event(frame).unwrap()
        else {
            panic!("output");
        };
        let had = &mut streams[stream as usize];
        assert_eq!(offset, had.len() as u64);
        had.extend(bytes);
        assert_eq!(id.of(stream), had.len() as u64);
    }
    (streams, binary)
}

#[test]
fn text_is_never_cut_within_a_character_and_other_bytes_come_as_base64() {
    let text = "aé€𐍈\u{0}\n\"z";
    for size in 1..text.len() {
        let mut encoder = OutputEncoder::default();
        let mut stream = String::new();
        for piece in text.as_bytes().chunks(size) {
            stream.extend(encoder.output(Stream::Stdout, piece));
            stream.extend(encoder.output(Stream::Stderr, piece));
        }
        assert_eq!(encoder.rest(), "");
        let (streams, binary) = decoded(&stream);
        assert_eq!((streams, binary), ([text.into(), text.into()], 0), "in pieces of {size}");
    }
}

#[test]
fn bytes_that_are_not_text_come_back_as_they_were() {
    for bytes in [
        &b"\xff\xfe"[..],
        b"ab\xc3",
        b"\xe2\x82",
        b"\x80\x80\x80\x80",
        b"a\xf0\x9f\x98",
        b"\xc3\xc3\xa9",
    ] {
        for size in 1..=bytes.len() {
            let mut encoder = OutputEncoder::default();
            let mut stream = String::new();
            for piece in bytes.chunks(size) {
                stream.extend(encoder.output(Stream::Stdout, piece));
            }
            stream += &encoder.rest();
            assert_eq!(encoder.at().stdout, bytes.len() as u64);
            let (streams, binary) = decoded(&stream);
            assert_eq!(streams[0], bytes, "{bytes:?} in pieces of {size}");
            assert!(binary > 0);
        }
    }
}

#[test]
fn a_reader_that_resumes_gets_the_whole_character_again() {
    let mut encoder = OutputEncoder::default();
    assert!(encoder.output(Stream::Stdout, b"a\xc3").unwrap().contains("\"text\":\"a\""));
    assert_eq!(encoder.at().stdout, 1);
    encoder.rewind();
    assert!(encoder.output(Stream::Stdout, "é".as_bytes()).unwrap().contains("\"text\":\"é\""));
    assert!(encoder.output(Stream::Stderr, b"\xc3").is_none());
    let gap = encoder.gap(Stream::Stderr, 9);
    assert!(
        gap.starts_with("event: stderr\nid: 3-1\ndata: {\"offset\":0,\"base64\":\"ww==\"}\n\n")
    );
    assert!(gap.ends_with(
        "event: gap\nid: 3-10\ndata: {\"stream\":\"stderr\",\"offset\":1,\"bytes\":9}\n\n"
    ));
    let last = parsed(gap.as_bytes(), 3).pop().unwrap();
    let StreamEvent::Job(event) = decode_stream_event(last).unwrap() else { panic!("a gap") };
    assert_eq!(event, JobEvent::Gap { stream: Stream::Stderr, offset: 1, len: 9 });
}

#[test]
fn an_error_keeps_its_status_its_job_and_its_pause() {
    let error = Error::new(ErrorCode::Server, "no room").with_wire("busy").with_http_status(503);
    let error = error.with_job_id("a").with_retry_after_ms(2_500);
    let stream = encode_error_event(Offsets::default(), &error);
    let frame = parsed(stream.as_bytes(), 9).pop().unwrap();
    let StreamEvent::Error(read) = decode_stream_event(frame).unwrap() else { panic!("an error") };
    assert_eq!((read.code(), read.http_status()), (ErrorCode::Server, 503));
    assert_eq!((read.wire(), read.job_id()), ("busy", Some("a")));
    assert_eq!(read.retry_after_ms(), Some(2_500));
}

#[test]
fn the_state_of_a_job_comes_as_its_json() {
    let mut job = Job::new("a", Status::Pending);
    job.language = Some("bash".to_string());
    let stream = encode_job_event("queued", Offsets::default(), &job, Shape::Compat);
    let frame = parsed(stream.as_bytes(), 1000).pop().unwrap();
    let StreamEvent::Job(JobEvent::Queued(read)) = decode_stream_event(frame).unwrap() else {
        panic!("queued");
    };
    assert_eq!((read.job_id, read.language), (job.job_id, job.language));
}

#[test]
fn events_that_are_asked_for_are_one_document() {
    let job = Job::new("a", Status::Pending);
    let output = |bytes: &[u8]| JobEvent::Output {
        stream: Stream::Stderr,
        offset: 2,
        bytes: bytes.to_vec(),
    };
    let gap = JobEvent::Gap { stream: Stream::Stdout, offset: 0, len: 7 };
    let events = [JobEvent::Queued(job), gap, output(b"x\n"), output(b"\xff")];
    let text = encode_events(&events, Offsets { stdout: 7, stderr: 4 });
    let expected = serde_json::json!({
        "events": [
            {"event": "queued", "job": {"job_id": "a", "status": "pending"}},
            {"event": "gap", "stream": "stdout", "offset": 0, "bytes": 7},
            {"event": "stderr", "offset": 2, "text": "x\n"},
            {"event": "stderr", "offset": 2, "base64": "/w=="},
        ],
        "from": "7-4",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What it costs that output appears while a program runs: the processor time of a loop that prints a million lines,
//! beside the same program with its standard output a plain pipe.

use crate::in_ms;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use unsandbox::{Client, Error, ErrorCode, Request};

const ROUNDS: u32 = 9;
const OUTPUT_BYTES: u64 = 8 << 20;

/// The goal of this part; printed with what was measured, never asserted.
const GOAL: f64 = 1.3;

/// A program in one language, and how it is compiled and started without the engine, in words; `SOURCE` and `OUT` are
/// paths, and what is not compiled has an empty command.
struct Loop {
    language: &'static str,
    code: &'static str,
    source: &'static str,
    compile: &'static str,
    run: &'static str,
}

const LOOPS: [Loop; 10] = [
    Loop {
        language: "python",
        code: "for i in range(1000000): print(i)\n",
        source: "main.py",
        compile: "",
        run: "PROGRAM SOURCE",
    },
    Loop {
        language: "ruby",
        code: "1000000.times { |i| puts i }\n",
        source: "main.rb",
        compile: "",
        run: "PROGRAM SOURCE",
    },
    Loop {
        language: "perl",
        code: "print \"$_\\n\" for 0 .. 999999;\n",
        source: "main.pl",
        compile: "",
        run: "PROGRAM SOURCE",
    },
    Loop {
        language: "awk",
        code: "BEGIN { for (i = 0; i < 1000000; i++) print i }\n",
        source: "main.awk",
        compile: "",
        run: "PROGRAM -f SOURCE",
    },
    Loop {
        language: "c",
        code: "#include <stdio.h>\nint main(void) { for (int i = 0; i < 1000000; i++) printf(\"%d\\n\", i); }\n",
        source: "main.c",
        compile: "PROGRAM -O1 -o OUT SOURCE",
        run: "OUT",
    },
    Loop {
        language: "cpp",
        code: "#include <iostream>\nint main() { for (int i = 0; i < 1000000; i++) std::cout << i << \"\\n\"; }\n",
        source: "main.cpp",
        compile: "PROGRAM -O1 -o OUT SOURCE",
        run: "OUT",
    },
    Loop {
        language: "d",
        code: "import std.stdio;\nvoid main() { foreach (i; 0 .. 1000000) writeln(i); }\n",
        source: "main.d",
        compile: "PROGRAM -of=OUT SOURCE",
        run: "OUT",
    },
    Loop {
        language: "php",
        code: "<?php for ($i = 0; $i < 1000000; $i++) echo $i, \"\\n\";\n",
        source: "main.php",
        compile: "",
        run: "PROGRAM SOURCE",
    },
    Loop {
        language: "rust",
        code: "fn main() { for i in 0..1000000 { println!(\"{i}\"); } }\n",
        source: "main.rs",
        compile: "PROGRAM -O -o OUT SOURCE",
        run: "OUT",
    },
    Loop {
        language: "fortran",
        code: "do i = 0, 999999\nprint '(I0)', i\nend do\nend\n",
        source: "main.f90",
        compile: "PROGRAM -O1 -o OUT SOURCE",
        run: "OUT",
    },
];

pub fn measure_all() -> Result<(), Error> {
    let client = Client::builder().base_url("local:").build()?;
    println!("a million lines printed, processor time, {ROUNDS} rounds in turn, means");
    println!("{:10} {:>12} {:>12} {:>8}", "", "plain pipe", "unsandbox", "ratio");
    let folder = std::env::temp_dir().join(format!("unsandbox-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder for programs");
    let measured = LOOPS.iter().try_for_each(|it| measure(&client, &folder, it));
    let _ = std::fs::remove_dir_all(&folder);
    client.close();
    measured
}

fn measure(client: &Client, folder: &Path, it: &Loop) -> Result<(), Error> {
    let program = match execute(client, it) {
        Ok((_, program)) => program,
        Err(error) if error.code() == ErrorCode::LanguageUnavailable => {
            println!("{:10} not measured: {}", it.language, error.message());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let source = folder.join(it.source);
    std::fs::write(&source, it.code).expect("the program is written");
    let filled = |words: &str| -> Vec<String> {
        let [source, out] = [&source, &folder.join(it.language)].map(|it| it.display().to_string());
        let fill = |word: &str| match word {
            "PROGRAM" => program.clone(),
            "SOURCE" => source.clone(),
            _ => word.replace("OUT", &out),
        };
        words.split_whitespace().map(fill).collect()
    };
    if !it.compile.is_empty() {
        drain(&filled(it.compile));
    }
    let (mut bare, mut ours) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let before = crate::python::processor_time_of_children();
        drain(&filled(it.run));
        bare += crate::python::processor_time_of_children().saturating_sub(before);
        ours += execute(client, it)?.0;
    }
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    let [bare, ours] = [bare, ours].map(|all| in_ms(all / ROUNDS));
    let met = if ratio <= GOAL { "" } else { "  MISSED: the goal is 1.3" };
    println!("{:10} {bare:>12} {ours:>12} {ratio:>8.2}{met}", it.language);
    Ok(())
}

/// The processor time of its program, and the path of the interpreter or compiler.
fn execute(client: &Client, it: &Loop) -> Result<(Duration, String), Error> {
    let mut request = Request::new(it.language, it.code).ttl(60);
    request.limits.output_bytes = Some(OUTPUT_BYTES);
    let result = client.execute(&request)?;
    assert!(result.success, "{}: {:?}", it.language, result.error);
    let time = result.usage.map_or(0, |usage| usage.cpu_time_ms);
    Ok((Duration::from_millis(time), result.runtime.unwrap_or_default()))
}

/// Runs it with a pipe that is read to the end.
fn drain(words: &[String]) {
    let mut command = Command::new(&words[0]);
    // Another buffering than the usual one is not what is compared.
    command.env_remove("PYTHONUNBUFFERED").args(&words[1..]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut pipe = child.stdout.take().expect("a pipe");
    let mut buffer = vec![0; 1 << 16];
    while pipe.read(&mut buffer).is_ok_and(|count| count > 0) {}
    let status = child.wait().unwrap_or_else(|error: io::Error| panic!("{words:?}: {error}"));
    assert!(status.success(), "{words:?}: {status}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program has printed is there although it is ended, has crashed, or still runs; in the languages that would
//! keep it in a buffer.
#![cfg(target_os = "linux")]

mod common;

use common::*;
use std::time::Duration;
use unsandbox_engine::Engine;
use unsandbox_protocol::{Backend, ErrorCode, Request, Status, Submission};

/// The most that a slow compiler may take before its program prints.
const SOON: Duration = Duration::from_secs(120);

/// A language, and programs in it. `tick` prints that word on a line and sleeps; `crash` prints it and crashes;
/// `million` prints the numbers from 0 to 999,999, each on its line, and sleeps; `order` prints `one`, starts a process
/// that prints `two`, and prints `three`.
struct Row {
    language: &'static str,
    tick: &'static str,
    crash: &'static str,
    million: &'static str,
    order: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        language: "python",
        tick: "import time\nprint('tick')\ntime.sleep(60)",
        crash: "import os\nprint('tick')\nos.abort()",
        million: "import time\nfor i in range(1000000): print(i)\ntime.sleep(60)",
        order: "import os\nprint('one')\nos.system('echo two')\nprint('three')",
    },
    Row {
        language: "c",
        tick: "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main() { puts(\"tick\"); sleep(60); }",
        crash: "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main() { puts(\"tick\"); abort(); }",
        million: "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main() { for (int i = 0; i < 1000000; i++) printf(\"%d\\n\", i); sleep(60); }",
        order: "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main() { puts(\"one\"); system(\"echo two\"); puts(\"three\"); }",
    },
    Row {
        language: "cpp",
        tick: "#include <iostream>\n#include <thread>\nint main() { std::cout << \"tick\\n\"; std::this_thread::sleep_for(std::chrono::seconds(60)); }",
        crash: "#include <iostream>\nint main() { std::cout << \"tick\\n\"; throw 1; }",
        million: "#include <iostream>\n#include <unistd.h>\nint main() { for (int i = 0; i < 1000000; i++) std::cout << i << \"\\n\"; sleep(60); }",
        order: "#include <iostream>\n#include <cstdlib>\nint main() { std::cout << \"one\\n\"; std::system(\"echo two\"); std::cout << \"three\\n\"; }",
    },
    Row {
        language: "d",
        tick: "import std.stdio, core.thread; void main() { writeln(\"tick\"); Thread.sleep(60.seconds); }",
        crash: "import std.stdio, core.stdc.stdlib; void main() { writeln(\"tick\"); abort(); }",
        million: "import std.stdio, core.thread; void main() { foreach (i; 0 .. 1000000) writeln(i); Thread.sleep(60.seconds); }",
        order: "import std.stdio, std.process; void main() { writeln(\"one\"); wait(spawnShell(\"echo two\")); writeln(\"three\"); }",
    },
    Row {
        language: "awk",
        tick: "BEGIN { print \"tick\"; system(\"sleep 60\") }",
        crash: "BEGIN { print \"tick\"; system(\"kill -9 $PPID\") }",
        million: "BEGIN { for (i = 0; i < 1000000; i++) print i; system(\"sleep 60\") }",
        order: "BEGIN { print \"one\"; system(\"echo two\"); print \"three\" }",
    },
    Row {
        language: "ruby",
        tick: "puts 'tick'; sleep 60",
        crash: "puts 'tick'; Process.kill(:KILL, $$); sleep",
        million: "1000000.times { |i| puts i }; sleep 60",
        order: "puts 'one'; system 'echo two'; puts 'three'",
    },
    Row {
        language: "perl",
        tick: "print \"tick\\n\"; sleep 60;",
        crash: "print \"tick\\n\"; kill 9, $$; sleep;",
        million: "print \"$_\\n\" for 0 .. 999999; sleep 60;",
        order: "print \"one\\n\"; system \"echo two\"; print \"three\\n\";",
    },
    Row {
        language: "php",
        tick: "<?php echo \"tick\\n\"; sleep(60);",
        crash: "<?php echo \"tick\\n\"; posix_kill(getmypid(), 9); sleep(60);",
        million: "<?php for ($i = 0; $i < 1000000; $i++) echo $i, \"\\n\"; sleep(60);",
        order: "<?php echo \"one\\n\"; system('echo two'); echo \"three\\n\";",
    },
    Row {
        language: "rust",
        tick: "fn main() { println!(\"tick\"); std::thread::sleep(std::time::Duration::from_secs(60)) }",
        crash: "fn main() { println!(\"tick\"); std::process::abort() }",
        million: "fn main() { for i in 0..1000000 { println!(\"{i}\") } std::thread::sleep(std::time::Duration::from_secs(60)) }",
        order: "fn main() { println!(\"one\"); let _ = std::process::Command::new(\"/bin/echo\").arg(\"two\").status(); println!(\"three\") }",
    },
    Row {
        language: "fortran",
        tick: "print '(A)', 'tick'\ncall sleep(60)\nend",
        crash: "print '(A)', 'tick'\ncall abort()\nend",
        million: "do i = 0, 999999\nprint '(I0)', i\nend do\ncall sleep(60)\nend",
        order: "print '(A)', 'one'\ncall execute_command_line('echo two')\nprint '(A)', 'three'\nend",
    },
];

/// Every row whose language is installed.
fn for_each(check: impl Fn(&Engine, &Row)) {
    let engine = engine();
    for row in ROWS {
        match execute_on(&engine, Request::new(row.language, row.order).ttl(60)) {
            Err(error) if error.code() == ErrorCode::LanguageUnavailable => skip(error.message()),
            _ => check(&engine, row),
        }
    }
}

fn run(engine: &Engine, row: &Row, code: &str, ttl: i64) -> (Status, String) {
    let result = execute_on(engine, Request::new(row.language, code).ttl(ttl)).unwrap();
    assert_eq!(String::from_utf8_lossy(&result.stderr), "", "{}", row.language);
    (result.status, String::from_utf8(result.stdout).unwrap())
}

#[test]
fn what_was_printed_before_a_timeout_is_kept() {
    for_each(|engine, row| {
        let end = run(engine, row, row.tick, 2);
        assert_eq!(end, (Status::Timeout, "tick\n".to_string()), "{}", row.language);
    });
}

/// Programs of further languages, which print a line and compute on.
const TICKS: &[(&str, &str)] = &[
    (
        "ada",
        "with Ada.Text_IO; procedure Main is begin Ada.Text_IO.Put_Line (\"tick\"); loop null; end loop; end Main;",
    ),
    (
        "assembly",
        "extern puts\nsection .data\nt: db \"tick\", 0\nsection .text\nglobal main\nmain: sub rsp, 8\nlea rdi, [rel t]\ncall puts wrt ..plt\nl: jmp l\nsection .note.GNU-stack",
    ),
    ("basic", "PRINT \"tick\"\n10 GOTO 10"),
    ("bc", "print \"tick\\n\"\nwhile (1) { x = x + 1 }"),
    ("brainfuck", "++++++++[>++++++++++++++<-]>++++.>++++++++++.<[]"),
    (
        "cobol",
        "       IDENTIFICATION DIVISION.\n       PROGRAM-ID. A.\n       PROCEDURE DIVISION.\n           DISPLAY \"tick\".\n           PERFORM UNTIL 1 = 2\n             CONTINUE\n           END-PERFORM.\n",
    ),
    ("forth", ": loop begin again ; .\" tick\" cr loop"),
    ("lua", "print('tick') while true do end"),
    ("newlisp", "(println \"tick\") (while true)"),
    ("nim", "stdout.write \"tick\\n\"\nwhile true: discard"),
    (
        "objc",
        "#include <stdio.h>\nint main() { puts(\"tick\"); volatile int x = 1; while (x) { } }",
    ),
    (
        "vala",
        "void main() { stdout.printf (\"tick\\n\"); int x = 0; while (x >= 0) { x = (x + 1) % 7; } }",
    ),
];

#[test]
fn what_was_printed_before_a_timeout_is_kept_in_further_languages() {
    let engine = engine();
    for (language, code) in TICKS {
        match execute_on(&engine, Request::new(*language, *code).ttl(1)) {
            Err(error) if error.code() == ErrorCode::LanguageUnavailable => skip(error.message()),
            result => {
                let result = result.unwrap();
                let text = String::from_utf8_lossy(&result.stdout);
                assert_eq!(
                    (result.status, text.trim()),
                    (Status::Timeout, if *language == "brainfuck" { "t" } else { "tick" }),
                    "{language}"
                );
            }
        }
    }
}

/// A line without an end, and a wait.
#[test]
fn the_beginning_of_a_line_is_there_once_the_program_waits() {
    let c = |body: &str| {
        format!(
            "#include <stdio.h>\n#include <unistd.h>\n#include <time.h>\nint main() {{ {body} }}"
        )
    };
    let rows = [
        ("c", c("printf(\"tick\"); sleep(9);")),
        ("c", c("printf(\"tick\"); fflush(stdout); char x; read(0, &x, 1); pause();")),
        ("c", c("for (int i = 0; i < 4; i++) { printf(\"%c\", \"tick\"[i]); usleep(50000); } pause();")),
        (
            "c",
            c("for (int i = 0; i < 1; i++) if (fork() == 0) { printf(\"tick\"); sleep(9); _exit(0); } pause();"),
        ),
        (
            "c",
            "#include <pthread.h>\n#include <stdio.h>\n#include <unistd.h>\nvoid *f(void *x) { printf(\"tick\"); sleep(9); return x; }\nint main() { pthread_t t; pthread_create(&t, 0, f, 0); pause(); }".into(),
        ),
        ("cpp", "#include <iostream>\n#include <thread>\nint main() { std::cout << \"tick\"; std::this_thread::sleep_for(std::chrono::seconds(9)); }".into()),
        ("d", "import std.stdio, core.thread; void main() { write(\"tick\"); Thread.sleep(9.seconds); }".into()),
        ("forth", ".\" tick\" 9000 ms".into()),
        ("lua", "io.write('tick') os.execute('sleep 9')".into()),
        ("perl", "print 'tick'; sleep 9".into()),
        ("python", "import time\nprint('tick', end='')\ntime.sleep(9)".into()),
        ("python", "import threading\nprint('tick', end='')\nthreading.Event().wait()".into()),
        ("ruby", "print 'tick'; sleep 9".into()),
    ];
    let engine = engine();
    for (language, code) in rows {
        match execute_on(&engine, Request::new(language, code.clone()).ttl(1)) {
            Err(error) if error.code() == ErrorCode::LanguageUnavailable => skip(error.message()),
            result => {
                let result = result.unwrap();
                assert_eq!(
                    (result.status, &*String::from_utf8_lossy(&result.stdout)),
                    (Status::Timeout, "tick"),
                    "{code}"
                );
            }
        }
    }
}

/// Streams of wide characters keep their kind of buffering.
#[test]
fn many_wide_lines_are_printed() {
    let code = "#include <wchar.h>\nint main() { for (int i = 0; i < 20000; i++) wprintf(L\"%d\\n\", i); }";
    let result = execute_on(&engine(), Request::new("c", code).ttl(60)).unwrap();
    let expected: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    assert!(result.success && result.stdout == expected.as_bytes(), "{:?}", result.error);
}

#[test]
fn what_was_printed_before_a_crash_is_kept() {
    for_each(|engine, row| {
        let result = execute_on(engine, Request::new(row.language, row.crash).ttl(60)).unwrap();
        assert!(!result.success, "{}: {result:?}", row.language);
        assert_eq!(result.stdout, b"tick\n", "{}", row.language);
    });
}

#[test]
fn a_line_is_there_while_the_program_runs() {
    for_each(|engine, row| {
        let (sink, events) = recorder();
        let submission = Submission::validated(Request::new(row.language, row.tick).ttl(120));
        let submission = submission.unwrap();
        let token = submission.cancel.clone();
        engine.submit_job(submission, sink).unwrap();
        await_said(&events, "tick\n", SOON);
        token.cancel();
        assert_eq!(await_end(&events).status, Status::Cancelled, "{}", row.language);
    });
}

#[test]
fn a_million_lines_are_all_there_before_the_program_sleeps_on() {
    let all: String = (0..1_000_000).map(|number| format!("{number}\n")).collect();
    for_each(|engine, row| {
        let (sink, events) = recorder();
        let mut request = Request::new(row.language, row.million).ttl(120);
        request.limits.output_bytes = Some(8 << 20);
        let submission = Submission::validated(request).unwrap();
        let token = submission.cancel.clone();
        engine.submit_job(submission, sink).unwrap();
        let mut said = Vec::new();
        while said.len() < all.len() {
            said.extend(await_event_within(&events, SOON, |event| match event {
                Event::Output(_, bytes) => Some(bytes),
                _ => None,
            }));
        }
        token.cancel();
        assert!(said == all.as_bytes(), "{}", row.language);
        assert_eq!(await_end(&events).status, Status::Cancelled, "{}", row.language);
    });
}

/// Ten thousand lines, one without an end, and none after them: however the process goes on, they are there.
#[test]
fn what_was_gathered_is_kept_however_the_program_ends() {
    let printed: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    let expected = printed + "end";
    let python = "import os, sys\nfor i in range(10000): print(i)\nprint('end', end='')\n";
    let perl = "print \"$_\\n\" for 0 .. 9999; print 'end';\n";
    let ruby = "10000.times { |i| puts i }; print 'end'\n";
    let php = "<?php for ($i = 0; $i < 10000; $i++) echo $i, \"\\n\"; echo 'end';\n";
    let ends = [
        ("python", python, "while True: pass"),
        ("python", python, "os.kill(os.getpid(), 9)"),
        ("python", python, "os._exit(1)"),
        ("python", python, "os.abort()"),
        ("python", python, "os.execv('/bin/false', ['false'])"),
        ("perl", perl, "1 while 1"),
        ("perl", perl, "kill 9, $$"),
        ("ruby", ruby, "loop {}"),
        ("ruby", ruby, "Process.kill :KILL, $$; sleep"),
        ("php", php, "while (1);"),
        ("php", php, "posix_kill(getmypid(), 9); sleep(60);"),
    ];
    let engine = engine();
    for (language, prints, end) in ends {
        match execute_on(&engine, Request::new(language, format!("{prints}{end}")).ttl(2)) {
            Err(error) if error.code() == ErrorCode::LanguageUnavailable => skip(error.message()),
            result => {
                let result = result.unwrap();
                assert!(!result.success, "{language} {end}: {result:?}");
                assert!(result.stdout == expected.as_bytes(), "{language} {end}");
            }
        }
    }
}

/// After a moment in which a program prints much, each of its lines is shown again, also if it computes without a pause.
#[test]
fn what_is_printed_slowly_after_much_is_there_too() {
    let c = "#include <stdio.h>\n#include <time.h>\nint main() { for (int i = 0; i < 6000; i++) printf(\"%d\\n\", i); \
             for (int i = 0; ; i++) { clock_t end = clock() + CLOCKS_PER_SEC / 20; while (clock() < end); \
             if (i < 12) printf(\"slow %d\\n\", i); } }";
    let python = "import time\nfor i in range(6000): print(i)\ni = 0\nwhile True:\n    end = time.process_time() + .05\n    \
                  while time.process_time() < end: pass\n    if i < 12: print('slow', i)\n    i += 1\n";
    let burst = (0..6_000).map(|number| format!("{number}\n"));
    let expected: String = burst.chain((0..12).map(|number| format!("slow {number}\n"))).collect();
    for (language, code) in [("c", c), ("python", python)] {
        let result = execute_on(&engine(), Request::new(language, code).ttl(5)).unwrap();
        assert_eq!(result.status, Status::Timeout, "{language}");
        assert!(result.stdout == expected.as_bytes(), "{language}");
    }
}

/// Lines of a process, its child, a shell, a thread, a system call, and the process again, each after many.
#[test]
fn many_lines_are_in_order_across_threads_and_children() {
    let programs = [
        ("python", include_str!("live/burst.py")),
        ("ruby", include_str!("live/burst.rb")),
        ("perl", include_str!("live/burst.pl")),
        ("c", include_str!("live/burst.c")),
    ];
    let lines = |name: &str| (0..6_000).map(|at| format!("{name} {at}\n")).collect::<String>();
    for (language, code) in programs {
        match execute_on(&engine(), Request::new(language, code).ttl(60)) {
            Err(error) if error.code() == ErrorCode::LanguageUnavailable => skip(error.message()),
            result => {
                let result = result.unwrap();
                let said = String::from_utf8_lossy(&result.stderr);
                assert!(result.success && said.is_empty(), "{language}: {said}");
                let text = String::from_utf8(result.stdout).unwrap();
                let expected = ["first", "child", "shell", "thread", "raw", "last"];
                let expected = expected.map(|name| match name {
                    "shell" | "raw" => format!("{name}\n"),
                    _ => lines(name),
                });
                assert!(text == expected.concat(), "{language}: {} bytes", text.len());
            }
        }
    }
}

#[test]
fn output_is_in_the_order_of_the_program_and_its_children() {
    for_each(|engine, row| {
        let end = run(engine, row, row.order, 60);
        assert_eq!(end, (Status::Completed, "one\ntwo\nthree\n".to_string()), "{}", row.language);
    });
}

/// A program may have functions and variables of any name: what the object takes from it must be none of them.
#[test]
fn the_object_takes_one_function_from_the_programs_around_it() {
    let program = "#include <stdlib.h>\nint main() { return system(\"nm -D --undefined-only /tmp/build/live/output.so\"); }";
    let result = execute_on(&engine(), Request::new("c", program).ttl(60)).unwrap();
    assert!(result.success, "{result:?}");
    let text = String::from_utf8(result.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("U "));
    let names: Vec<&str> = names.map(|name| name.split('@').next().unwrap()).collect();
    assert_eq!(names, ["dlsym"]);
}

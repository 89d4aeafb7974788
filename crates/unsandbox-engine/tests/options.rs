// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every option of a request, and what a program sees of it.

mod common;

use common::*;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::{
    ErrorCode, ExecutionResult, InputFile, IsolationPolicy, LimitKind, Limits, Request,
};

#[test]
fn arguments_environment_and_input() {
    let request =
        Request::new("bash", "printf '%s|' \"$@\"; echo \"$GREETING\"; cat; cat data.txt")
            .arg("a b")
            .arg("")
            .arg("*")
            .env("GREETING", "hällo = ja")
            .stdin("from stdin\n")
            .input_file("data.txt", "from file\n");
    let result = execute(request).unwrap();
    assert_eq!(result.stdout_text(), "a b||*|hällo = ja\nfrom stdin\nfrom file\n");
}

#[test]
fn much_input_that_nobody_reads() {
    let request = Request::new("bash", "exec <&-; echo done").stdin(vec![b'x'; 8 << 20]);
    assert_eq!(execute(request).unwrap().stdout, b"done\n");
}

/// Programs that open standard input again by its two names, print how many bytes they read in all, and that it is a
/// pipe. The second opening finds the end.
const READERS: [(&str, &str); 5] = [
    (
        "bash",
        "test -p /dev/stdin && n=$(cat /dev/stdin | wc -c) && m=$(cat /proc/self/fd/0 | wc -c) && echo $((n + m)) pipe",
    ),
    (
        "python",
        "import os, stat\n\
         n = len(open('/dev/stdin', 'rb').read()) + len(open('/proc/self/fd/0', 'rb').read())\n\
         print(n, 'pipe' if stat.S_ISFIFO(os.fstat(0).st_mode) else 'other')",
    ),
    (
        "javascript",
        "const fs = require('fs');\n\
         const n = fs.readFileSync('/dev/stdin').length + fs.readFileSync('/proc/self/fd/0').length;\n\
         console.log(n, fs.fstatSync(0).isFIFO() ? 'pipe' : 'other');",
    ),
    (
        "c",
        "#include <stdio.h>\n#include <sys/stat.h>\nint main(void) { long n = 0; struct stat s; fstat(0, &s);\n\
         for (int i = 0; i < 2; i++) { FILE *f = fopen(i ? \"/proc/self/fd/0\" : \"/dev/stdin\", \"r\");\n\
         if (!f) { perror(\"fopen\"); return 1; } while (fgetc(f) != EOF) n++; }\n\
         printf(\"%ld %s\\n\", n, S_ISFIFO(s.st_mode) ? \"pipe\" : \"other\"); return 0; }",
    ),
    (
        "ruby",
        "n = File.read('/dev/stdin').bytesize + File.read('/proc/self/fd/0').bytesize\n\
         puts \"#{n} #{STDIN.stat.pipe? ? 'pipe' : 'other'}\"",
    ),
];

#[test]
fn standard_input_is_a_pipe_however_much_there_is() {
    // 200,000 bytes are more than a pipe holds.
    let inputs = [None, Some(0), Some(3), Some(200_000)];
    for level in [IsolationPolicy::Auto, IsolationPolicy::Reduced] {
        let options = EngineOptions { isolation: level, ..EngineOptions::default() };
        let engine = Engine::new(options).unwrap();
        for (language, code) in READERS {
            for len in inputs {
                let mut request = Request::new(language, code).ttl(20);
                request.stdin = len.map(|len| vec![b'x'; len]);
                let result = execute_on(&engine, request).unwrap();
                let expected = format!("{} pipe\n", len.unwrap_or(0));
                let given = (result.stdout_text(), result.stderr_text());
                assert_eq!(given, (expected.into(), "".into()), "{language}, {len:?}, {level:?}");
            }
        }
    }
}

#[test]
fn input_files_are_writable_and_also_in_tmp_input() {
    let request =
        Request::new("bash", "cat /tmp/input/0; echo more >> 0; cat 0; ls artifacts; pwd");
    let mut request = request.input_file("unused", "");
    request.input_files[0] = InputFile { filename: None, content: b"first\n".to_vec() };
    let result = execute(request).unwrap();
    assert_eq!(result.stdout_text(), "first\nfirst\nmore\n/tmp/input\n");
}

#[test]
fn an_input_file_with_the_source_file_name_is_kept() {
    let request = Request::new("bash", "cat main.sh").input_file("main.sh", "mine\n");
    assert_eq!(execute(request).unwrap().stdout, b"mine\n");
}

/// Recipes once kept a folder of that name in the work directory.
#[test]
fn every_name_in_the_work_directory_is_the_users() {
    let programs = [
        ("go", "import \"fmt\"; func main() { fmt.Println(\"mine\") }"),
        (
            "java",
            "class A { public static void main(String[] a) { System.out.println(\"mine\"); } }",
        ),
        ("forth", ".\" mine\" cr"),
        ("c", "#include <stdio.h>\nint main(void) { return puts(\"mine\") < 0; }"),
        ("php", "echo \"mine\\n\";"),
    ];
    for (language, code) in programs {
        let files = [".build", "build", "main.o", "errors", "entry"];
        let request = files.iter().fold(Request::new(language, code), |request, name| {
            request.input_file(*name, "a file of the user")
        });
        let Some(result) = if_installed(execute(request)) else { continue };
        assert_eq!(result.stdout_text(), "mine\n", "{language}: {}", result.stderr_text());
    }
}

#[test]
fn the_environment_of_a_request_is_the_programs_alone() {
    let c = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { return puts(getenv(\"PATH\")) < 0; }";
    let go = "import (\"fmt\"; \"os\"); func main() { fmt.Println(os.Getenv(\"PATH\")) }";
    let java = "class A { public static void main(String[] a) { System.out.println(System.getenv(\"PATH\")); } }";
    for (language, code) in [("c", c), ("go", go), ("java", java)] {
        let request = Request::new(language, code)
            .env("PATH", "/nowhere")
            .env("GOFLAGS", "-mod=broken")
            .env("LD_LIBRARY_PATH", "/nowhere");
        let Some(result) = if_installed(execute(request)) else { continue };
        assert_eq!(result.stdout_text(), "/nowhere\n", "{language}: {}", result.stderr_text());
    }
}

/// Each makes much garbage beside little that lives. A runtime that does not know its limit lets it grow.
#[test]
fn runtimes_with_a_heap_of_their_own_know_the_limit() {
    let js = "const live = []; for (let i = 0; i < 300000; i++) live.push({ a: i, b: 'k' + i });\n\
              for (let r = 0; r < 60; r++) { const t = []; for (let i = 0; i < 200000; i++) t.push({ x: i }); }\n\
              console.log(live.length)";
    let go = "import \"fmt\"; var live, t []byte; func main() { live = make([]byte, 90<<20); for i := range live { live[i] = 1 }\n\
              for r := 0; r < 20; r++ { t = make([]byte, 20<<20); for i := range t { t[i] = 1 } }; fmt.Println(len(live)+len(t)) }";
    let java = "class A { public static void main(String[] a) { long n = 0; for (int i = 0; i < 200; i++) { \
                byte[] b = new byte[10 << 20]; n += b.length; } System.out.println(n); } }";
    let groovy = "def l = []; 6.times { l << new byte[100 << 20] }; println l.size()";
    let haskell = "import qualified Data.Map.Strict as M\nm = M.fromList [(i :: Int, i) | i <- [1 .. 2000000]]\n\
                   main = print (M.size m) >> print (length [1 .. 10000000 :: Int]) >> print (M.size m)";
    let php = "for ($i = 0, $live = []; $i < 60; $i++) $live[] = str_repeat('x', 1 << 20);\n\
               for ($i = 0; $i < 300; $i++) $t = str_repeat('y', 1 << 20); echo count($live), \"\\n\";";
    for (language, megabytes, code, printed) in [
        ("haskell", 256, haskell, "2000000\n10000000\n2000000\n"),
        ("php", 96, php, "60\n"),
        ("javascript", 192, js, "300000\n"),
        ("go", 160, go, "115343360\n"),
        ("java", 128, java, "2097152000\n"),
        ("groovy", 1536, groovy, "6\n"),
    ] {
        let limits = Limits { memory_bytes: Some(megabytes << 20), ..Limits::default() };
        let request = Request::new(language, code).limits(limits).ttl(120);
        let Some(result) = if_installed(execute(request)) else { continue };
        assert_eq!(result.stdout_text(), printed, "{language}: {:?}", result.error);
    }
}

#[test]
fn artifacts_come_back() {
    let code = "mkdir -p artifacts/deep; printf one > artifacts/a; printf two > artifacts/deep/b; \
                ln -s /etc/passwd artifacts/link; mkfifo artifacts/pipe; ln -s / artifacts/root";
    let result = bash(code);
    let given: Vec<(&str, &[u8])> =
        result.artifacts.iter().map(|a| (a.filename.as_str(), &a.content[..])).collect();
    assert_eq!(given, [("a", &b"one"[..]), ("deep/b", b"two")]);
    let error = result.error.expect("what was skipped is named");
    for name in ["link", "pipe", "root"] {
        assert!(error.contains(name), "{name} in {error}");
    }
    assert!(result.success, "a skipped artifact is not a failure of the program");
}

#[test]
fn files_of_the_work_directory_come_back_or_are_named() {
    for isolation in [IsolationPolicy::Full, IsolationPolicy::Reduced] {
        let engine = Engine::new(EngineOptions { isolation, ..EngineOptions::default() }).unwrap();
        let run = |request: Request| execute_on(&engine, request).unwrap();
        let names = |result: &ExecutionResult| -> Vec<String> {
            result.artifacts.iter().map(|it| it.filename.clone()).collect()
        };
        let code = "mkdir -p deep/er .hidden __pycache__; echo made > new; echo again > same; echo x > deep/er/x; \
                    echo h > .hidden/h; echo c > __pycache__/c; echo a > artifacts/a; touch -t 200001010000 touched; \
                    cp -p kept copy; mv moved elsewhere; rm gone; : > emptied";
        let files = ["same", "kept", "moved", "gone", "touched", "emptied", "sub/kept"];
        let request = files
            .into_iter()
            .fold(Request::new("bash", code), |request, name| request.file(name, "again\n"));
        let result = run(request.clone());
        let left = ["copy", "elsewhere", "emptied", "new", "same", "touched", "deep/er/x"];
        assert_eq!(
            (names(&result), &result.left_files[..]),
            (vec!["a".into()], &left.map(String::from)[..])
        );
        assert_eq!(result.error, None);
        let result = run(request.clone().output("*e*").output(".hidden/*").output("deep"));
        assert_eq!(
            names(&result),
            ["a", "elsewhere", "emptied", "new", "same", "touched", ".hidden/h", "deep/er/x"]
        );
        assert_eq!(result.left_files, ["copy"]);
        let result = run(request.output("kept").output("**/no[0-9]"));
        assert_eq!(names(&result), ["a"]);
        let error = result.error.expect("what was not there is said");
        for pattern in ["\"kept\"", "\"**/no[0-9]\""] {
            assert!(
                error.contains(&format!("outputs {pattern}: the program made or changed no")),
                "{error}"
            );
        }
    }
}

#[test]
fn outputs_are_bounded_and_no_link_is_followed() {
    let code = "ln -s /etc/passwd link; ln -s / root; mkfifo pipe; mkdir many; cd many; \
                for n in $(seq 150); do echo $n > $n; done";
    let result = bash(code);
    assert_eq!((result.artifacts.len(), result.left_files.len()), (0, 100));
    let result = execute(Request::new("bash", code).output("*").output("root/etc/passwd")).unwrap();
    assert_eq!((result.artifacts.len(), result.left_files.len()), (0, 100));
    let error = result.error.expect("what was skipped is named");
    for word in ["\"link\" was skipped: it is a link", "\"pipe\"", "\"root\"", "root/etc/passwd"] {
        assert!(error.contains(word), "{word} in {error}");
    }
    let result = execute(Request::new("bash", code).output("many/**")).unwrap();
    assert_eq!((result.artifacts.len(), result.left_files.len()), (100, 0));
    assert!(result.error.unwrap().contains("the run has more than 100 artifacts, the limit"));
    let code = "for n in $(seq 110); do mkdir $n; touch $n/{1..100}; done";
    let limits = Limits { work_files: Some(20_000), ..Limits::default() };
    let result = execute(Request::new("bash", code).limits(limits).output("110/100")).unwrap();
    let error = result.error.unwrap();
    assert!(
        error.contains("the work directory was not searched as a whole: it has more than 10000"),
        "{error}"
    );
}

#[test]
fn what_was_not_searched_is_said_and_what_was_given_is_not_missed() {
    let deep = "1/2/3/4/5/6/7/8";
    let code = format!("mkdir -p {deep}/9; echo x > {deep}/x.txt; echo y > {deep}/9/y.txt");
    let result = bash(&code);
    assert_eq!((&result.left_files[..], result.error), (&[format!("{deep}/x.txt")][..], None));
    let result = execute(Request::new("bash", &code).output("**")).unwrap();
    assert_eq!(result.artifacts.len(), 1);
    assert!(result.error.unwrap().contains("folders more than 8 deep were not searched"));
    let code = "echo b > artifacts/b.txt; mkdir -p out/.git; echo g > out/.git/g; echo o > out/o; ln -s o p";
    let request = Request::new("bash", code).output("artifacts/*.txt").output("out").output("**");
    let result = execute(request).unwrap();
    let names: Vec<&str> = result.artifacts.iter().map(|it| it.filename.as_str()).collect();
    assert_eq!((&names[..], &result.left_files[..]), (&["b.txt", "out/o"][..], &[][..]));
    assert_eq!(result.error.as_deref(), Some("artifact \"p\" was skipped: it is a link"));
    let moved = "echo a > a.txt; cd /tmp; mv input x; ln -s x input";
    let error = execute(Request::new("bash", moved).output("*.txt")).unwrap().error.unwrap();
    assert!(error.contains("artifacts/ was not searched as a whole: a link"), "{error}");
    assert!(error.contains("the work directory was not searched as a whole: a link"), "{error}");
}

#[test]
fn names_alone_cost_little_memory_and_patterns_little_time() {
    let code = "p=$(printf 'a%.0s' {1..250}); d=$p/$p/$p/$p/$p/$p/$p/$p; mkdir -p $d; cd $d; touch {1..9000}$p; \
                cd /tmp/input; touch shown";
    // A name has at most 255 bytes: those of 250 letters and up to four digits fit.
    let limits =
        Limits { memory_bytes: Some(48 << 20), work_files: Some(20_000), ..Limits::default() };
    let result = execute(Request::new("bash", code).limits(limits)).unwrap();
    assert_eq!((result.error.as_deref(), result.left_files[0].as_str()), (None, "shown"));
    let slow = (0..15).map(|n| format!("**/*a{}b/x{n}", "a".repeat(120)));
    let request = slow.fold(Request::new("bash", code).limits(limits), Request::output);
    let result = execute(request.output("shown")).unwrap();
    assert_eq!(
        result.artifacts.iter().map(|it| it.filename.as_str()).collect::<Vec<_>>(),
        ["shown"]
    );
    let took = result.total_time_ms.unwrap() - result.usage.unwrap().wall_time_ms;
    assert!(result.error.is_some() && took < 15_000, "{took} ms");
}

#[test]
fn artifacts_come_back_where_descriptors_are_few() {
    const CHILD: &str = "UNSANDBOX_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        let result = bash("cd artifacts; for n in $(seq 100); do echo $n > $n; done");
        assert_eq!((result.artifacts.len(), result.error), (100, None));
        return;
    }
    let name = "artifacts_come_back_where_descriptors_are_few";
    let done = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 60; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_compiled_program_comes_back_and_runs() {
    for (language, code) in [
        ("c", "#include <stdio.h>\nint main(void){puts(\"again\");}"),
        ("cpp", "#include <iostream>\nint main(){std::cout<<\"again\\n\";}"),
    ] {
        let result = match execute(Request::new(language, code).return_artifact(true)) {
            Err(error) if error.code() == ErrorCode::LanguageUnavailable => {
                skip(&format!("{language} is not installed"));
                continue;
            }
            result => result.unwrap(),
        };
        assert_eq!((result.error.as_deref(), result.artifacts.len()), (None, 1), "{language}");
        assert_eq!(result.artifacts[0].kind, "binary");
        let path = std::env::temp_dir()
            .join(format!("unsandbox-artifact-{language}-{}", std::process::id()));
        write_program(&path, &result.artifacts[0].content, 0o755);
        let output = std::process::Command::new(&path).output();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(output.expect("it starts").stdout, b"again\n", "{language}");
    }
}

#[test]
fn what_cannot_be_made_is_said_and_the_result_kept() {
    let result = execute(Request::new("bash", "echo ran").return_wasm_artifact(true)).unwrap();
    assert_eq!((result.success, &result.stdout[..]), (true, &b"ran\n"[..]));
    assert!(result.error.unwrap().contains("return_wasm_artifact has no effect"));
}

#[test]
fn limits_of_the_work_directory_hold() {
    let limits = Limits { work_bytes: Some(4 << 20), work_files: Some(100), ..Limits::default() };
    let code = "head -c 10000000 /dev/zero > big; stat -c %s big; rm big; for i in $(seq 300); do : > f$i; done; ls | wc -l";
    let result = execute(Request::new("bash", code).limits(limits)).unwrap();
    let numbers: Vec<u64> =
        result.stdout_text().lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers[0] <= 4 << 20 && numbers[1] <= 140, "{numbers:?}");
    let error = execute(Request::new("bash", "").limits(limits).input_file("f", vec![1; 5 << 20]));
    assert_eq!(error.unwrap_err().code(), ErrorCode::Argument);
}

#[test]
fn limits_of_processes_and_open_files_hold() {
    let limits = Limits { processes: Some(10), open_files: Some(20), ..Limits::default() };
    let code = "ulimit -n; for i in $(seq 30); do sleep 1 & done 2>&1; wait";
    let result = execute(Request::new("bash", code).limits(limits)).unwrap();
    assert!(result.stdout_text().starts_with("20\n"), "{result:?}");
    assert!(
        format!("{}{}", result.stdout_text(), result.stderr_text()).contains("fork"),
        "{result:?}"
    );
}

/// Launchers that are scripts would try for seconds to start what they may not.
#[test]
fn a_program_that_may_start_no_process_ends_at_once() {
    let limits = Limits { processes: Some(1), ..Limits::default() };
    for (language, code) in [
        ("r", "cat('ran\\n')"),
        ("python", "import subprocess\ntry: subprocess.run('true')\nexcept OSError: print('ran')"),
        ("perl", "print fork() // 'ran'"),
        ("scala", "object M extends App { println(1) }"),
        ("groovy", "println 1"),
    ] {
        let request = Request::new(language, code).limits(limits).ttl(60);
        let Some(result) = if_installed(execute(request)) else { continue };
        let ran =
            result.stdout_text().starts_with("ran") || ["scala", "groovy"].contains(&language);
        let took = result.usage.map(|usage| usage.wall_time_ms);
        assert!(ran && took.is_some_and(|took| took < 10_000), "{language}, {took:?}: {result:?}");
    }
}

const SMALL: [(&str, &str); 5] = [
    ("c", "#include <stdio.h>\nint main(void) { puts(\"ran\"); return 0; }"),
    ("cpp", "#include <cstdio>\nint main() { puts(\"ran\"); }"),
    ("pascal", "begin writeln('ran'); end."),
    ("fortran", "program p\nprint '(a)', 'ran'\nend program"),
    ("d", "import std.stdio; void main() { writeln(\"ran\"); }"),
];

#[test]
fn limits_are_the_programs_and_a_compiler_has_its_own() {
    let limits = Limits {
        memory_bytes: Some(16 << 20),
        cpu_time_ms: Some(500),
        processes: Some(1),
        open_files: Some(16),
        file_size_bytes: Some(0),
        ..Limits::default()
    };
    for level in [IsolationPolicy::Auto, IsolationPolicy::Reduced] {
        let options = EngineOptions { isolation: level, ..EngineOptions::default() };
        let engine = Engine::new(options).unwrap();
        for (language, code) in SMALL {
            let request = Request::new(language, code).limits(limits);
            let result = match execute_on(&engine, request) {
                Err(error) if error.code() == ErrorCode::LanguageUnavailable => continue,
                result => result.unwrap(),
            };
            assert_eq!(result.stdout_text(), "ran\n", "{language}, {level:?}: {result:?}");
            let (usage, compile) = (result.usage.unwrap(), result.compile.unwrap());
            let seen = format!("{language}, {level:?}: {usage:?}, {compile:?}");
            assert!(usage.peak_memory_bytes < 16 << 20, "{seen}");
            assert!(usage.cpu_time_ms < 500 && usage.wall_time_ms > 0, "{seen}");
            assert!(compile.wall_time_ms > 0 && compile.cpu_time_ms > 0, "{seen}");
            assert!(compile.peak_memory_bytes > 0, "{seen}");
        }
        let interpreted = execute_on(&engine, Request::new("bash", ":")).unwrap();
        assert!(interpreted.compile.is_none() && interpreted.usage.is_some(), "{interpreted:?}");
    }
}

#[test]
fn what_a_compiler_used_does_not_count_against_the_program() {
    // More memory and time than the program may have.
    let code = "#include <iostream>\nint main() { return 0; }";
    let limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    for level in [IsolationPolicy::Auto, IsolationPolicy::Reduced] {
        let options = EngineOptions { isolation: level, ..EngineOptions::default() };
        let engine = Engine::new(options).unwrap();
        let result = execute_on(&engine, Request::new("cpp", code).limits(limits)).unwrap();
        assert!(result.success, "{result:?}");
        let (usage, compile) = (result.usage.unwrap(), result.compile.unwrap());
        assert!(compile.peak_memory_bytes > 32 << 20, "{level:?}: {compile:?}");
        assert!(usage.peak_memory_bytes < 16 << 20, "{level:?}: {usage:?}");
        assert!(2 * usage.cpu_time_ms < compile.cpu_time_ms, "{level:?}: {usage:?}, {compile:?}");
        assert!(2 * usage.wall_time_ms < compile.wall_time_ms, "{level:?}: {usage:?}, {compile:?}");
    }
}

/// A function that calls itself until it has used 48 MB of stack, and says so; with an argument it then stays there.
const DEEP: [(&str, &str); 2] = [
    (
        "c",
        "#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\nstatic int stays;\n\
         static int deep(int n) { volatile char block[1 << 20]; memset((void *)block, n, sizeof block);\n\
         if (!n && stays) pause(); return n ? deep(n - 1) + block[7] - n : 0; }\n\
         int main(int argc, char **argv) { (void)argv; stays = argc > 1; printf(\"deep %d\\n\", deep(48)); return 0; }",
    ),
    (
        "pascal",
        "procedure deep(n: longint); var block: array[1..1048576] of byte; begin\n\
         fillchar(block, sizeof(block), n); if n > 0 then deep(n - 1)\n\
         else begin while paramcount > 0 do; writeln('deep ', block[7]) end end;\n\
         begin deep(48) end.",
    ),
];

#[test]
fn arguments_that_a_small_stack_has_no_room_for_are_an_error_with_the_numbers() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let run = |stack| {
        let limits = Limits { stack_bytes: Some(stack), ..Limits::default() };
        let long = "x".repeat(120_000);
        let request = Request::new("bash", "echo $#").limits(limits);
        execute_on(&engine, request.arg(&long).arg(&long).arg(&long))
    };
    let error = run(1 << 20).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument, "{error}");
    let bytes = error.message().split(' ').find_map(|word| word.parse::<u64>().ok());
    assert!(bytes.is_some_and(|bytes| (360_000..400_000).contains(&bytes)), "{error}");
    assert!(error.message().contains("quarter of limits.stack_bytes, which is 1048576"), "{error}");
    assert_eq!(run(16 << 20).unwrap().stdout_text(), "3\n");
}

#[test]
fn the_largest_arguments_and_environment_fit_beside_the_stack_that_the_error_names() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let limits = Limits { stack_bytes: Some(16 << 20), ..Limits::default() };
    let mut request = Request::new("bash", "echo $#").limits(limits);
    for number in 0..4096 {
        request = request.arg("x".repeat(256)).env(format!("V{number:04}"), "y".repeat(250));
    }
    assert_eq!(execute_on(&engine, request).unwrap().stdout_text(), "4096\n");
}

#[test]
fn the_stack_is_as_large_as_asked_for_and_counts_as_memory() {
    let stack = |bytes| Limits { stack_bytes: Some(bytes), ..Limits::default() };
    let little = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    for level in [IsolationPolicy::Auto, IsolationPolicy::Reduced] {
        let options = EngineOptions { isolation: level, ..EngineOptions::default() };
        let engine = Engine::new(options).unwrap();
        for (language, code) in DEEP {
            let request = |limits| Request::new(language, code).limits(limits);
            let run = |limits| execute_on(&engine, request(limits)).unwrap();
            let result = run(Limits::default());
            assert_eq!(result.stdout_text(), "deep 0\n", "{language}, {level:?}: {result:?}");
            assert!(run(stack(8 << 20)).stdout.is_empty(), "{language}, {level:?}");
            let result = execute_on(&engine, request(little).arg("stay")).unwrap();
            assert_eq!(result.limit, Some(LimitKind::Memory), "{language}, {level:?}: {result:?}");
        }
        let raised =
            "import resource as r\nr.setrlimit(r.RLIMIT_STACK, (r.RLIM_INFINITY, r.RLIM_INFINITY))";
        assert!(execute_on(&engine, Request::new("python", raised)).unwrap().success, "{level:?}");
        let raised =
            Request::new("bash", "ulimit -s unlimited && ulimit -s").limits(stack(2 << 20));
        assert_eq!(execute_on(&engine, raised).unwrap().stdout, b"unlimited\n", "{level:?}");
    }
}

#[test]
fn runtimes_count_the_processors_that_a_run_may_use() {
    let count = |request: Request, code: &str| {
        let python = "python3 -c 'import os; print(len(os.sched_getaffinity(0)), os.cpu_count())'";
        let request = Request { code: format!("{code}; {python}"), ..request };
        execute(request).unwrap().stdout_text().into_owned()
    };
    let one = Limits { cpus: Some(1), ..Limits::default() };
    let request = Request::new("bash", "").limits(one);
    assert_eq!(count(request, "nproc"), "1\n1 1\n");
    let here = std::thread::available_parallelism().unwrap();
    let more = Limits { cpus: Some(1024), ..Limits::default() };
    let all = count(Request::new("bash", "").limits(more), "nproc");
    assert_eq!(all, format!("{here}\n{here} {here}\n"));
}

#[test]
fn a_missing_runtime_is_an_error_that_says_what_to_install() {
    let request = Request::new("bash", "").runtime("/nonexistent/bash");
    let error = execute(request).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    assert!(error.message().contains("/nonexistent/bash"));
}

#[test]
fn a_virtual_environment_is_seen_by_the_python_that_lives_in_it() {
    let folder = std::env::temp_dir().join(format!("unsandbox-venv-{}", std::process::id()));
    let made = std::process::Command::new("/usr/bin/python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&folder)
        .status();
    assert!(made.expect("python3 is here").success());
    let packages = std::fs::read_dir(folder.join("lib")).unwrap().flatten().next().unwrap().path();
    std::fs::write(packages.join("site-packages/only_here.py"), "WORD = 'seen'\n").unwrap();
    let python = folder.join("bin/python3");
    let request = Request::new("python", "import only_here; print(only_here.WORD)");
    let result = execute(request.runtime(python.to_str().unwrap())).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(result.stdout_text(), "seen\n", "{}", result.stderr_text());
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}

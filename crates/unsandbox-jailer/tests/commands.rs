// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(target_os = "linux")]
//! A jail that is kept, driven by its commands: the jailer is started as an engine starts it, at both levels.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command as Process, Stdio};
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::{Blob, Wire};
use unsandbox_jailer::commands::{
    Answer, Cause, Command, ENTRIES_MAX, FromInit, PLACE_MAX, PlacedFile, Plan, RunLimits, StepEnd,
    Then, ToInit, Wanted,
};
use unsandbox_jailer::message::{FromJailer, LEVEL_FULL, Needs, ToJailer};

/// A jailer, and one jail of it.
struct Jail {
    jailer: Child,
    socket: OwnedFd,
    control: OwnedFd,
    next: u64,
    /// As the messages name it.
    tree: String,
}

const MB: u64 = 1 << 20;

fn memfd(bytes: &[u8]) -> OwnedFd {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("test", flags).unwrap());
    file.write_all(bytes).unwrap();
    file.into()
}

/// `None` where this machine does not give the level.
fn start(level: &str) -> Option<Jail> {
    start_with(level, 0, ":")
}

/// `first`: what a shell does before the jailer starts.
fn start_with(level: &str, cpu_time_ms: u64, first: &str) -> Option<Jail> {
    let (socket, theirs) = channel::pair().unwrap();
    let temporary = std::env::temp_dir();
    // The shell puts the socket where the jailer expects it.
    let mut jailer = Process::new("/bin/sh")
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\" 3<&0 </dev/null")])
        .arg(env!("CARGO_BIN_EXE_unsandbox-jailer"))
        .args([&std::process::id().to_string(), level, temporary.to_str().unwrap()])
        .stdin(Stdio::from(theirs))
        .spawn()
        .unwrap();
    let (bytes, _) = channel::receive(socket.as_fd()).unwrap().unwrap();
    let Some(FromJailer::Hello { trouble, level: given, base, .. }) =
        FromJailer::from_bytes(&bytes)
    else {
        panic!("no greeting");
    };
    if let Some(trouble) = trouble {
        // To standard output itself, where the test runner finds it.
        let line = format!("\nskipped: commands at level {level}: {}\n", trouble.what);
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        drop(socket);
        let _ = jailer.wait();
        return None;
    }
    let tree = if given == LEVEL_FULL { "/tmp".to_string() } else { format!("{base}/1") };
    let (control, of_init) = channel::pair().unwrap();
    let head = plan(&tree, cpu_time_ms).to_bytes();
    let batch = memfd(&[&(head.len() as u64).to_le_bytes()[..], &head, b"hello"].concat());
    let needs = Needs {
        memory_bytes: 256 * MB,
        processes: 64,
        work_bytes: 64 * MB,
        work_files: 4096,
        ..Needs::default()
    };
    let spawn = ToJailer::Spawn { id: 1, needs, tree: tree.clone() };
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let fds = [of_init.as_fd(), batch.as_fd(), null.as_fd(), null.as_fd(), null.as_fd()];
    channel::send(socket.as_fd(), &spawn, &fds).unwrap();
    drop(of_init);
    let mut jail = Jail { jailer, socket, control, next: 1, tree };
    assert_eq!(jail.answer(0).0, Answer::Done, "the batch");
    Some(jail)
}

/// A batch that places one file and keeps the jail.
fn plan(tree: &str, cpu_time_ms: u64) -> Plan {
    let limits = RunLimits {
        memory_bytes: 256 * MB,
        cpu_time_ms,
        processes: 64,
        open_files: 256,
        file_size_bytes: 64 * MB,
        stack_bytes: 8 * MB,
        work_bytes: 64 * MB,
        work_files: 4096,
    };
    Plan {
        tmp: tree.to_string(),
        files: vec![PlacedFile { name: "input/first".to_string(), len: 5 }],
        limits,
        collect: vec![Wanted { name: "made".to_string(), kind: "file".to_string() }],
        artifacts_max_count: 10,
        artifacts_max_bytes: MB,
        then: Then::Serve,
        ..Plan::default()
    }
}

impl Jail {
    fn send(&mut self, command: Command, fds: &[BorrowedFd<'_>]) -> u64 {
        let id = self.next;
        self.next += 1;
        channel::send(self.control.as_fd(), &ToInit::Command { id, command }, fds).unwrap();
        id
    }

    /// The next answer, which has to be to this command.
    fn answer(&mut self, id: u64) -> (Answer, Vec<OwnedFd>) {
        let (bytes, fds) = channel::receive(self.control.as_fd()).unwrap().expect("an answer");
        match FromInit::from_bytes(&bytes) {
            Some(FromInit::Answer { id: of, answer }) => {
                assert_eq!(of, id, "{answer:?}");
                (answer, fds)
            }
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, command: Command) -> Answer {
        let id = self.send(command, &[]);
        self.answer(id).0
    }

    fn place(&mut self, path: &str, content: &[u8]) -> Answer {
        let file = memfd(content);
        let command = Command::Place { path: path.to_string(), len: content.len() as u64 };
        let id = self.send(command, &[file.as_fd()]);
        self.answer(id).0
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Answer> {
        let id = self.send(Command::Read { path: path.to_string() }, &[]);
        match self.answer(id) {
            (Answer::File { len }, fds) => {
                let mut content = Vec::new();
                let file = File::from(fds.into_iter().next().unwrap());
                file.take(len).read_to_end(&mut content).unwrap();
                Ok(content)
            }
            (other, _) => Err(other),
        }
    }

    fn list(&mut self, path: &str) -> (Vec<String>, bool) {
        self.list_after(path, b"")
    }

    fn list_after(&mut self, path: &str, after: &[u8]) -> (Vec<String>, bool) {
        let after = Blob(after.to_vec());
        match self.ask(Command::List { path: path.to_string(), after }) {
            Answer::Entries { entries, has_more } => {
                let shown = |it: unsandbox_jailer::commands::Entry| {
                    let name = String::from_utf8_lossy(&it.name.0).into_owned();
                    if it.is_folder { name + "/" } else { format!("{name} {}", it.len) }
                };
                (entries.into_iter().map(shown).collect(), has_more)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Starts a shell; gives its output's end and the command's id.
    fn spawn(&mut self, code: &str) -> (std::io::PipeReader, u64) {
        let (output, stdout) = std::io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        let env = vec!["PATH=/usr/bin:/bin".to_string(), "WHO=me".to_string()];
        let argv = ["/bin/sh", "-c", code].map(str::to_string).to_vec();
        let command = Command::Spawn { argv, env, wall_ms: 20_000 };
        let id = self.send(command, &[null.as_fd(), stdout.as_fd(), stdout.as_fd()]);
        (output, id)
    }

    fn run(&mut self, code: &str) -> (String, StepEnd) {
        let (mut output, id) = self.spawn(code);
        assert_eq!(self.answer(id).0, Answer::Started);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        match self.answer(id).0 {
            Answer::Ended { end } => (text, end),
            other => panic!("{other:?}"),
        }
    }

    fn refused(answer: Answer) -> String {
        match answer {
            Answer::Refused { why, .. } => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Waits until the jail is gone.
    fn gone(&mut self) {
        loop {
            let (bytes, _) = channel::receive(self.socket.as_fd()).unwrap().expect("the jailer");
            if let Some(FromJailer::Exited { id: 1, .. }) = FromJailer::from_bytes(&bytes) {
                return;
            }
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        let _ = channel::send(self.socket.as_fd(), &ToJailer::Quit, &[]);
        let _ = self.jailer.wait();
    }
}

/// Runs a test at each level that this machine gives; there has to be one.
fn at_each_level(test: impl Fn(&mut Jail)) {
    let mut played = 0;
    for level in ["full", "reduced"] {
        if let Some(mut jail) = start(level) {
            test(&mut jail);
            played += 1;
        }
    }
    assert!(played > 0, "no level of isolation is here");
}

#[test]
fn files_stay_from_one_program_to_the_next() {
    at_each_level(|jail| {
        assert_eq!(jail.read("input/first").unwrap(), b"hello");
        assert_eq!(jail.place("input/pkg/sub/data", b"12345"), Answer::Done);
        let (text, end) =
            jail.run("cat first pkg/sub/data; echo $WHO; echo new > made; sleep 60 &");
        assert_eq!((text.as_str(), end.cause, end.code), ("hello12345me\n", Cause::Exited, 0));
        let (text, end) = jail.run("cat made; exit 3");
        assert_eq!((text.as_str(), end.code), ("new\n", 3));
        assert_eq!(jail.place("input/made", b"newer"), Answer::Done);
        assert_eq!(jail.run("cat made").0, "newer");
        let (entries, has_more) = jail.list("input");
        assert_eq!(entries, ["artifacts/", "first 5", "made 5", "pkg/"]);
        assert!(!has_more);
        assert_eq!(jail.ask(Command::Remove { path: "input/pkg".into() }), Answer::Done);
        assert_eq!(jail.ask(Command::Remove { path: "input/first".into() }), Answer::Done);
        assert_eq!(jail.list("input").0, ["artifacts/", "made 5"]);
        let collected = jail.send(Command::Collect, &[]);
        let (bytes, fds) = channel::receive(jail.control.as_fd()).unwrap().unwrap();
        let artifact = FromInit::from_bytes(&bytes);
        assert!(
            matches!(&artifact, Some(FromInit::Artifact { name, size: 5, .. }) if name == "made")
        );
        assert_eq!(fds.len(), 1);
        assert_eq!(jail.answer(collected).0, Answer::Done);
        jail.send(Command::End, &[]);
        jail.gone();
        assert!(jail.tree == "/tmp" || !std::path::Path::new(&jail.tree).exists(), "{}", jail.tree);
    });
}

#[test]
fn processor_time_is_that_of_each_program() {
    at_each_level(|jail| {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let (_, first) = jail.run(busy);
        let (_, second) = jail.run("true");
        assert!(first.cpu_time_us > 2 * second.cpu_time_us, "{first:?} {second:?}");
    });
}

#[test]
fn a_program_is_signalled_and_files_move_meanwhile() {
    at_each_level(|jail| {
        let (mut output, id) =
            jail.spawn("trap 'echo caught; exit 7' INT; echo on; while :; do sleep 0.05; done");
        assert_eq!(jail.answer(id).0, Answer::Started);
        let mut on = [0; 3];
        output.read_exact(&mut on).unwrap();
        let (_other, second) = jail.spawn("true");
        assert_eq!(Jail::refused(jail.answer(second).0), "a program runs");
        assert_eq!(jail.place("input/late", b"x"), Answer::Done);
        assert_eq!(jail.read("input/late").unwrap(), b"x");
        let busy = jail.ask(Command::Remove { path: "input/artifacts".into() });
        assert!(Jail::refused(busy).contains("artifacts"));
        assert!(Jail::refused(jail.ask(Command::Signal { signal: 11 })).contains("11"));
        let file = memfd(b"x");
        let large = Command::Place { path: "input/large".into(), len: PLACE_MAX + 1 };
        let large = jail.send(large, &[file.as_fd()]);
        assert!(Jail::refused(jail.answer(large).0).contains("8388608"));
        assert_eq!(jail.ask(Command::Signal { signal: 2 }), Answer::Done);
        let Answer::Ended { end } = jail.answer(id).0 else { panic!("no end") };
        assert_eq!((end.cause, end.code), (Cause::Exited, 7));
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "caught\n");
        assert_eq!(Jail::refused(jail.ask(Command::Signal { signal: 9 })), "no program runs");
        // The program is stopped with all processes that it has started.
        let (_output, id) = jail.spawn("sleep 60 & sleep 60");
        assert_eq!(jail.answer(id).0, Answer::Started);
        channel::send(jail.control.as_fd(), &ToInit::Stop { collect: false }, &[]).unwrap();
        let Answer::Ended { end } = jail.answer(id).0 else { panic!("no end") };
        assert_eq!(end.cause, Cause::Stopped);
        assert_eq!(jail.run("echo again").0, "again\n");
    });
}

#[test]
fn no_link_leads_out_and_nothing_blocks() {
    at_each_level(|jail| {
        let code = "ln -s /etc out; ln -s /etc/passwd file; mkfifo pipe; mkdir -p many; \
                    for i in $(seq 200); do : > many/$i; done; echo made";
        assert_eq!(jail.run(code).0, "made\n");
        for path in [
            "input/out/passwd",
            "input/file",
            "../etc/passwd",
            "/etc/passwd",
            "input/pipe",
            "input/out",
        ] {
            assert!(jail.read(path).is_err(), "{path}");
        }
        for path in ["input/out/new", "../new", "/tmp/new", "", "..", "input/../../new"] {
            Jail::refused(jail.place(path, b"x"));
        }
        let out = Command::List { path: "input/out".into(), after: Blob(Vec::new()) };
        Jail::refused(jail.ask(out));
        Jail::refused(jail.ask(Command::Remove { path: "input/out/passwd".into() }));
        // Removing a link removes the link itself, and a placed file replaces a link.
        assert_eq!(jail.ask(Command::Remove { path: "input/out".into() }), Answer::Done);
        assert_eq!(jail.place("input/file", b"own"), Answer::Done);
        assert_eq!(jail.read("input/file").unwrap(), b"own");
        let (entries, has_more) = jail.list("input/many");
        assert_eq!((entries.len(), has_more), (ENTRIES_MAX, true));
        // The pages of a listing are in one order and have every name once.
        let last = entries.last().unwrap().strip_suffix(" 0").unwrap().to_string();
        let (rest, has_more) = jail.list_after("input/many", last.as_bytes());
        let mut names: Vec<String> = (1..=200).map(|number| format!("{number} 0")).collect();
        names.sort();
        assert_eq!(([entries, rest].concat(), has_more), (names, false));
        assert_eq!(jail.ask(Command::Remove { path: "input/many".into() }), Answer::Done);
        // Names of the greatest length, which are not text.
        let names = "mkdir bad; cd bad; b=$(printf '\\377%.0s' $(seq 250)); for i in $(seq 150); do : > $b$i; done";
        assert_eq!(jail.run(names).0, "");
        let (entries, has_more) = jail.list("input/bad");
        assert_eq!((entries.len(), has_more), (ENTRIES_MAX, true));
        let long = Command::Read { path: "x/".repeat(30_000) };
        assert!(Jail::refused(jail.ask(long)).len() < 1000);
        let longer =
            ToInit::Command { id: 99, command: Command::Read { path: "x".repeat(70_000) } };
        assert!(channel::send(jail.control.as_fd(), &longer, &[]).is_err());
        let argv = vec!["/nonexistent".to_string()];
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let spawn = Command::Spawn { argv, env: Vec::new(), wall_ms: 1000 };
        let id = jail.send(spawn.clone(), &[null.as_fd(), null.as_fd(), null.as_fd()]);
        Jail::refused(jail.answer(id).0);
        let id = jail.send(spawn, &[null.as_fd()]);
        assert_eq!(Jail::refused(jail.answer(id).0), "spawn needs three streams");
        assert_eq!(jail.run("echo alive").0, "alive\n");
    });
}

#[test]
fn a_placed_file_has_its_name_when_it_is_whole() {
    at_each_level(|jail| {
        assert_eq!(jail.place("input/first", b"before"), Answer::Done);
        // The content is shorter than its stated length, as if the sender was interrupted.
        let file = memfd(b"12");
        let id = jail.send(Command::Place { path: "input/first".into(), len: 3 }, &[file.as_fd()]);
        Jail::refused(jail.answer(id).0);
        assert_eq!(jail.read("input/first").unwrap(), b"before");
        assert_eq!(jail.list("input").0, ["artifacts/", "first 6"]);
    });
}

#[test]
fn nothing_of_a_program_is_left_for_the_next_but_files() {
    at_each_level(|jail| {
        if jail.tree != "/tmp" {
            return; // without an ipc namespace the filter allows none of these
        }
        let code = "import ctypes, os\n\
                    libc = ctypes.CDLL(None, use_errno=True)\n\
                    made = [libc.shmget(7, 4096, 0o1666), libc.semget(7, 1, 0o1666), libc.msgget(7, 0o1666)]\n\
                    queue = ctypes.CDLL('librt.so.1', use_errno=True).mq_open(b'/q', os.O_CREAT | os.O_RDWR, 0o600, None)\n\
                    print([number >= 0 for number in made], queue, flush=True)\n";
        assert_eq!(jail.place("input/make.py", code.as_bytes()), Answer::Done);
        let (text, _) = jail.run("python3 make.py 2>&1; tail -qn +2 /proc/sysvipc/* | wc -l");
        assert_eq!(text, "[True, True, True] -1\n3\n");
        assert_eq!(jail.run("tail -qn +2 /proc/sysvipc/* | wc -l").0, "0\n");
    });
}

#[test]
fn a_program_starts_in_the_work_directory_whatever_became_of_it() {
    at_each_level(|jail| {
        let (text, _) =
            jail.run("cd ..; mv input old && mkdir input && echo new > input/made; pwd");
        let tree = jail.tree.clone();
        assert_eq!(text, format!("{tree}\n"));
        assert_eq!(jail.run("cat made; pwd -P").0, format!("new\n{tree}/input\n"));
        let refused = |jail: &mut Jail| {
            let (_output, id) = jail.spawn("pwd");
            assert!(Jail::refused(jail.answer(id).0).contains("work directory"));
        };
        jail.run("rm -r ../input");
        refused(jail);
        assert_eq!(jail.place("input/again", b"x"), Answer::Done);
        jail.run("rm -r ../input; ln -s /etc ../input");
        refused(jail);
        Jail::refused(jail.place("input/again", b"x"));
    });
}

#[test]
fn no_program_starts_once_the_processor_time_is_used_up() {
    for level in ["full", "reduced"] {
        let Some(mut jail) = start_with(level, 200, ":") else { continue };
        let (_, end) = jail.run("while :; do :; done");
        assert_eq!(end.cause, Cause::Cpu, "{end:?}");
        let (_output, id) = jail.spawn("true");
        assert!(Jail::refused(jail.answer(id).0).contains("processor time"));
        assert_eq!(jail.read("input/first").unwrap(), b"hello");
    }
}

/// The kernel lets a user have as many descriptors in transit as one process may have open.
#[test]
fn answers_that_are_not_read_cost_a_refusal_and_not_the_jail() {
    for level in ["full", "reduced"] {
        let Some(mut jail) = start_with(level, 0, "ulimit -n 100") else { continue };
        let read = || Command::Read { path: "input/first".into() };
        let ids: Vec<u64> = (0..130).map(|_| jail.send(read(), &[])).collect();
        let mut refused = 0;
        // A program that has run shows that all before it were answered.
        let (mut output, spawned) = jail.spawn("true");
        output.read_to_end(&mut Vec::new()).unwrap();
        for id in ids {
            match jail.answer(id) {
                (Answer::File { len: 5 }, fds) => assert_eq!(fds.len(), 1),
                (Answer::Refused { errno, .. }, _) => {
                    assert_eq!(errno, rustix::io::Errno::TOOMANYREFS.raw_os_error());
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(jail.answer(spawned).0, Answer::Started);
        assert!(matches!(jail.answer(spawned).0, Answer::Ended { .. }));
        assert!(refused > 0, "{level}: nothing was refused");
        assert_eq!(jail.read("input/first").unwrap(), b"hello");
    }
}

#[test]
fn a_jail_ends_with_its_engine_and_at_a_malformed_message() {
    at_each_level(|jail| {
        let (_output, id) = jail.spawn("sleep 60");
        assert_eq!(jail.answer(id).0, Answer::Started);
        channel::send_bytes(jail.control.as_fd(), b"\xff\xff", &[]).unwrap();
        jail.gone();
    });
    at_each_level(|jail| {
        let (_output, id) = jail.spawn("sleep 60");
        assert_eq!(jail.answer(id).0, Answer::Started);
        let (unused, _) = channel::pair().unwrap();
        drop(std::mem::replace(&mut jail.control, unused));
        jail.gone();
    });
}

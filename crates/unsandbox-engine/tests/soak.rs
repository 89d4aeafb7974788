// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many executions over many threads, with cancels, kills of inits and of the jailer, and every kind of end
//! mixed in: afterwards memory, descriptors, threads, processes, mounts and control groups are where they
//! were. A few hundred are part of `make test`; `make soak` sets UNSANDBOX_SOAK_RUNS=100000.

#[cfg(target_os = "linux")]
mod common;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    soak::main()
}

#[cfg(target_os = "linux")]
mod soak {
    use crate::common::{descendants, recorder, within};
    use std::collections::BTreeMap;
    use std::process::ExitCode;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};
    use unsandbox_engine::{Engine, EngineOptions};
    use unsandbox_protocol::backend::NoSink;
    use unsandbox_protocol::{
        Backend, Error, ErrorCode, ExecutionResult, IsolationPolicy, Request, Status, Submission,
    };

    /// Runs where nothing is asked for, and the variable that asks for more.
    const FEW: usize = 400;
    const VARIABLE: &str = "UNSANDBOX_SOAK_RUNS";
    const THREADS: usize = 8;
    /// The first runs fill caches and pools; what is there after them is what has to be there at the end.
    const WARM_UP: usize = 200;
    /// One run in so many meets its init killed, or the jailer.
    const KILLS_INIT: usize = 97;
    const KILLS_JAILER: usize = 5_000;
    /// Resident memory, of this process and the jailer, may differ by this much.
    const MEMORY: u64 = 16 << 20;

    pub fn main() -> ExitCode {
        let runs = std::env::var(VARIABLE).ok().and_then(|runs| runs.parse().ok()).unwrap_or(FEW);
        let mut failures = Vec::new();
        let levels = [(IsolationPolicy::Full, runs), (IsolationPolicy::Reduced, runs / 10)];
        for (level, runs) in levels {
            failures.extend(soak(level, runs));
        }
        failures.iter().for_each(|failure| println!("{failure}"));
        let (word, failed) = (if failures.is_empty() { "ok" } else { "FAILED" }, failures.len());
        println!("test result: {word}. {} passed; {failed} failed; 0 ignored", 2 - failed.min(2));
        if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// What has to be the same before and after.
    #[derive(Clone, PartialEq, Eq, Debug)]
    struct Counts {
        descriptors: usize,
        threads: usize,
        processes: usize,
        mounts: usize,
        groups: usize,
    }

    fn entries(path: &str) -> Vec<String> {
        let listing = std::fs::read_dir(path).into_iter().flatten().flatten();
        listing.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn jailer() -> Option<u32> {
        let found = descendants(std::process::id());
        found.into_iter().find(|(_, name)| name.starts_with("unsandbox-jail")).map(|(pid, _)| pid)
    }

    /// Groups of runs below the jailer's own, wherever the trees are mounted.
    fn groups() -> usize {
        let Some(jailer) = jailer() else { return 0 };
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let trees = mounts.lines().filter(|line| line.contains(" cgroup"));
        let trees: Vec<&str> = trees.filter_map(|line| line.split(' ').nth(1)).collect();
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let paths = own.lines().filter_map(|line| line.rsplit(':').next());
        let places = paths.flat_map(|path| trees.iter().map(move |tree| format!("{tree}{path}")));
        let mut places: Vec<String> =
            places.map(|place| format!("{place}/unsandbox-{jailer}")).collect();
        places.sort();
        places.dedup();
        let numbered = |name: &String| name.parse::<u64>().is_ok();
        places.iter().map(|place| entries(place).into_iter().filter(numbered).count()).sum()
    }

    fn counts() -> Counts {
        Counts {
            descriptors: entries("/proc/self/fd").len(),
            threads: entries("/proc/self/task").len(),
            processes: descendants(std::process::id()).len(),
            mounts: std::fs::read_to_string("/proc/self/mounts")
                .unwrap_or_default()
                .lines()
                .count(),
            groups: groups(),
        }
    }

    /// Folders of runs without a file system of their own. That of an init that was killed goes with the
    /// jailer.
    fn folders() -> Vec<String> {
        let mut found = entries(&std::env::temp_dir().display().to_string());
        found.retain(|name| name.starts_with("unsandbox-tree-"));
        found.sort();
        found
    }

    fn resident(pid: u32) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        number.unwrap_or(0) * 1024
    }

    fn memory() -> [u64; 2] {
        [resident(std::process::id()), jailer().map_or(0, resident)]
    }

    fn soak(level: IsolationPolicy, runs: usize) -> Vec<String> {
        let begun = Instant::now();
        let before_all = (descendants(std::process::id()).len(), folders());
        let options = EngineOptions { isolation: level, ..EngineOptions::default() };
        let engine = Engine::new(options).expect("an engine can be made");
        let mut failures = Vec::new();
        let mut ends = BTreeMap::new();
        play(&engine, 0..WARM_UP, &mut ends, &mut failures);
        // The run that is in every pool: the counts are taken with the same jails ready.
        let settled = || {
            let _ = one(&engine, 1);
            let mut last = counts();
            within(Duration::from_secs(10), || {
                std::thread::sleep(Duration::from_millis(100));
                let now = counts();
                std::mem::replace(&mut last, now.clone()) == now
            });
            last
        };
        let (before, memory_before) = (settled(), memory());
        play(&engine, WARM_UP..WARM_UP + runs, &mut ends, &mut failures);
        let (after, memory_after) = (settled(), memory());
        let seconds = begun.elapsed().as_secs_f64();
        println!("{level:?}: {runs} executions over {THREADS} threads in {seconds:.0} s");
        println!("  ends: {ends:?}");
        println!("  before: {before:?}\n  after:  {after:?}");
        let mb = |bytes: [u64; 2]| bytes.map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        println!(
            "  resident (host, jailer): {:?} before, {:?} after",
            mb(memory_before),
            mb(memory_after)
        );
        if before != after {
            failures.push(format!("{level:?}: {before:?} became {after:?}"));
        }
        for (was, is) in memory_before.iter().zip(memory_after) {
            if is > was + MEMORY {
                failures.push(format!("{level:?}: {was} bytes of memory became {is}"));
            }
        }
        drop(engine);
        // The folders of a jailer that was killed are removed by the next one that starts.
        let options = EngineOptions { isolation: level, ..EngineOptions::default() };
        let _ = one(&Engine::new(options).expect("an engine can be made"), 1);
        let all = || (descendants(std::process::id()).len(), folders());
        let gone = || all().0 == before_all.0 && all().1.len() <= before_all.1.len();
        if !within(Duration::from_secs(10), gone) {
            failures.push(format!("{level:?}: {before_all:?} became {:?}", all()));
        }
        failures
    }

    /// Takes the numbers of `range`, each for one run, on many threads.
    fn play(
        engine: &Engine,
        range: std::ops::Range<usize>,
        ends: &mut BTreeMap<String, usize>,
        failures: &mut Vec<String>,
    ) {
        let next = AtomicUsize::new(range.start);
        let seen = Mutex::new((ends, failures));
        let kills = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= range.end {
                            return;
                        }
                        if number % KILLS_INIT == KILLS_INIT - 1 {
                            kills.fetch_add(1, Ordering::Relaxed);
                            kill_one("unsandbox-init", number);
                        }
                        if number % KILLS_JAILER == KILLS_JAILER / 16 {
                            kills.fetch_add(1, Ordering::Relaxed);
                            kill_one("unsandbox-jail", number);
                        }
                        let (end, wrong) = match one(engine, number) {
                            // The kill has met the program before it was one.
                            Ok(result) if result.signal == Some(9) && number % 40 != 15 => {
                                ("killed".to_string(), None)
                            }
                            Ok(result) => (result.status.to_string(), wrong(number, &result)),
                            // Its jail was killed, or the jailer with it.
                            Err(error) if error.code() == ErrorCode::Server => {
                                ("killed".to_string(), None)
                            }
                            Err(error) => ("refused".to_string(), Some(error.to_string())),
                        };
                        let mut seen = seen.lock().expect("no panic under this lock");
                        *seen.0.entry(end).or_default() += 1;
                        seen.1.extend(wrong.map(|why| format!("run {number}: {why}")));
                    }
                });
            }
        });
        let killed = kills.into_inner();
        let (ends, failures) = seen.into_inner().expect("no panic under this lock");
        let broken: usize = ["killed", "failed"].iter().filter_map(|end| ends.get(*end)).sum();
        // A kill may end as many runs as there are at once, where it is the jailer's.
        let most = (killed + 2) * 2 * THREADS;
        if broken > most {
            failures.push(format!("{broken} runs were broken by {killed} kills"));
        }
    }

    fn kill_one(name: &str, number: usize) {
        let found = descendants(std::process::id());
        let found: Vec<u32> =
            found.into_iter().filter(|(_, is)| is.starts_with(name)).map(|(pid, _)| pid).collect();
        if let Some(pid) = found.get(number % found.len().max(1)) {
            let pid = rustix::process::Pid::from_raw(*pid as i32).expect("a process has a number");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    const SILENT: &str = "/usr/bin/true";

    /// The run that this number stands for.
    fn one(engine: &Engine, number: usize) -> Result<ExecutionResult, Error> {
        let bash = |code: &str| Request::new("bash", code).ttl(30);
        let request = match number % 40 {
            0 => bash("echo out; echo err >&2; exit 3"),
            5 => bash("cat; echo made > artifacts/a").stdin("in\n").input_file("f", "file"),
            10 => bash("(setsid sleep 100 &); sleep 100 & echo left"),
            15 => bash("mkdir -p a/b/c; chmod 000 a; : > /dev/shm/x; kill -9 $$"),
            20 | 30 => return cancelled(engine, number),
            35 if number % 400 == 35 => Request::new("bash", "sleep 100").ttl(1),
            _ => Request::new("bash", "").runtime(SILENT).ttl(30),
        };
        engine.execute(Submission::validated(request).unwrap(), Arc::new(NoSink))
    }

    /// At once, after a while, or when it has said something.
    fn cancelled(engine: &Engine, number: usize) -> Result<ExecutionResult, Error> {
        let (sink, events) = recorder();
        let submission =
            Submission::validated(Request::new("bash", "echo on; sleep 100").ttl(100)).unwrap();
        let token = submission.cancel.clone();
        engine.submit_job(submission, sink)?;
        let mut told = None;
        match number % 3 {
            0 => {}
            1 => std::thread::sleep(Duration::from_micros((number % 7) as u64 * 700)),
            _ => told = events.recv_timeout(Duration::from_secs(30)).ok(),
        }
        token.cancel();
        loop {
            // The first that was told may be the end already, where a kill has met this run.
            match told.take().map_or_else(|| events.recv_timeout(Duration::from_secs(60)), Ok) {
                Ok(crate::common::Event::Finished(end)) => {
                    return end
                        .map(|job| job.into_result().expect("a finished job has its result"));
                }
                Ok(_) => {}
                Err(_) => return Err(Error::internal("a cancelled run did not end within 60 s")),
            }
        }
    }

    /// Whether a run came to something that its number does not stand for.
    fn wrong(number: usize, result: &ExecutionResult) -> Option<String> {
        let right = match (number % 40, &result.status) {
            (_, Status::Failed) => true, // its init was killed
            (0, _) => {
                result.exit_code == Some(3)
                    && result.stdout == b"out\n"
                    && result.stderr == b"err\n"
            }
            // Without its artifact where the kill came in between, and then it says so.
            (5, _) => {
                let told = result.error.as_ref().is_some_and(|error| error.contains("artifacts"));
                result.stdout == b"in\n" && (told || result.artifacts.len() == 1)
            }
            (10, _) => result.stdout == b"left\n",
            (15, _) => result.signal == Some(9),
            (20 | 30, status) => *status == Status::Cancelled,
            (35, status) if number % 400 == 35 => *status == Status::Timeout,
            _ => result.success,
        };
        (!right).then(|| format!("{result:?}"))
    }
}

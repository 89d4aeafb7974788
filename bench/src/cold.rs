// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a fresh jail costs: a program that does nothing, through the whole `execute` of `local:`, bare,
//! and in the other sandboxes of this machine (`make bench` installs those that Debian has).

use crate::{in_ms, median, quantile, timed};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use unsandbox::{Client, Error, Request};

const ROUNDS: usize = 200;
/// Rounds before the first that counts: caches, the pool of jails.
const WARM_UP: usize = 20;
const TRUE: &str = "/usr/bin/true";
/// What a run hands to its "interpreter". It goes to the program everywhere, for `true` does more with a
/// word after its name than without one.
const WORD: &str = "main.sh";
/// Everywhere too: by default the program's first act in a jail would be to read a dozen files of the
/// jail's locale, and outside those of the caller's.
const LOCALE: (&str, &str) = ("LC_ALL", "C");
/// How long executions are counted, and from how many threads.
const COUNTED: Duration = Duration::from_secs(4);
const THREADS: usize = 2;

/// The goals of this part; printed with what was measured, never asserted.
const GOAL_OVER_SPAWN: Duration = Duration::from_micros(1200);
const GOAL_A_SECOND: f64 = 800.0;

/// Another sandbox, with the words that come before the program's.
struct Rival {
    name: &'static str,
    words: Vec<String>,
}

/// A row of the table.
struct Row {
    name: String,
    median: Duration,
    late: Duration,
}

pub fn measure_all() -> Result<(), Error> {
    let client = Client::builder().base_url("local:").build()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("the cold jail: {TRUE}, {ROUNDS} rounds in turn, {cores} cores");
    let (rivals, absent) = rivals();
    let rows = rounds(&client, &rivals)?;
    println!("{:18} {:>10} {:>10} {:>18}", "", "median", "p95", "over posix_spawn");
    for row in &rows {
        let over = match row.median.checked_sub(rows[0].median) {
            Some(over) if row.name != rows[0].name => format!("+{}", in_ms(over)),
            _ => String::new(),
        };
        println!("{:18} {:>10} {:>10} {over:>18}", row.name, in_ms(row.median), in_ms(row.late));
    }
    for (name, why) in absent {
        println!("{name:18} not measured: {why}");
    }
    let ours = a_second(|| execute(&client))?;
    let bare = a_second(spawn_bare)?;
    println!("from {THREADS} threads: {ours:.0} executions a second (posix_spawn: {bare:.0})");
    tell_goals(&rows, ours);
    client.close();
    Ok(())
}

/// All of them in turn, each round.
fn rounds(client: &Client, rivals: &[Rival]) -> Result<Vec<Row>, Error> {
    let mut times = vec![Vec::new(); 2 + rivals.len()];
    for round in 0..WARM_UP + ROUNDS {
        let mut taken = vec![timed(spawn_bare)?, timed(|| execute(client))?];
        for rival in rivals {
            taken.push(timed(|| spawn(&rival.words))?);
        }
        if round >= WARM_UP {
            times.iter_mut().zip(taken).for_each(|(all, time)| all.push(time));
        }
    }
    let names = ["posix_spawn", "unsandbox local:"].into_iter();
    let names = names.chain(rivals.iter().map(|rival| rival.name));
    let row = |(name, mut all): (&str, Vec<Duration>)| Row {
        name: name.to_string(),
        median: median(&mut all),
        late: quantile(&mut all, 0.95),
    };
    Ok(names.zip(times).map(row).collect())
}

fn tell_goals(rows: &[Row], a_second: f64) {
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let over = rows[1].median.saturating_sub(rows[0].median);
    let goal = in_ms(GOAL_OVER_SPAWN);
    println!("goal: at most {goal} over posix_spawn: {}", verdict(over <= GOAL_OVER_SPAWN));
    for rival in &rows[2..] {
        println!("goal: less than {}: {}", rival.name, verdict(rows[1].median < rival.median));
    }
    let enough = verdict(a_second >= GOAL_A_SECOND);
    println!("goal: at least {GOAL_A_SECOND:.0} a second from {THREADS} threads: {enough}");
}

/// The whole way of a caller, from the request to the result. The "interpreter" of this run is the
/// program itself.
fn execute(client: &Client) -> Result<(), Error> {
    let (name, value) = LOCALE;
    let result = client.execute(&Request::new("bash", "").runtime(TRUE).env(name, value))?;
    assert!(result.success, "{result:?}");
    Ok(())
}

fn spawn_bare() -> Result<(), Error> {
    spawn(&[TRUE.to_string(), WORD.to_string()])
}

/// The standard library starts a program with posix_spawn where nothing hinders it.
fn spawn(words: &[String]) -> Result<(), Error> {
    let nothing = || Stdio::null();
    let mut command = Command::new(&words[0]);
    command.env(LOCALE.0, LOCALE.1).args(&words[1..]);
    command.stdin(nothing()).stdout(nothing()).stderr(nothing());
    let status = command.status().expect("the program was there a moment ago");
    assert!(status.success(), "{words:?}: {status}");
    Ok(())
}

/// How often `run` ends within a second, called from several threads at once.
fn a_second(run: impl Fn() -> Result<(), Error> + Sync) -> Result<f64, Error> {
    let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begun = Instant::now();
    let work = || {
        while !over.load(Ordering::Relaxed) {
            run()?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let ends: Vec<Result<(), Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        std::thread::sleep(COUNTED);
        over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no panic in a round")).collect()
    });
    ends.into_iter().collect::<Result<(), Error>>()?;
    Ok(count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

/// Those that run the program here, and why the others cannot be measured.
fn rivals() -> (Vec<Rival>, Vec<(&'static str, String)>) {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for (name, place) in [
        ("bubblewrap", Place::OnPath("bwrap")),
        ("firejail", Place::OnPath("firejail")),
        ("nsjail", Place::Named("UNSANDBOX_BENCH_NSJAIL")),
        ("isolate", Place::Named("UNSANDBOX_BENCH_ISOLATE")),
    ] {
        match place.find().and_then(|path| try_out(name, words(name, &path))) {
            Ok(rival) => found.push(rival),
            Err(why) => absent.push((name, why)),
        }
    }
    (found, absent)
}

enum Place {
    OnPath(&'static str),
    /// By a variable: no package has it.
    Named(&'static str),
}

impl Place {
    fn find(&self) -> Result<String, String> {
        match self {
            Place::OnPath(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let mut places: Vec<PathBuf> =
                    std::env::split_paths(&path).map(|folder| folder.join(name)).collect();
                places.retain(|place| place.is_file());
                let place = places
                    .first()
                    .ok_or("not installed; `scripts/packages bubblewrap firejail` does, as root")?;
                Ok(place.display().to_string())
            }
            Place::Named(variable) => std::env::var(variable)
                .map_err(|_| format!("set {variable} to the path of the program")),
        }
    }
}

/// What comes before the program: everything that the sandbox has of what a jail of ours has, and no
/// network.
fn words(name: &str, path: &str) -> Vec<String> {
    let rest = match name {
        "bubblewrap" => {
            "--unshare-all --new-session --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin \
             --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp \
             --chdir /tmp --cap-drop ALL --"
        }
        "firejail" => {
            "--quiet --noprofile --net=none --private --private-dev --seccomp --caps.drop=all \
             --nonewprivs --"
        }
        "nsjail" => "-Mo -Q -R /usr -R /lib -R /lib64 -T /tmp --",
        _ => "--run --",
    };
    std::iter::once(path).chain(rest.split_whitespace()).map(str::to_string).collect()
}

/// A sandbox that cannot run the program here is not measured.
fn try_out(name: &'static str, mut words: Vec<String>) -> Result<Rival, String> {
    if name == "isolate" {
        let made = Command::new(&words[0]).arg("--init").output();
        made.map_err(|error| format!("{} --init: {error}", words[0]))?;
    }
    words.extend([TRUE.to_string(), WORD.to_string()]);
    let output = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", words[0]))?;
    if output.status.success() {
        return Ok(Rival { name, words });
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    Err(format!("{} does not run it here ({}): {last}", words[0], output.status))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program in its jail, as the host's `/proc` has it: the layers that are really there, whatever the
//! program can see of them.

use crate::common::within;
use crate::host::children;
use crate::table::Program;
use std::fs;
use std::time::Duration;
use unsandbox_protocol::Level;

/// Ids of the host that no account has, from which a root host gives each run one.
const OWN_IDS: u32 = 0x7000_0000;

/// What is wrong with the one program that runs, once it has become the `cat` that it ends as.
pub fn at_program(jailer: u32, level: Level, program: &Program) -> Vec<String> {
    let running =
        children(jailer).into_iter().find_map(|init| Some((init, *children(init).first()?)));
    let Some((init, pid)) = running else { return vec!["no program is running".to_string()] };
    let is_itself =
        || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "cat\n");
    within(Duration::from_secs(5), is_itself);
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let mut wrong = namespaces(pid, level);
    let status = read("status");
    wrong.extend(rights(&status, level));
    wrong.extend(limits(&read("limits"), level, program));
    if level == Level::Full {
        wrong.extend(mounts(&read("mountinfo")));
    }
    let descriptors = || {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut open: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        open.sort();
        open
    };
    // It opens one library after the other; what it has been given stays open throughout.
    if !within(Duration::from_secs(5), || descriptors() == ["0", "1", "2"]) {
        wrong.push(format!("it has the descriptors {:?}", descriptors()));
    }
    if read("environ").contains(crate::canaries::SECRET) {
        wrong.push("it has the host's environment".to_string());
    }
    if read("oom_score_adj").trim() != "1000" {
        wrong.push("the kernel would not end it first".to_string());
    }
    let session = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)).map(str::to_string)
    };
    if session(pid) == session(std::process::id())
        || session(pid) == session(init)
        || session(init) == session(jailer)
    {
        wrong.push("it is in the session of another".to_string());
    }
    wrong
}

fn namespaces(pid: u32, level: Level) -> Vec<String> {
    let of = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let shared = kinds.iter().filter(|kind| {
        let (its, ours) = (of(&pid.to_string(), kind), of("self", kind));
        level == Level::Full && (its.is_none() || its == ours)
    });
    shared.map(|kind| format!("it is in the host's {kind} namespace")).collect()
}

fn rights(status: &str, level: Level) -> Vec<String> {
    let value = |key: &str| {
        status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim().to_string()
    };
    let mut wrong = Vec::new();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        // An ordinary user at the reduced level cannot empty the bounding set, and has nothing in the others.
        let of_an_ordinary_user = level == Level::Reduced && set == "CapBnd:" && !host_is_root();
        if !value(set).trim_matches('0').is_empty() && !of_an_ordinary_user {
            wrong.push(format!("{set} {}", value(set)));
        }
    }
    let filters: u32 = value("Seccomp_filters:").parse().unwrap_or(0);
    // One of every jail's; beside it one of the init's, two that stand for the missing namespaces, and two that keep
    // the program in sight.
    let expected = if level == Level::Full { 1 } else { 6 };
    if value("NoNewPrivs:") != "1" || value("Seccomp:") != "2" || filters < expected {
        wrong.push(format!("NoNewPrivs {}, {filters} filters", value("NoNewPrivs:")));
    }
    let ids: Vec<u32> = value("Uid:").split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let unprivileged = |id: &u32| if host_is_root() { *id >= OWN_IDS } else { *id != 0 };
    if ids.is_empty() || !ids.iter().all(unprivileged) {
        wrong.push(format!("its ids are {ids:?}"));
    }
    if host_is_root() && !value("Groups:").is_empty() {
        wrong.push(format!("its groups are {}", value("Groups:")));
    }
    wrong
}

fn host_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn limits(text: &str, level: Level, program: &Program) -> Vec<String> {
    let asked = program.limits();
    let of = |name: &str, default: u64| asked.get(name).unwrap_or(default);
    let mut expected = vec![
        ("Max open files", of("open_files", 1024)),
        ("Max file size", of("file_size_bytes", 256 << 20)),
        ("Max core file size", 1),
        ("Max locked memory", 8 << 20),
        ("Max msgqueue size", 1 << 20),
        ("Max pending signals", 1024),
        ("Max realtime priority", 0),
        ("Max nice priority", 0),
        // The watchdog counts all processes together, and has a second to do so.
        ("Max cpu time", of("cpu_time_ms", u64::MAX).div_ceil(1000) + 1),
    ];
    if level == Level::Full {
        expected.push(("Max processes", of("processes", 256) + 1));
    }
    let number = |name: &str, nth| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(nth)?.parse().ok()
    };
    let hard = |name: &str| number(name, 1);
    let mut wrong: Vec<String> = expected
        .into_iter()
        .filter(|(name, value)| hard(name).is_none_or(|found| found > *value))
        .map(|(name, value)| format!("{name}: {:?}, not {value}", hard(name)))
        .collect();
    // A program may raise it, and may not have done so yet.
    let stack = number("Max stack size", 0);
    if stack.is_none_or(|found| found > of("stack_bytes", 64 << 20)) {
        wrong.push(format!("Max stack size: {stack:?}"));
    }
    wrong
}

/// Each mount has the flags that its place asks for, and each that is made for the jail its size.
fn mounts(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    // The root's own /proc lies below the jail's, and is never to be seen.
    let seen = text.lines().position(|line| line.split(' ').nth(4) == Some("/proc"));
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [place, flags] = [4, 5].map(|index| fields.get(index).copied().unwrap_or(""));
        let covered = place == "/proc" && seen == Some(index);
        let has = |flag: &str| flags.split(',').any(|one| one == flag);
        let is_device = place.starts_with("/dev/");
        let mut needed = vec!["nosuid"];
        if !is_device {
            needed.push("nodev");
        }
        if place == "/dev/pts" && !line.contains(",max=16") {
            wrong.push(format!("pseudo-terminals without a limit: {line}"));
        }
        if !["/tmp", "/dev/pts"].contains(&place) && !covered {
            needed.push("ro");
        }
        if is_device || place.starts_with("/etc/") || place == "/proc" {
            needed.push("noexec");
        }
        let lacks: Vec<&str> = needed.into_iter().filter(|flag| !has(flag)).collect();
        if !lacks.is_empty() {
            wrong.push(format!("the mount at {place} lacks {}", lacks.join(",")));
        }
        let made = line.split_once(" - tmpfs root ").or(line.split_once(" - tmpfs tmp "));
        if let Some((_, options)) = made
            && !(options.contains(",size=") && options.contains(",nr_inodes="))
        {
            wrong.push(format!("the mount at {place} has no more limits than {options}"));
        }
        if fields[6].starts_with("shared:") || fields[6].starts_with("master:") {
            wrong.push(format!("the mount at {place} hears of the host's"));
        }
    }
    for hidden in ["/proc/locks", "/proc/keys", "/proc/key-users"] {
        let covers = |line: &str| line.split(' ').nth(4) == Some(hidden);
        if std::path::Path::new(hidden).exists() && !text.lines().any(covers) {
            wrong.push(format!("{hidden} is not hidden"));
        }
    }
    if text.is_empty() {
        wrong.push("it has no mounts".to_string());
    }
    wrong
}

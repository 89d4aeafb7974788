// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control groups here are plain files in a folder, since machines delegate differently.

use super::*;

/// A folder that stands for a group, in which `missing` cannot be written.
fn fake_group(version: Version, name: &str, missing: &[&str]) -> Group {
    let name = format!("unsandbox-group-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&folder);
    for file in missing {
        fs::create_dir_all(folder.join(file)).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    let controllers: &[&str] = if version == Version::Two { &[""] } else { &["memory", "pids"] };
    let directories = controllers.iter().map(|name| (*name, folder.clone())).collect();
    Group { version, directories, limits: LIMITS, kills_before: 0 }
}

/// A folder that stands for all groups of version 1.
fn fake_groups(name: &str) -> (Groups, PathBuf) {
    let base = std::env::temp_dir().join(format!("unsandbox-groups-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&base);
    fs::create_dir_all(&base).unwrap();
    let bases = V1_CONTROLLERS.map(|controller| (controller, base.join(controller))).to_vec();
    bases.iter().for_each(|(_, base)| fs::create_dir(base).unwrap());
    (Groups { version: Version::One, bases, used: Vec::new() }, base)
}

/// Writes the values that the kernel would show for a group after its run.
fn after_a_run(group: &Group, processes: u64, bytes: u64) {
    group.set("pids", "pids.current", processes).unwrap();
    group.set("memory", "memory.usage_in_bytes", bytes).unwrap();
    group.set("memory", "memory.kmem.tcp.usage_in_bytes", 0).unwrap();
    group.set("memory", "memory.max_usage_in_bytes", 99 << 20).unwrap();
    group.set("cpuacct", "cpuacct.usage", 12_345).unwrap();
}

#[test]
fn a_used_group_begins_anew() {
    let (mut groups, base) = fake_groups("used");
    let first = groups.create(1, 64 << 20, 16).unwrap();
    let place = first.path("memory", "");
    after_a_run(&first, 0, LEFT_MAX);
    assert!(groups.give_back(first).is_none());
    let other = groups.create(2, 65 << 20, 16).unwrap();
    assert_ne!(other.path("memory", ""), place, "its limits are others");
    let again = groups.create(3, 64 << 20, 16).unwrap();
    assert_eq!(again.path("memory", ""), place);
    let meter = |group: &Group| {
        let number = |controller, file| {
            first_number(&fs::read_to_string(group.path(controller, file)).unwrap())
        };
        (number("memory", "memory.max_usage_in_bytes"), number("cpuacct", "cpuacct.usage"))
    };
    assert_eq!(meter(&again), (0, 0));
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn a_group_with_something_left_is_not_used_again() {
    for (processes, bytes) in [(1, 0), (0, LEFT_MAX + 1), (0, u64::MAX)] {
        let (mut groups, base) = fake_groups("left");
        let first = groups.create(1, 64 << 20, 16).unwrap();
        let place = first.path("memory", "");
        after_a_run(&first, processes, bytes);
        assert!(groups.give_back(first).is_none());
        let next = groups.create(2, 64 << 20, 16).unwrap();
        assert_ne!(next.path("memory", ""), place, "{processes} processes, {bytes} bytes");
        fs::remove_dir_all(base).unwrap();
    }
}

#[test]
fn groups_of_version_two_are_used_once() {
    let (mut groups, base) = fake_groups("two");
    groups.version = Version::Two;
    let group = groups.create(1, 64 << 20, 16).unwrap();
    assert!(groups.give_back(group).is_some() && !groups.keeps_any());
    fs::remove_dir_all(base).unwrap();
}

const LIMITS: Limits = Limits { memory_bytes: 1 << 20, processes: 5, has_swap: true };

fn limited(group: Group, has_swap: bool) -> (Group, io::Result<()>) {
    let group = Group { limits: Limits { has_swap, ..LIMITS }, ..group };
    let result = group.limit();
    (group, result)
}

fn gone(group: &Group) {
    fs::remove_dir_all(&group.directories[0].1).unwrap();
}

#[test]
fn a_tree_of_version_one_holds_a_run_to_its_limits() {
    let (group, done) = limited(fake_group(Version::One, "v1-limits", &[]), false);
    done.unwrap();
    let said = |controller, file| fs::read_to_string(group.path(controller, file)).unwrap();
    assert_eq!(said("memory", "memory.limit_in_bytes"), "1048576");
    assert_eq!(said("pids", "pids.max"), "6"); // and the init
    gone(&group);
}

#[test]
fn swap_is_counted_or_kept_away() {
    let group = fake_group(Version::One, "v1", &[]);
    group.limit().unwrap();
    let said = |file| fs::read_to_string(group.path("memory", file)).ok();
    assert_eq!(said("memory.memsw.limit_in_bytes").as_deref(), Some("1048576"));
    assert_eq!(said("memory.swappiness"), None);
    assert_eq!(said("memory.kmem.tcp.limit_in_bytes").as_deref(), Some("1048576"));
    gone(&group);
    let group = fake_group(Version::One, "v1-uncounted", &["memory.memsw.limit_in_bytes"]);
    group.limit().unwrap();
    let said = fs::read_to_string(group.path("memory", "memory.swappiness")).unwrap();
    assert_eq!(said, "0");
    gone(&group);
}

#[test]
fn memory_that_can_be_swapped_out_is_no_limit() {
    let both = ["memory.memsw.limit_in_bytes", "memory.swappiness"];
    let groups = [
        fake_group(Version::One, "v1-none", &both),
        fake_group(Version::Two, "v2-none", &["memory.swap.max"]),
    ];
    for group in groups {
        let (group, limited_with_swap) = limited(group, true);
        assert!(limited_with_swap.is_err(), "{:?}", group.version);
        let (group, limited_without) = limited(group, false);
        assert!(limited_without.is_ok(), "{:?}", group.version);
        gone(&group);
    }
}

/// A folder that looks like a tree with this process in /user/app, and the matching contents of /proc.
fn fake(name: &str, controllers: &str) -> (PathBuf, String, String) {
    let tree = std::env::temp_dir().join(format!("cgroup-{name}-{}", std::process::id()));
    fs::create_dir_all(tree.join("user/app")).unwrap();
    fs::write(tree.join("user/cgroup.subtree_control"), controllers).unwrap();
    let mounts = format!(
        "24 1 0:21 / /proc rw - proc proc rw\n30 24 0:26 / {} rw - cgroup2 cgroup2 rw\n",
        tree.display()
    );
    (tree, "0::/user/app\n".to_string(), mounts)
}

#[test]
fn a_delegated_tree_of_version_two_holds_every_run_to_its_limits() {
    let (tree, membership, mounts) = fake("delegated", "cpu memory pids\n");
    let mut groups = version_two(&membership, &mounts).unwrap();
    assert_eq!(groups.version, Version::Two);
    let base = tree.join("user").join(format!("{PREFIX}{}", std::process::id()));
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    assert_eq!(read(base.join("cgroup.subtree_control")), "+memory +pids");
    let group = groups.create(7, 64 << 20, 16).unwrap();
    let run = base.join("7");
    group.entry().unwrap().enter().unwrap();
    assert_eq!(read(run.join("memory.max")), (64 << 20).to_string());
    assert_eq!(read(run.join("memory.swap.max")), "0");
    assert_eq!(read(run.join("pids.max")), "17"); // and the init
    assert_eq!(read(run.join("cgroup.procs")), "0"); // the one who writes it
    fs::write(run.join("memory.events"), "low 0\noom 2\noom_kill 1\n").unwrap();
    fs::write(run.join("memory.peak"), "4096\n").unwrap();
    fs::write(run.join("cpu.stat"), "usage_usec 77\nuser_usec 70\n").unwrap();
    let meter = group.meter().unwrap();
    assert_eq!(
        (meter.out_of_memory_kills(), meter.peak_bytes(), meter.cpu_time_us()),
        (1, 4096, 77)
    );
    fs::remove_dir_all(tree).unwrap();
}

#[test]
fn a_tree_without_the_controllers_says_so() {
    let (tree, membership, mounts) = fake("bare", "cpu\n");
    let why = version_two(&membership, &mounts).err().unwrap();
    assert_eq!(why, "cgroup v2 has no memory and pids controllers here");
    fs::remove_dir_all(tree).unwrap();
}

#[test]
fn a_tree_that_takes_no_group_is_named_with_the_cause() {
    let (tree, membership, mounts) = fake("taken", "memory pids\n");
    // A kernel would refuse it with EACCES or EROFS; here the error is EEXIST.
    fs::write(tree.join("user").join(format!("{PREFIX}{}", std::process::id())), "").unwrap();
    let why = version_two(&membership, &mounts).err().unwrap();
    let place = tree.join("user").display().to_string();
    assert!(why.contains(&place) && why.contains("os error 17"), "{why}");
    fs::remove_dir_all(tree).unwrap();
}

#[test]
fn no_tree_at_all_says_so() {
    assert_eq!(version_two("0::/\n", "").err().unwrap(), "cgroup v2 is not mounted");
    assert_eq!(version_two("4:memory:/\n", "").err().unwrap(), "cgroup v2 is not in use");
}

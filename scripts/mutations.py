# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where the rules of the jail stand in the sources, and which tests should be the first to miss each.

A rule is one line of the lists of system calls, one argument that a filter looks at, one right of Landlock, one
flag of a mount, one namespace, one limit, one cap on what may be asked for, one range of addresses that the gateway
refuses. `mutate` deletes each and runs the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

JAILER = Path("crates/unsandbox-jailer/src")
ENGINE = Path("crates/unsandbox-engine/src")
PROTOCOL = Path("crates/unsandbox-protocol/src")
SERVER = Path("crates/unsandbox-server/src")
CLIENT = Path("crates/unsandbox/src")
STORE = Path("crates/unsandbox-store/src")


@dataclass(frozen=True)
class Check:
    """Tests that `cargo test` runs: a package's test programs, and which of their tests (all without words)."""

    name: str
    programs: tuple[str, ...]
    words: tuple[str, ...] = ()

    def only(self, *words: str) -> Check:
        return Check(f"{self.name} ({', '.join(words)})", self.programs, words)


def of_engine(name: str, *files: str) -> Check:
    return Check(name, ("-p", "unsandbox-engine", *(word for file in files or [name] for word in ("--test", file))))


UNITS = Check("jailer's units", ("-p", "unsandbox-jailer", "--bin", "unsandbox-jailer"))
ENGINE_UNITS = Check("engine's units", ("-p", "unsandbox-engine", "--lib"))
PROTOCOL_UNITS = Check("protocol", ("-p", "unsandbox-protocol", "--lib", "--test", "requests"))
KEPT = Check("jails that are kept", ("-p", "unsandbox-jailer", "--test", "commands"))
SERVER_UNITS = Check("server's units", ("-p", "unsandbox-server", "--lib"))
FLOODS = Check("floods", ("-p", "unsandbox-server", "--test", "flood"))
STORED = Check("store", ("-p", "unsandbox-store", "--test", "jobs", "--test", "faults", "--test", "crash"))
CLIENT_UNITS = Check("client's units", ("-p", "unsandbox", "--lib"))
ENGINE_TESTS = of_engine("engine", "jail", "options", "ends", "reduced", "reach", "lifecycle", "standings")
HOSTILE = of_engine("hostile")
#: Everything that may miss a rule, in the order of its time.
WHOLE = (UNITS, ENGINE_UNITS, PROTOCOL_UNITS, ENGINE_TESTS, HOSTILE)

FILTERS = UNITS.only("seccomp")
SEEN = HOSTILE.only("as the host sees it")
ENDS, REACH, OF_OPTIONS = of_engine("ends"), of_engine("reach"), of_engine("options")
#: Who has no control group here.
AS_USER = REACH.only("again_unprivileged")


@dataclass(frozen=True)
class Kind:
    """Places in a file where a rule stands by itself, and what is left when it is deleted."""

    name: str
    file: Path
    pattern: str
    #: As in re.sub: `\1` is the first group.
    instead: str = ""
    first: Check = FILTERS
    #: Only in what this matches.
    within: str = ""


LAYERS, JAIL_INIT = JAILER / "layers", JAILER / "init"
REQUESTS, ASKED, QUOTA, NOTIFY = (LAYERS / name for name in ("seccomp/requests.rs", "seccomp/asked.rs", "quota.rs", "notify.rs"))
KERNEL_MEMORY, SUPERVISOR = JAIL_INIT / "kernel_memory.rs", JAILER / "supervisor/mod.rs"
SECCOMP, LOCKS, LANDLOCK = LAYERS / "seccomp.rs", LAYERS / "locks.rs", LAYERS / "landlock.rs"
INIT, STEP, JAIL, TEMPLATE = JAIL_INIT / "mod.rs", JAIL_INIT / "step.rs", JAILER / "supervisor/jail.rs", LAYERS / "template.rs"
SERVE = JAIL_INIT / "serve.rs"
GROUPS, WATCH, COLLECT = LAYERS / "cgroup.rs", JAIL_INIT / "watch.rs", JAIL_INIT / "collect.rs"
WALK = JAIL_INIT / "walk.rs"
NETWORK = JAILER / "supervisor/network.rs"
RUN, PLAN, ADDRESS = ENGINE / "jailer/run.rs", ENGINE / "programs/plan.rs", PROTOCOL / "net/address.rs"
VALIDATE, LIMITS = PROTOCOL / "validate.rs", PROTOCOL / "limits.rs"
RULES, OPTIONS = PROTOCOL / "rules.rs", PROTOCOL / "wire/options.rs"

FILTER_KINDS = [
    Kind("call", SECCOMP, r"^    (?:#\[cfg[^\n]*\n    )?(libc::SYS_\w+|[A-Z][A-Z0-9_]*),\n", within=r"^const \w+: &\[libc::c_long\] = &\[\n.*?^\];"),
    Kind("call", SECCOMP, r"libc::(SYS_\w+)(?:, )?", within=r"^const SIGNALS: .*?\];"),
    Kind("call of others", SECCOMP, r"^    \(libc::SYS_(\w+), \d\),\n"),
    Kind("rule", SECCOMP, r"^    (?:#\[cfg[^\n]*\n    )?rules\.insert\(\s*libc::SYS_(\w+), .*?\);\n"),
    Kind("rule", SECCOMP, r"^        rules\.insert\(\*call, vec!\[(\w+)\(.*?\);\n"),
    Kind("rule", SECCOMP, r"(core\(1, 2\)\?, )|(names_the_init\(0\)\?)", within=r"SYS_prlimit64, vec!\[.*?\]\)"),
    Kind("rule", SECCOMP, r"^        \(libc::SYS_(\w+), [^\n]*\),\n", within=r"^fn accounting_rules.*?^}"),
    Kind("flush", SECCOMP, r"libc::(SYS_\w+)(?:, )?", within=r"let by_descriptor = \[.*?\];"),
    Kind("asked", ASKED, r"libc::(AF_\w+)(?:, )?", within=r"let families = \[[^\]]*\]\.map"),
    Kind("asked", ASKED, r"libc::(F_\w+)(?:, )?", within=r"let commands = \[.*?\];"),
    Kind("asked", ASKED, r"\(libc::(EPOLL_CTL_ADD) as u32, Answer::Ask\)", "(9, Answer::Ask)"),
    Kind("asked", ASKED, r"(new_watches|new_locks)\(\)(?:, )?", within=r"programs\.extend\(\[.*?\]\)"),
    Kind("asked", ASKED, r"(times\(Answer::Ask\)|new_watches\(\)|new_locks\(\))(?:, )?", within=r"let programs = \[.*?\];"),
    Kind("asked", ASKED, r"^    answers\.extend\((INOTIFY)[^\n]*\n"),
    Kind("asked", ASKED, r"^    programs\.push\((sockets)\(\)\);\n"),
    Kind("call", ASKED, r"^    (?:#\[cfg[^\n]*\n    )?(libc::SYS_\w+),\n", within=r"^const INOTIFY: &\[libc::c_long\] = &\[\n.*?^\];"),
    Kind("flush", SECCOMP, r"libc::(O_\w+)(?:, )?", within=r"let flags = \[libc::O_DSYNC.*?\]\.map", instead="libc::O_NOCTTY, "),
    Kind("unseen", SECCOMP, r"(44[456])(?:, )?", "9999, ", within=r"const LANDLOCK: .*?\];"),
    Kind("flush", SECCOMP, r"libc::(RWF_\w+)(?:, )?", within=r"let each = \[.*?\]"),
    Kind("rule", SECCOMP, r"\(libc::SYS_(\w+), (?:vec!\[\]|opening\(2\)\?)\)(?:, )?", within=r"^pub fn without_truncation.*?^}"),
    Kind("filter", LOCKS, r"vec!\[filters\.reduced\.clone\(\), filters\.(hidden_flags)\.clone\(\)\]", "vec![filters.reduced.clone()]", first=UNITS.only("locks")),
    Kind("by user", SECCOMP, r"\(libc::SYS_(\w+), (?:libc::PRIO_USER|3)\),? ?"),
    # Another one of the list in its place: the list's length is part of its type.
    Kind("namespace", SECCOMP, r"^    libc::(CLONE_NEWUSER),\n", "    libc::CLONE_NEWNS,\n"),
    Kind("namespace", SECCOMP, r"^    (?:libc::(CLONE_NEW(?!USER)\w+)|(0x80)),(?: //[^\n]*)?\n", "    libc::CLONE_NEWUSER,\n"),
    Kind("socket", SECCOMP, r"(?:rule\((odd|other)\)|of_type\(([\w:]+)\))\?(?:, )?", within=r"let refused = vec!\[.*?\];"),
    Kind("socket", SECCOMP, r"libc::(SOCK_\w+)(?:, )?", within=r"let kinds = \[.*?\];"),
    Kind("node", SECCOMP, r"libc::(S_IF(?:CHR|BLK))(?:, )?", within=r"^fn device_nodes.*?^}"),
    Kind("request", REQUESTS, r"^    0x[0-9a-f_]+, // (\w+)\n", within=r"^const FORBIDDEN: .*?^\];"),
    Kind("request", REQUESTS, r"errno\(libc::(ENOTTY)\)\)", "Answer::Allow)"),
    Kind("lease", SECCOMP, r"(libc::F_SETLEASE|F_SETDELEG)(?: as u64)?(?:, )?", within=r"let leases = \[.*?\];"),
    Kind("buffer", SECCOMP, r"libc::(SO_\w+)(?:,\s*)?", within=r"let buffers =\s+\[.*?\]"),
    Kind("request", SECCOMP, r"(libc::\w+|[A-Z]\w+)(?: as u64)?(?:, )?", within=r"(?<=any_of\(&\[)[^\]]*"),
    Kind("opening", SECCOMP, r"libc::(O_RDONLY|O_ACCMODE)(?:, )?", within=r"let unwritten = \[.*?\]"),
    Kind("guard", SECCOMP, r"^        op\(RETURN, 0, 0, libc::(SECCOMP_RET_(?:KILL|ERRNO)\w*)[^\n]*\),\n", "        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),\n"),
    Kind("guard", SECCOMP, r"(?<=^const )(UNKNOWN): u32 = \d+", "UNKNOWN: u32 = 0x4000_0000"),
    Kind("filter", SECCOMP, r"(?<=joined\(&)(architecture_check)\(\)", "[libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }]"),
    Kind("filter", SECCOMP, r"\.chain\((\w+)\)", within=r"let answers = forbidden[^;]*;"),
    Kind("filter", SECCOMP, r"(?<=let answers = )(forbidden)", "forbidden.take(0)"),
    Kind("filter", LOCKS, r"(?<=vec!\[)(filters\.reduced)\.clone\(\), ", first=UNITS.only("locks")),
    Kind("filter", LOCKS, r"^ +added\.(?:push|extend)\(([^\n]*)\);\n", first=UNITS.only("locks")),
    Kind("filter", LOCKS, r"\.chain\((&self\.added)\)", first=SEEN),
    Kind("filter", LOCKS, r"return install\((self\.added)\.iter\(\)\);", "return Ok(());", first=AS_USER),
    Kind("filter", LOCKS, r"^    install_asking\(\s*&filters\.(\w+)\[.*?\n(?=\})", "    Ok(None)\n", first=SEEN),
    Kind("filter", LOCKS, r"\[&self\.filters\.(every)\]\.into_iter\(\)\.chain\(&self\.added\)", "self.added.iter()", first=SEEN),
    Kind("filter", STEP, r"^ +locks\.(add_accounting_filters)\([^\n]*\);\n", first=AS_USER),
]

WALL_KINDS = [
    Kind("landlock", LANDLOCK, r"Scope::(AbstractUnixSocket) \| ", first=UNITS.only("landlock")),
    Kind("landlock", LANDLOCK, r" \| Scope::(Signal)", first=UNITS.only("landlock")),
    Kind("landlock", LANDLOCK, r" & !AccessFs::(IoctlDev)", first=UNITS.only("landlock")),
    Kind("landlock", LANDLOCK, r"let read = AccessFs::(from_read)", "let read = AccessFs::from_all", first=UNITS.only("landlock")),
    Kind("landlock", LANDLOCK, r"^        \.(handle_access)\([^\n]*\n", first=UNITS.only("landlock")),
    Kind("landlock", LANDLOCK, r"Ok\((rules)\.into\(\)\)", "Ok(Some(rules).filter(|_| false).and_then(Into::into))", first=UNITS.only("landlock")),
    Kind("landlock", LOCKS, r"^            sys::(restrict_files)\([^\n]*\n", first=HOSTILE.only("what the host keeps", "signals its parents")),
    Kind("mount flag", INIT, r"MountFlags::(NO\w+)", "MountFlags::empty()", first=SEEN),
    Kind("mount flag", TEMPLATE, r"(?<=[ (|])(MOUNT_ATTR_(?:RDONLY|NOSUID|NODEV|NOEXEC))(?=[ ;,)|])(?!\s*!= 0)", "0", first=SEEN),
    Kind("mount flag", TEMPLATE, r"MountFlags::(NO\w+)", "MountFlags::empty()", first=SEEN),
    Kind("mount flag", JAIL, r"^        rustix::mount::mount_change\(c\"/\", (private)\).*?;\n", first=of_engine("standings").only("mounts are shared")),
    Kind("mount size", INIT, r",(max)=16", first=SEEN),
    Kind("mount size", INIT, r",(nr_inodes)=\{inodes\}", first=HOSTILE.only("fills its file system", "as many empty files as fit")),
    # 0 means unlimited.
    Kind("mount size", INIT, r"(?<=nr_inodes=\{inodes\}\", )needs\.(work_bytes)", "0", first=HOSTILE.only("fills its file system")),
    Kind("mount size", TEMPLATE, r",(size|nr_inodes)=\w+", first=SEEN),
    Kind("own namespace", JAIL, r"^    \| libc::(CLONE_NEW\w+)", first=SEEN),
    Kind("own namespace", JAIL, r"= libc::(CLONE_NEWUSER)\n", "= 0\n", first=SEEN),
    Kind("own namespace", INIT, r"^        sys::unshare\(libc::(CLONE_NEWCGROUP)\)[^\n]*\n", first=SEEN),
    Kind("lock", LOCKS, r"^        (drop_bounding_set|drop_capabilities)\(\)\?;\n", first=of_engine("reduced").only("falls_back")),
    Kind("lock", LOCKS, r"^            (drop_capabilities)\(\)\?;\n", first=HOSTILE.only("games with prctl")),
    Kind("lock", LOCKS, r"^    (drop_bounding_set)\(\)\?;\n", first=SEEN),
    Kind("lock", LOCKS, r"^    sys::prctl\(libc::(PR_SET_NO_NEW_PRIVS)[^\n]*\n", first=SEEN),
    Kind("lock", INIT, r"^ +sys::(drop_bounding_set)\(\)[^\n]*\n", first=SEEN),
    Kind("lock", INIT, r"^ +sys::(set_ids)\([^\n]*\n", first=SEEN),
    Kind("lock", INIT, r"sys::prctl\(libc::(PR_SET_DUMPABLE), 0\)[^;]*;", first=HOSTILE.only("writes to its init's files")),
    Kind("lock", JAIL, r"^ +sys::(drop_groups)\(\);\n", first=SEEN),
    Kind("lock", STEP, r"^ +sys::(new_session)\(\);\n", first=SEEN),
    Kind("hidden", INIT, r"(LOCKS|\"/proc/[\w-]+\")(?:, )?", '"/proc/nothing", ', within=r"^const HIDDEN: .*?\];", first=SEEN),
    Kind("mount flag", INIT, r"^    sys::(mount_setattr)\(None, c\"/proc\"[^\n]*\n", "    Ok(())\n", first=SEEN),
    Kind("lock", STEP, r"^ +self\.oom_score\.iter\(\)\.for_each\(OomScore::(raise)\);\n", first=SEEN),
]

TIMES_64 = r"\g<0>.saturating_mul(64)"

LIMIT_KINDS = [
    Kind("limit", STEP, r"^        \(Resource::(\w+), [^\n]*\),[^\n]*\n", first=UNITS.only("step")),
    Kind("limit", STEP, r"\.chain\((time)\)", first=UNITS.only("step")),
    Kind("limit", STEP, r"^ +(set_rlimits)\(&account\.limits[^\n]*\n", first=SEEN),
    Kind("limit", STEP, r"^    sys::set_rlimit\(Resource::(Stack), .*?\)\n\}", "    let _ = stack;\n    Ok(())\n}", first=SEEN),
    Kind("limit", LOCKS, r"^ +sys::(no_core_file)\(\)[^\n]*\n", first=SEEN),
    Kind("limit", STEP, r"^ +sys::(no_core_file)\(\)[^\n]*\n", first=SEEN),
    Kind("limit", STEP, r"^            if now >= deadline \{\n +return \(Cause::(Wall), .*?\n            \}\n", first=ENDS.only("past_its_ttl")),
    Kind("limit", STEP, r"^            if let Some\(limit\) = self\.(watchdog)\(\)\.check\(\) \{\n.*?\n            \}\n", first=ENDS.only("too_much_processor_time")),
    Kind("limit", STEP, r"^ +Err\(libc::(SIGXCPU)\) if .*?\n +\}\n", first=HOSTILE.only("used up just before")),
    Kind("limit", STEP, r"^ +\(Cause::Exited \| Cause::Signaled, (Some\(limit\))\)[^\n]*\n", first=HOSTILE.only("memory at one stroke")),
    Kind("group limit", GROUPS, r'^ +self\.set\("\w*", "(memory\.[\w.]+)", memory_bytes\)\?;\n', first=UNITS.only("cgroup")),
    Kind("group limit", GROUPS, r"^ +(no_swap)\([^\n]*\)\?;\n", first=UNITS.only("cgroup")),
    Kind("group limit", GROUPS, r'self\.set\("\w*", "(pids\.max)", pids\)', "Ok(())", first=UNITS.only("cgroup")),
    Kind("limit", INIT, r'"(max_inotify_\w+)", "\d+"', r'"\1", "1000000"', first=REACH.only("machine")),
    Kind("limit", NETWORK, r'"(tcp_[rw]mem)", "[^"]*"', r'"\1", "4096 131072 37748736"', first=REACH.only("machine")),
    Kind("account", STEP, r"^ +account\.(entry)\.as_ref\(\)[^\n]*\n", first=OF_OPTIONS.only("compiler")),
    Kind("account", STEP, r"^ +self\.accounts\[1 - self\.current\]\.watchdog\.(leave_out)\(time\);\n", first=OF_OPTIONS.only("again_unprivileged")),
    Kind("watched", WATCH, r"self\.(memory_in_use)\(&infos\) > self\.memory_limit", "self.memory_in_use(&infos) == u64::MAX", first=AS_USER),
    Kind("watched", WATCH, r"^        if self\.(was_enforced)\(\) \{\n.*?\n        \}\n", first=HOSTILE.only("grandchildren")),
    Kind("watched", WATCH, r"if self\.shares_user && (self\.descriptor_usage\.descriptors\.pipes > PIPES_MAX)", "if false", first=HOSTILE.only("pipes")),
    Kind("watched", WATCH, r"if (self\.kernel\.shared_bytes\(\) > self\.memory_limit)", "if false", first=HOSTILE.only("shared memory that is not looked at")),
    Kind("watched", WATCH, r"if self\.(folder_is_full)\(\) \{\n.*?\n +\}\n", first=HOSTILE.only("fills its file system")),
    Kind("watched", WATCH, r"self\.cpu_is_used_up\(\)\.then_some\(Cause::(Cpu)\)", "None", first=ENDS.only("too_much_processor_time")),
    Kind("watched", WATCH, r"^ +(\w+) \+= info\.bytes\([^\n]*\n", first=HOSTILE.only("memory past its limit", "page tables", "memory shared")),
    Kind("watched", WATCH, r"self\.kernel\.(bytes)\([^\n]*\)\.saturating_add\(kernel\)", "{ let _ = &self.kernel; kernel }", first=AS_USER),
    Kind("watched", WATCH, r"self\.descriptors\.(sockets) \+= 1;", "", first=AS_USER),
    Kind("watched", WATCH, r"self\.descriptors\.(all|pipes) \+= 1;", "", first=HOSTILE.only("pipes", "descriptors without number")),
    Kind("kernel memory", KERNEL_MEMORY, r"^            \((.+?), ([A-Z_]+)\),\n", first=UNITS.only("kernel_memory")),
    Kind("kernel memory", KERNEL_MEMORY, r"if self\.in_jail \{ (system_v_bytes)\([^\n]*\) \} else \{ 0 \}", "0", first=HOSTILE.only("semaphores and messages")),
    Kind("kernel memory", KERNEL_MEMORY, r"held\.sockets\.max\((sockets)\(\)\)", "held.sockets", first=HOSTILE.only("on their way")),
    Kind("kernel memory", KERNEL_MEMORY, r"if (count > most) \{ u64::MAX \} else \{ count \}", "if most == 0 { u64::MAX } else { count }", first=UNITS.only("kernel_memory")),
    Kind("kernel memory", KERNEL_MEMORY, r"^        if (counts >= COUNTED_MAX) \{\n.*?\n        \}\n", first=UNITS.only("kernel_memory")),
    Kind("kernel memory", KERNEL_MEMORY, r" \+ (FORKED_MAPPING \* depth\(pid\))", "", first=UNITS.only("kernel_memory")),
    Kind("quota", QUOTA, r"(?<=Quota::)(\w+) => (\d[\d_]*)", r"\1 => 1_000_000_000", within=r"fn max\(self\).*?^    }", first=HOSTILE.only("of the host's user", "locks without")),
    Kind("quota", QUOTA, r"\(all / 16\)\.(clamp)\(1024, 65_536\)", "all", first=HOSTILE.only("watches of the host")),
    Kind("quota", QUOTA, r"(target\.starts_with\(\"socket:\"\)) && ", "false && ", first=UNITS.only("quota")),
    Kind("quota", QUOTA, r"\((before == sorted\(processes\(\)\))\)\.then_some", "(true).then_some", first=UNITS.only("quota")),
    Kind("times", NOTIFY, r"if (!fs::read_link\(&own\)\?\.starts_with\(tree\)) \{", "if false {", first=HOSTILE.only("touches what it is shown")),
    Kind("used again", NETWORK, r"if (has_no_local_socket)\(\) \{", "if true || has_no_local_socket() {", first=UNITS.only("network")),
    Kind("used again", SUPERVISOR, r"end == Ok\(init::(NETWORK_UNUSED)\)", "end.is_ok()", first=HOSTILE.only("multicast", "measured")),
    Kind("used again", NOTIFY, r"network: (network_is_used \|\| )", "network: ", first=UNITS.only("notify")),
    Kind("end by memory", SUPERVISOR, r"end\.is_err\(\) && jail\.(was_out_of_memory)\(\)", "false", first=ENDS.only("init")),
    Kind("watched", WATCH, r"(files|segments)(?=[ )])", "0", within=r"let shared = .*?;", first=HOSTILE.only("memory that no process maps", "shared memory segments", "files in memory")),
    Kind("watched", WATCH, r" \+ held\.(nameless)", first=REACH.only("files_without_a_name_count")),
    Kind("watched", WATCH, r" \|\| content\.(files) > files", first=HOSTILE.only("as many empty files as fit")),
    Kind("watched", WATCH, r"content\.(bytes) \+ held\.nameless > bytes \|\| ", first=HOSTILE.only("fills its file system")),
    Kind("watched", WATCH, r"^ +let _ = sys::(kill)\(info\.pid, libc::SIGKILL\);\n", first=AS_USER),
    Kind("watched", JAILER / "proc.rs", r"Err\(Some\(libc::(ENOENT \| libc::ESRCH)\)\)", "Err(Some(_))", first=UNITS.only("descriptors_that_cannot")),
    Kind("watched", SUPERVISOR, r"match proc::(hides_processes)\([^\n]*\) \{", "match false {", first=of_engine("standings").only("hides processes")),
    Kind("filter", STEP, r"add_accounting_filters\((!accounts\[PROGRAM\]\.watchdog\.has_group\(\))\)", "add_accounting_filters(false)", first=AS_USER),
    Kind("watched", STEP, r"(has_started\(\)) \|\| ", "has_started() && false || ", first=UNITS.only("step")),
    Kind("watched", STEP, r" \|\| (Instant::now\(\) >= end)", "", first=UNITS.only("step")),
    Kind("watched", STEP, r"let _ = sys::kill\(child, libc::(SIGSTOP)\);", "", first=UNITS.only("step")),
    Kind("watched", STEP, r"break libc::(SIGKILL);", "break libc::SIGCONT;", first=UNITS.only("step")),
    Kind("watched", WATCH, r"\.max\(self\.cpu_times\.(total)\(\)\)", first=AS_USER),
    Kind("kept", STEP, r"^ +(system_v::remove_all)\(\);\n", first=KEPT),
    Kind("kept", STEP, r"(if is_kept \{ 0 \} else \{ MB \})", "MB", first=UNITS.only("step")),
    Kind("kept", SERVE, r"^ +if let Err\(error\) = self\.tree\.(enter_work)\(\) \{\n.*?\n        \}\n", first=KEPT),
    Kind("kept", SERVE, r"if (stepper\.cpu_is_used_up\(\)) \{", "if false {", first=KEPT),
    Kind("kept", WATCH, r"^        self\.(next_scan) = Instant::now\(\);\n", first=UNITS.only("watch")),
    Kind("artifacts", COLLECT, r"^        if (self\.count_left == 0|found\.len\(\) > self\.bytes_left) \{\n.*?\n        \}\n", first=HOSTILE.only("artifacts")),
    Kind("artifacts", WALK, r"self\.place\.(len)\(\) > DEPTH_MAX", "false", first=HOSTILE.only("artifacts")),
    Kind("artifacts", WALK, r"if entries\.len\(\) (==) most", "if entries.len() == usize::MAX", first=HOSTILE.only("artifacts")),
    Kind("artifacts", COLLECT, r"if self\.(reported == REPORTED_MAX) \{\n.*?\n        \}\n", first=HOSTILE.only("artifacts")),
    Kind("output", RUN, r"bytes\.len\(\)\.(min)\(room\)", "bytes.len()", first=ENDS.only("writes_too_much")),
    Kind("output", RUN, r"^            self\.handle\.(stop)\(true\);\n", first=ENDS.only("writes_too_much")),
    Kind("asked for", PLAN, r'(?<=^        )(\w+): of\("\w+"\)', TIMES_64, first=ENGINE_UNITS),
    Kind("asked for", PLAN, r"(?<=^            )(\w+): limits\.\w+", TIMES_64, first=ENGINE_UNITS),
    Kind("asked for", PLAN, r"argv, wall_ms: (run_ms)\(request\) \}\);", "argv, wall_ms: run_ms(request).saturating_mul(64) });", first=ENDS.only("past_its_ttl")),
    Kind("asked for", PLAN, r"let (output_bytes) = limit\([^;]*", TIMES_64, first=ENGINE_UNITS),
    Kind("asked for", PLAN, r"let (compile_ms) = [^;]*", TIMES_64, first=ENGINE_UNITS),
    Kind("asked for", PLAN, r"(artifacts_max_\w+): limits::[^,\n]*", r"\1: u64::MAX", first=ENGINE_UNITS),
]

CAP_KINDS = [
    Kind("cap", OPTIONS, r"check: \|request\| (\w+)\([^\n]*,\n", "check: |_| Ok(()),\n", first=PROTOCOL_UNITS),
    Kind("cap", VALIDATE, r"^ +(check_(?:code|limits)\([^\n]*)\?;\n", first=PROTOCOL_UNITS),
    Kind("cap", RULES, r"^ +((?:at_most|check_\w+)\([^\n]*)\?;\n", first=PROTOCOL_UNITS),
    Kind("cap", RULES, r"^    (at_most\([^\n]*\))\n", "    Ok(())\n", first=PROTOCOL_UNITS),
    Kind("cap", RULES, r"(?<=if )(files\.len\(\) > [\w:]+|len > max|total > max|count > max|!seen\.insert[^{]*)(?= \{)", r"false && \1", first=PROTOCOL_UNITS),
    Kind("cap", RULES, r"(?<=if )((?:chars|name)\b[^{]*)(?= \{)", "false", first=PROTOCOL_UNITS, within=r"^fn check_file_name.*?^}"),
    Kind("cap", RULES, r"\b(TTL_MIN_SECONDS)\.\.", "i64::MIN..", first=PROTOCOL_UNITS),
    Kind("cap", RULES, r"\.\.=(TTL_MAX_SECONDS)", "..=i64::MAX", first=PROTOCOL_UNITS),
    Kind("cap", LIMITS, r"\.\.=(\w[^;]*);", "..=u64::MAX;", first=PROTOCOL_UNITS, within=r"^limits! \{.*?^\}"),
    Kind("cap", LIMITS, r", (?!0\.\.)(\w[^;,]*)\.\.=", ", 0..=", first=PROTOCOL_UNITS, within=r"^limits! \{.*?^\}"),
    Kind("address", ADDRESS, r"^    \((Ipv[46]Addr::[^\n]*), \"[^\n]*\"\),\n", first=PROTOCOL_UNITS.only("address")),
]

CONNECTIONS, BUDGET, PACE = SERVER / "connections.rs", SERVER / "budget.rs", SERVER / "pace.rs"
PARTY, ADMISSION, ROUTES, KEY_FILE = SERVER / "party.rs", SERVER / "admission.rs", SERVER / "routes.rs", CLIENT / "key_file.rs"
KEY_MOUNTS = Check("keys files on mounts", ("-p", "unsandbox-cli", "--test", "serve"), ("read_only",))
FILENAME, KEY_FILES = PROTOCOL / "filename.rs", CLIENT_UNITS.only("key_file")

SERVER_KINDS = [
    Kind("share", PROTOCOL / "share.rs", r"(mine) <= free\.saturating_mul\(3\)", "mine < u64::MAX && free < u64::MAX", first=PROTOCOL_UNITS),
    Kind("share", CONNECTIONS, r"left < places / (NEVER_RUNS) \|\| ", first=SERVER_UNITS),
    Kind("share", CONNECTIONS, r"if (party\.is_verified\(\)) \{ members\.total \} else \{ self\.unverified \}", "members.total", first=SERVER_UNITS),
    Kind("share", BUDGET, r"if (party\.is_verified\(\)) \{ bytes \} else \{ unverified \}", "bytes", first=SERVER_UNITS),
    Kind("share", BUDGET, r"rank\(party, (self\.held)\(party\) \+ more\)", "rank(party, more)", first=SERVER_UNITS),
    Kind("share", ROUTES, r"if listed \{ None \} else \{ Some\(exchange\.(start_run)[^\n]*", "None::<()>;", first=FLOODS.only("waiting_runs")),
    Kind("party", ADMISSION, r"^    exchange\.(count_for)\(party\);\n", first=FLOODS),
    Kind("party", SERVER / "keys.rs", r"Some\(_\) => Party::(Peer)\(peer, Some\(owner\)\)", "Some(_) => { let _ = peer; Party::Key(owner) }", first=SERVER_UNITS),
    Kind("gives way", CONNECTIONS, r"^ +self\.(evict_one)\(\);\n", first=FLOODS),
    Kind("gives way", BUDGET, r"^ +connection\.(evict)\(\);\n", first=SERVER_UNITS),
    Kind("pace", PACE, r"\.min\(self\.begun \+ pause \+ (earned)\)", first=SERVER_UNITS),
    Kind("pace", PACE, r"(deadline)\.map_or\(end, .*?\)\)$", "{ let _ = deadline; end }", first=SERVER_UNITS),
    Kind("keys file", KEY_FILE, r"self\.(by_owner)\(\)\.or_else", "None.or_else", first=KEY_FILES),
    Kind("keys file", KEY_FILE, r"\.or_else\(\|\| self\.(by_mode|by_directory)\(\)\)", first=KEY_FILES),
    Kind("keys file", KEY_FILE, r"\b(0o0(?:60|06|20|02)\b)", "0", within=r"self\.file\.who\(.*?\)|around\.who\(.*?\)", first=KEY_FILES),
    Kind("keys file", KEY_FILE, r" \| (0o022)", first=KEY_FILES),
    Kind("keys file", KEY_FILE, r"if (!self\.trusts)\(owner\) \{", "if false {", within=r"fn by_directory.*?^    }", first=KEY_FILES),
    Kind("keys file", KEY_FILE, r"\.filter\((is_read)\)", ".filter(|it| is_read(it) || true)", first=KEY_FILES),
    Kind("keys file", KEY_FILE, r"if ([^\n{]*f_type == TMPFS) \{", "if true {", first=KEY_MOUNTS),
    Kind("saved name", FILENAME, r"^            '\.' \| '-' .*? => (name\.is_empty\(\)),", "            '.' => false,", first=PROTOCOL_UNITS),
    Kind("saved name", FILENAME, r"=> (chars\.peek)\(\)[^\n]*,", "=> false,", first=PROTOCOL_UNITS),
    Kind("saved name", FILENAME, r"c => (is_obeyed)\(c\)", "c => c.is_control()", first=PROTOCOL_UNITS),
]

STORE_KINDS = [
    Kind("on disk", STORE / "database.rs", r'"(synchronous)", "FULL"', '"synchronous", "NORMAL"', first=STORED.only("loss_of_power")),
    Kind("once", STORE / "rows.rs", r"(attempts = attempts \+ 1) WHERE seq = \?1 AND status = 'pending'", r"\1 WHERE seq = ?1", first=STORED),
    Kind("once", STORE / "rows.rs", r"WHERE seq = \?1 AND (process IS \?7) AND ended_ms IS NULL", "WHERE seq = ?1 AND ended_ms IS NULL AND ?7 IS ?7", first=STORED),
    Kind("once", STORE / "recovery.rs", r"if (rerun == Rerun::IfLost) && attempts", "if attempts", first=STORED),
    Kind("key", STORE / "keys.rs", r"(generation >= whole_from)\(db, owner\)\?", "generation >= whole_from(db, owner)?.min(0)", first=STORED.only("generation")),
    Kind("key", STORE / "keys.rs", r"if (fingerprint == key\.fingerprint) =>", "if fingerprint.len() == 32 =>", first=STORED.only("a_key_has")),
    Kind("owner", STORE / "stored.rs", r"\.filter\(\|found\| (found\.owner == context\.owner)\)", first=STORED.only("restart_as_before")),
    Kind("share", STORE / "live.rs", r"is_some_and\(\|free\| (within_share)\(share\.bytes, free\)\)", "is_some_and(|_| true)", first=Check("store's units", ("-p", "unsandbox-store", "--lib"))),
]

KINDS = FILTER_KINDS + WALL_KINDS + LIMIT_KINDS + CAP_KINDS + SERVER_KINDS + STORE_KINDS


@dataclass(frozen=True)
class Mutant:
    name: str
    file: Path
    #: What the file is, and what it is without the rule: as it was when this began.
    whole: str
    without: str
    first: Check


def places(kind: Kind, text: str) -> list[re.Match[str]]:
    """Where the rules of a kind stand in a file, its tests and imports left out."""
    flags = re.MULTILINE | re.DOTALL
    tests = text.find("#[cfg(test)]")
    end = len(text) if tests < 0 else tests
    areas = [it.span() for it in re.finditer(kind.within, text, flags)] if kind.within else [(0, end)]
    pattern = re.compile(kind.pattern, flags)
    found = [it for start, stop in areas for it in pattern.finditer(text, start, min(stop, end))]
    return [it for it in found if not text[text.rfind("\n", 0, it.start()) + 1 :].startswith("use ")]


def mutants(root: Path) -> Iterator[Mutant]:
    """Every place of every kind, with a name that tells equal ones apart."""
    taken: dict[str, int] = {}
    for kind in KINDS:
        text = (root / kind.file).read_text()
        found = places(kind, text)
        if not found:
            raise SystemExit(f"nothing in {kind.file} is a {kind.name}: {kind.pattern}")
        for place in found:
            what = next(group for group in place.groups() if group).strip(" |+,").removeprefix("libc::")
            name = f"{kind.name} {what} in {kind.file.name}"
            taken[name] = taken.get(name, 0) + 1
            if taken[name] > 1:
                name += f" ({taken[name]})"
            without = text[: place.start()] + place.expand(kind.instead) + text[place.end() :]
            yield Mutant(name, kind.file, text, without, kind.first)

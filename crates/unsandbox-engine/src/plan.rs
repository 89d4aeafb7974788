// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns a request into what a jail's init is to do: files, steps, environment, limits.

use crate::egress;
use crate::runtimes::Runtime;
use std::io;
use unsandbox_jailer::codec::Blob;
use unsandbox_jailer::message::{Needs, PlacedFile, Plan, RunLimits, Step, StepKind, Wanted};
use unsandbox_protocol::language::Language;
use unsandbox_protocol::limits::{self, LIMIT_TABLE, Limits};
use unsandbox_protocol::validate::{Valid, file_names};
use unsandbox_protocol::{Error, NetworkMode, Request};

/// The writable tree of a jail with namespaces, and how recipes name it in every jail.
pub const TMP: &str = "/tmp";
/// In the writable tree: where a compiled program lies, so that no input file is in its way.
const OUT: &str = "build/main";
const WORK: &str = "input";

/// The environment that every program starts with; a recipe and the request add to it.
const STANDARD_ENV: &[(&str, &str)] = &[
    ("HOME", "/tmp/home"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "sandbox"),
    ("SHELL", "/bin/sh"),
    ("TMPDIR", "/tmp"),
    ("USER", "sandbox"),
];
const STANDARD_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A request, ready to be handed to a jail.
#[derive(Debug)]
pub struct Prepared {
    pub plan: Plan,
    pub needs: Needs,
    pub output_bytes: u64,
    /// Wall time of all steps together.
    pub wall_ms: u64,
    /// What could not be done, told beside the ordinary result.
    pub notes: Vec<String>,
}

/// The field called `name`, or its default, in the unit of its name; 0 for no limit.
fn limit(limits: &Limits, language: &Language, name: &str) -> u64 {
    let row = LIMIT_TABLE.iter().find(|row| row.name == name);
    limits.get(name).or(row.and_then(|row| language.default_limit(row))).unwrap_or(0)
}

pub fn prepare(
    request: &Request,
    valid: &Valid,
    runtime: &Runtime,
    tmp: &str,
) -> Result<Prepared, Error> {
    let language = valid.language;
    let names = file_names(&request.input_files)?;
    let source = source_name(language.source, &names);
    let mut files: Vec<PlacedFile> = names
        .into_iter()
        .zip(&request.input_files)
        .map(|(name, file)| PlacedFile { name, content: Blob(file.content.clone()) })
        .collect();
    let code = Blob(language.source_text(&request.code).into_owned().into_bytes());
    files.push(PlacedFile { name: source.clone(), content: code });

    let run_limits = run_limits(request, language);
    let memory_mb = run_limits.memory_bytes >> 20;
    let words = Words { source: &source, runtime, args: &request.args, memory_mb, tmp };
    let mut notes = Vec::new();
    let steps = steps(request, language, &words, &mut notes);
    let listen = match valid.network_mode {
        NetworkMode::Semitrusted => egress::PORTS.to_vec(),
        NetworkMode::Zerotrust => Vec::new(),
    };
    let needs = Needs {
        show: runtime.show.clone(),
        memory_bytes: run_limits.memory_bytes,
        processes: run_limits.processes,
        work_bytes: run_limits.work_bytes,
        work_files: run_limits.work_files,
        listen,
    };
    let wall_ms = steps.iter().map(|step| step.wall_ms).sum();
    let plan = Plan {
        tmp: tmp.to_string(),
        files,
        steps,
        env: environment(request, valid.network_mode, runtime, tmp),
        limits: run_limits,
        collect: wanted(request, language, &words, &mut notes),
        artifacts_max_count: limits::ARTIFACTS_MAX_COUNT as u64,
        artifacts_max_bytes: limits::ARTIFACTS_MAX_BYTES,
    };
    let output_bytes = limit(&request.limits, language, "output_bytes");
    Ok(Prepared { plan, needs, output_bytes, wall_ms, notes })
}

impl Prepared {
    /// A run that has waited for a jailer that ended goes to the next: its folder is then below `base`.
    pub fn follow(&mut self, base: &str) -> io::Result<()> {
        let plan = &mut self.plan;
        let own = match plan.tmp.rsplit_once('/') {
            Some((own, _)) if plan.tmp != TMP => own.to_string(),
            _ => String::new(),
        };
        if own == base {
            return Ok(());
        }
        if own.is_empty() || base.is_empty() {
            return Err(io::Error::other("isolation has become another level while it waited"));
        }
        let words = plan.steps.iter_mut().flat_map(|step| &mut step.argv);
        let words = words.chain(&mut plan.env).chain(plan.collect.iter_mut().map(|w| &mut w.name));
        for word in words.chain([&mut plan.tmp]) {
            *word = word.replace(&own, base);
        }
        Ok(())
    }
}

/// Makes of a plan one that only asks the runtime for its version.
pub fn only_version(prepared: &mut Prepared, runtime: &Runtime, seconds: i64) {
    let memory_mb = prepared.plan.limits.memory_bytes >> 20;
    let tmp = prepared.plan.tmp.clone();
    let words = Words { source: "", runtime, args: &[], memory_mb, tmp: &tmp };
    let argv = words.command(runtime.recipe.version);
    let wall_ms = seconds.unsigned_abs() * 1000;
    prepared.plan.steps = vec![Step { kind: StepKind::Run, argv, wall_ms }];
    prepared.wall_ms = wall_ms;
}

/// The recipe's name for the source, or one beside it that no input file has.
fn source_name(name: &str, taken: &[String]) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let free = |candidate: &String| !taken.contains(candidate);
    let numbered = (1..).map(|number| format!("{stem}_{number}.{extension}"));
    std::iter::once(name.to_string())
        .chain(numbered)
        .find(free)
        .expect("there are more numbers than input files")
}

/// Fills the placeholders of a recipe's commands.
struct Words<'a> {
    source: &'a str,
    runtime: &'a Runtime,
    args: &'a [String],
    memory_mb: u64,
    tmp: &'a str,
}

impl Words<'_> {
    fn command(&self, template: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        for word in template {
            if *word == "{args}" {
                words.extend(self.args.iter().cloned());
            } else {
                words.push(self.word(word));
            }
        }
        words
    }

    fn word(&self, template: &str) -> String {
        let stem = self.source.rsplit_once('.').map_or(self.source, |(stem, _)| stem);
        let memory = self.memory_mb.to_string();
        let fixed = [
            ("source", self.source),
            ("stem", stem),
            ("out", &format!("{}/{OUT}", self.tmp)),
            ("work", &format!("{}/{WORK}", self.tmp)),
            ("memory", &memory),
        ];
        let mut word = in_tree(template, self.tmp);
        for (name, value) in fixed {
            word = word.replace(&format!("{{{name}}}"), value);
        }
        for (name, path) in &self.runtime.programs {
            word = word.replace(&format!("{{{name}}}"), &path.to_string_lossy());
        }
        word
    }
}

/// A recipe's word with the writable tree of this jail in the place of `/tmp`.
fn in_tree(word: &str, tmp: &str) -> String {
    if tmp == TMP { word.to_string() } else { word.replace(TMP, tmp) }
}

fn steps(
    request: &Request,
    language: &Language,
    words: &Words<'_>,
    notes: &mut Vec<String>,
) -> Vec<Step> {
    let recipe = words.runtime.recipe;
    let compile_ms = u64::try_from(language.compile_time().as_millis()).unwrap_or(u64::MAX);
    let mut steps = Vec::new();
    if !recipe.compile.is_empty() {
        let argv = words.command(recipe.compile);
        steps.push(Step { kind: StepKind::Compile, argv, wall_ms: compile_ms });
    }
    if request.return_artifact && !recipe.pack.is_empty() {
        let argv = words.command(recipe.pack);
        steps.push(Step { kind: StepKind::Pack, argv, wall_ms: compile_ms });
    }
    if request.return_wasm_artifact {
        if recipe.wasm.is_empty() {
            let name = language.name;
            notes.push(format!("no WebAssembly: the {name} toolchain here cannot make it"));
        } else {
            let argv = words.command(recipe.wasm);
            steps.push(Step { kind: StepKind::Wasm, argv, wall_ms: compile_ms });
        }
    }
    let wall_ms = request.ttl_seconds().max(0) as u64 * 1000;
    steps.push(Step { kind: StepKind::Run, argv: words.command(recipe.run), wall_ms });
    steps
}

fn wanted(
    request: &Request,
    language: &Language,
    words: &Words<'_>,
    notes: &mut Vec<String>,
) -> Vec<Wanted> {
    let recipe = words.runtime.recipe;
    let mut wanted = Vec::new();
    if request.return_artifact {
        if recipe.artifact.is_empty() {
            notes.push(format!("no artifact: {} is not compiled", language.name));
        }
        for name in recipe.artifact {
            wanted.push(Wanted { name: words.word(name), kind: "binary".to_string() });
        }
    }
    if request.return_wasm_artifact && !recipe.wasm.is_empty() {
        wanted.push(Wanted { name: words.word("{out}.wasm"), kind: "wasm".to_string() });
    }
    wanted
}

fn run_limits(request: &Request, language: &Language) -> RunLimits {
    let of = |name| limit(&request.limits, language, name);
    RunLimits {
        memory_bytes: of("memory_bytes"),
        cpu_time_ms: of("cpu_time_ms"),
        processes: of("processes"),
        open_files: of("open_files"),
        file_size_bytes: of("file_size_bytes"),
        work_bytes: of("work_bytes"),
        work_files: of("work_files"),
    }
}

/// `NAME=value` pairs: the standard ones, then the recipe's, then the request's; the last one wins.
fn environment(
    request: &Request,
    network_mode: NetworkMode,
    runtime: &Runtime,
    tmp: &str,
) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for (_, program) in &runtime.programs {
        let folder = program.parent().map(|folder| folder.to_string_lossy().into_owned());
        path.extend(folder.filter(|folder| !STANDARD_PATH.split(':').any(|known| known == folder)));
    }
    path.dedup();
    path.push(STANDARD_PATH.to_string());
    let mut pairs: Vec<(String, String)> = vec![("PATH".to_string(), path.join(":"))];
    let owned = |(name, value): &(&str, &str)| (name.to_string(), in_tree(value, tmp));
    let added = STANDARD_ENV.iter().chain(runtime.recipe.env).map(owned);
    let proxies = match network_mode {
        NetworkMode::Semitrusted => egress::variables(),
        NetworkMode::Zerotrust => Vec::new(),
    };
    for (name, value) in added.chain(proxies).chain(request.env.iter().cloned()) {
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value));
    }
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(show: Vec<String>, of: impl Fn(&str) -> u64) -> Needs {
        Needs {
            show,
            memory_bytes: of("memory_bytes"),
            processes: of("processes"),
            work_bytes: of("work_bytes"),
            work_files: of("work_files"),
            listen: Vec::new(),
        }
    }

    #[test]
    fn the_first_jail_is_made_for_the_default_limits() {
        let bash = unsandbox_protocol::language::find_language("bash").unwrap();
        let of = |name: &str| limit(&Limits::default(), bash, name);
        assert_eq!(Needs::USUAL, needs(Vec::new(), of));
    }

    #[test]
    fn what_a_request_asks_for_reaches_its_jail_and_its_steps() {
        let mut asked = Limits::default();
        for (number, row) in LIMIT_TABLE.iter().enumerate() {
            assert!(asked.set(row.name, row.min + number as u64), "{}", row.name);
        }
        let request = Request::new("c", "").ttl(7).limits(asked);
        let valid = request.validate().unwrap();
        let recipe = &valid.language.recipes[0];
        let runtime = Runtime { recipe, programs: Vec::new(), show: vec!["/opt/c".to_string()] };
        let prepared = prepare(&request, &valid, &runtime, TMP).unwrap();
        let of = |name: &str| asked.get(name).unwrap();
        let wanted = RunLimits {
            memory_bytes: of("memory_bytes"),
            cpu_time_ms: of("cpu_time_ms"),
            processes: of("processes"),
            open_files: of("open_files"),
            file_size_bytes: of("file_size_bytes"),
            work_bytes: of("work_bytes"),
            work_files: of("work_files"),
        };
        assert_eq!(prepared.plan.limits, wanted);
        let needs = needs(vec!["/opt/c".to_string()], of);
        assert_eq!(prepared.needs, needs);
        assert_eq!(prepared.output_bytes, of("output_bytes"));
        let times: Vec<u64> = prepared.plan.steps.iter().map(|step| step.wall_ms).collect();
        assert_eq!(times, [limits::COMPILE_TIME.as_millis() as u64, 7_000]);
        let Plan { artifacts_max_count, artifacts_max_bytes, .. } = prepared.plan;
        let most = (limits::ARTIFACTS_MAX_COUNT as u64, limits::ARTIFACTS_MAX_BYTES);
        assert_eq!((artifacts_max_count, artifacts_max_bytes), most);
    }

    #[test]
    fn a_plan_follows_to_another_folder() {
        let step = Step { kind: StepKind::Run, argv: vec!["/a/1/7/x".into()], wall_ms: 1 };
        let plan = Plan {
            tmp: "/a/1/7".into(),
            env: vec!["HOME=/a/1/7/home".into()],
            steps: vec![step],
            ..Plan::default()
        };
        let (needs, notes) = (Needs::USUAL, Vec::new());
        let mut prepared = Prepared { plan, needs, output_bytes: 1, wall_ms: 1, notes };
        prepared.follow("/a/2").unwrap();
        let plan = &prepared.plan;
        assert_eq!((&*plan.tmp, &*plan.env[0]), ("/a/2/7", "HOME=/a/2/7/home"));
        assert_eq!(plan.steps[0].argv, ["/a/2/7/x"]);
        assert!(prepared.follow("").is_err());
    }

    #[test]
    fn the_source_takes_a_name_that_no_input_file_has() {
        assert_eq!(source_name("main.py", &[]), "main.py");
        let taken = ["main.py".to_string(), "main_1.py".to_string()];
        assert_eq!(source_name("main.py", &taken), "main_2.py");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns a request into the plan for a jail's init: files, steps, environment, limits.

use crate::egress;
use crate::programs::live;
use crate::programs::runtimes::Runtime;
use crate::programs::temporary;
use std::path::Path;
use unsandbox_jailer::commands::{PlacedFile, Plan, RunLimits, Step, StepKind, Then, Wanted};
use unsandbox_jailer::message::Needs;
use unsandbox_protocol::language::{Language, Recipe};
use unsandbox_protocol::limits::{self, LIMIT_TABLE, Limits};
use unsandbox_protocol::rules::file_paths;
use unsandbox_protocol::structure::{Layout, Upload, layout};
use unsandbox_protocol::{Error, NetworkMode, Request, ValidRequest};

/// The writable tree of a jail with namespaces. Recipes use this name for it in every jail.
pub const TMP: &str = "/tmp";
/// The folder in the writable tree for what is built, apart from the user's files.
const BUILD: &str = "build";
/// The compiled program.
const OUT: &str = "build/main";
const WORK: &str = "input";

/// The environment of every program; a recipe and the request add to it.
const STANDARD_ENV: &[(&str, &str)] = &[
    ("HOME", "/tmp/home"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "sandbox"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("TMPDIR", "/tmp"),
    ("TZ", "UTC"),
    ("USER", "sandbox"),
];
/// Variables from which runtimes and libraries take their number of threads.
const CPU_VARIABLES: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "PYTHON_CPU_COUNT",
];
/// Package managers try again for minutes, whatever the error is; without a network none succeeds.
const OFFLINE_VARIABLES: [(&str, &str); 3] =
    [("CARGO_NET_RETRY", "0"), ("PIP_RETRIES", "0"), ("npm_config_fetch_retries", "0")];
const STANDARD_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A request that waits for its jail. [`Prepared::bind`] adds the parts that depend on the jail.
#[derive(Debug)]
pub struct Prepared {
    /// Without code and files.
    request: Request,
    network_mode: NetworkMode,
    language: &'static Language,
    runtime: Runtime,
    program: Program,
    files: Files,
    /// Whether only the runtime is asked for its version.
    only_version: bool,
    pub needs: Needs,
    pub limits: RunLimits,
    compile_limits: RunLimits,
    pub output_bytes: u64,
    /// Parts of the request without effect, reported with the result.
    pub notes: Vec<String>,
}

/// Paths below the writable tree and contents of the files that are placed.
type Files = Vec<(String, Vec<u8>)>;

/// What the text of the program says about its commands.
#[derive(Debug)]
struct Program {
    /// The name of the source in the work directory.
    source: String,
    /// The uploaded files that are compiled with it.
    sources: Vec<String>,
    entry: String,
    form: &'static str,
}

/// The field called `name`, or its default, in the unit of its name; 0 for no limit.
fn limit(limits: &Limits, language: &Language, name: &str) -> u64 {
    let row = LIMIT_TABLE.iter().find(|row| row.name == name);
    limits.get(name).or(row.and_then(|row| language.default_limit(row))).unwrap_or(0)
}

impl Prepared {
    pub fn new(
        request: ValidRequest<'_>,
        language: &'static Language,
        runtime: Runtime,
    ) -> Result<Prepared, Error> {
        let network_mode = request.network_mode();
        let mut request = request.into_request().into_owned();
        let (program, files) = placed(&mut request, language, &runtime)?;
        request.stdin = None; // its descriptor is made already
        let limits = run_limits(&request, language);
        let compile_limits = compile_limits(&limits);
        let compiles = compiles(runtime.recipe);
        let listen = match network_mode {
            NetworkMode::Semitrusted => egress::PORTS.to_vec(),
            NetworkMode::Zerotrust => Vec::new(),
        };
        let needs = Needs {
            show: runtime.show.clone(),
            memory_bytes: limits.memory_bytes,
            cpus: limit(&request.limits, language, "cpus"),
            processes: limits.processes,
            compile_memory_bytes: if compiles { compile_limits.memory_bytes } else { 0 },
            compile_processes: if compiles { compile_limits.processes } else { 0 },
            work_bytes: limits.work_bytes,
            work_files: limits.work_files,
            listen,
        };
        let output_bytes = limit(&request.limits, language, "output_bytes");
        let notes = notes(&request, language, &runtime);
        Ok(Prepared {
            request,
            network_mode,
            language,
            runtime,
            program,
            files,
            only_version: false,
            needs,
            limits,
            compile_limits,
            output_bytes,
            notes,
        })
    }

    /// The interpreter or compiler that runs it.
    pub fn main_program(&self) -> Option<String> {
        self.runtime.main_program().map(|path| path.to_string_lossy().into_owned())
    }

    /// Asks a runtime for its version.
    pub fn version(
        language: &'static Language,
        runtime: Runtime,
        seconds: i64,
    ) -> Result<Prepared, Error> {
        let request = Request::new(language.name, "").ttl(seconds);
        let prepared = Prepared::new(request.validate()?, language, runtime)?;
        Ok(Prepared { only_version: true, ..prepared })
    }

    /// The plan for a jail whose writable tree is `tree`.
    pub fn bind(&self, tree: &str) -> Plan {
        let Prepared { request, language, runtime, program, .. } = self;
        let placed = |(name, content): &(String, Vec<u8>)| PlacedFile {
            name: name.clone(),
            len: content.len() as u64,
        };
        let memory_mb = self.limits.memory_bytes >> 20;
        let words = Words { program, runtime, request, memory_mb, tmp: tree };
        let build_words = Words { memory_mb: self.compile_limits.memory_bytes >> 20, ..words };
        let (steps, collect) = if self.only_version {
            let argv = words.command(runtime.recipe.version);
            (vec![Step { kind: StepKind::Run, argv, wall_ms: run_ms(request) }], Vec::new())
        } else {
            (steps(request, language, &words, &build_words), wanted(request, &words))
        };
        Plan {
            tmp: tree.to_string(),
            steps,
            env: environment(request, self.network_mode, &words),
            build_env: build_environment(request, &build_words),
            limits: self.limits,
            compile_limits: self.compile_limits,
            gathered: live::gathered(runtime.recipe.live).to_string(),
            collect,
            outputs: request.outputs.clone(),
            artifacts_max_count: limits::ARTIFACTS_MAX_COUNT as u64,
            artifacts_max_bytes: limits::ARTIFACTS_MAX_BYTES,
            files: self.files.iter().map(placed).collect(),
            then: Then::End,
        }
    }

    /// The contents of the files, which follow the plan in its memfd.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(|(_, content)| content.as_slice())
    }
}

/// The parts of the request that have no effect on this machine.
fn notes(request: &Request, language: &Language, runtime: &Runtime) -> Vec<String> {
    let (name, recipe) = (language.name, runtime.recipe);
    let mut notes = Vec::new();
    if request.return_wasm_artifact && recipe.wasm.is_empty() {
        notes.push(format!(
            "return_wasm_artifact has no effect: the installed {name} toolchain does not compile to WebAssembly"
        ));
    }
    if request.return_artifact && recipe.artifact.is_empty() {
        notes.push(format!("return_artifact has no effect: {name} has no compile step"));
    }
    notes
}

fn run_ms(request: &Request) -> u64 {
    request.ttl_seconds().max(0) as u64 * 1000
}

/// Takes code and files out of a request, and lays them out below the writable tree.
fn placed(
    request: &mut Request,
    language: &'static Language,
    runtime: &Runtime,
) -> Result<(Program, Files), Error> {
    let paths = file_paths(request)?;
    let flat = std::mem::take(&mut request.input_files);
    let contents = flat.into_iter().chain(std::mem::take(&mut request.files));
    let contents = contents.map(|file| file.content);
    let uploaded: Vec<(String, Vec<u8>)> = paths.into_iter().zip(contents).collect();
    let code = std::mem::take(&mut request.code);
    let layout = layout(language, runtime.recipe, Upload { code: &code, files: &uploaded });
    let Layout { source, text, sources, entry, form, replaces, beside } = layout;
    let text = text.into_owned().into_bytes();
    let program = Program { source, sources, entry, form };
    let work = |name: &str| format!("{WORK}/{name}");
    let kept = uploaded.into_iter().filter(|(name, _)| Some(name) != replaces.as_ref());
    let mut files: Files = kept.map(|(name, content)| (work(&name), content)).collect();
    files.extend(beside.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())));
    let live = live::files(runtime.recipe.live).into_iter();
    files.extend(live.map(|(name, bytes)| (name.to_string(), bytes)));
    files.push((work(&program.source), text));
    Ok((program, files))
}

/// Fills the placeholders of a recipe's commands.
#[derive(Clone, Copy)]
struct Words<'a> {
    program: &'a Program,
    runtime: &'a Runtime,
    request: &'a Request,
    memory_mb: u64,
    tmp: &'a str,
}

impl Words<'_> {
    fn command(&self, template: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        for word in template {
            match *word {
                "{args}" => words.extend(self.request.args.iter().cloned()),
                "{flags}" => words.extend(self.request.flags.iter().cloned()),
                "{sources}" => words.extend(self.program.sources.iter().map(|name| as_path(name))),
                _ => words.push(self.word(word)),
            }
        }
        words
    }

    fn word(&self, template: &str) -> String {
        if !template.contains(['{', '/']) {
            return template.to_string();
        }
        let source = &self.program.source;
        let stem = source.rsplit_once('.').map_or(source.as_str(), |(stem, _)| stem);
        let fixed = [
            ("source", as_path(source)),
            ("stem", as_path(stem)),
            ("entry", self.program.entry.clone()),
            ("form", self.program.form.to_string()),
            ("build", format!("{}/{BUILD}", self.tmp)),
            ("out", format!("{}/{OUT}", self.tmp)),
            ("work", format!("{}/{WORK}", self.tmp)),
            ("memory", self.memory_mb.to_string()),
            ("heap", (self.memory_mb * 3 / 4).to_string()),
        ];
        let mut word = in_tree(template, self.tmp);
        for (name, value) in fixed {
            word = word.replace(&format!("{{{name}}}"), &value);
        }
        for (name, path) in &self.runtime.programs {
            word = word.replace(&format!("{{{name}}}"), &path.to_string_lossy());
        }
        word
    }
}

/// A name that no command takes for an option, or for a file of options.
fn as_path(name: &str) -> String {
    if name.starts_with(['-', '@']) { format!("./{name}") } else { name.to_string() }
}

/// A word of a recipe, with the writable tree of this jail instead of `/tmp`.
fn in_tree(word: &str, tmp: &str) -> String {
    if tmp == TMP { word.to_string() } else { word.replace(TMP, tmp) }
}

fn steps(
    request: &Request,
    language: &Language,
    words: &Words<'_>,
    build_words: &Words<'_>,
) -> Vec<Step> {
    let recipe = words.runtime.recipe;
    let compile_ms = u64::try_from(language.compile_time().as_millis()).unwrap_or(u64::MAX);
    let mut steps = Vec::new();
    if !recipe.compile.is_empty() {
        let argv = build_words.command(recipe.compile);
        steps.push(Step { kind: StepKind::Compile, argv, wall_ms: compile_ms });
    }
    if request.return_artifact && !recipe.pack.is_empty() {
        let argv = build_words.command(recipe.pack);
        steps.push(Step { kind: StepKind::Pack, argv, wall_ms: compile_ms });
    }
    if request.return_wasm_artifact && !recipe.wasm.is_empty() {
        let argv = build_words.command(recipe.wasm);
        steps.push(Step { kind: StepKind::Wasm, argv, wall_ms: compile_ms });
    }
    let argv = words.command(recipe.run);
    steps.push(Step { kind: StepKind::Run, argv, wall_ms: run_ms(request) });
    steps
}

fn wanted(request: &Request, words: &Words<'_>) -> Vec<Wanted> {
    let recipe = words.runtime.recipe;
    let mut wanted = Vec::new();
    if request.return_artifact {
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
        stack_bytes: of("stack_bytes"),
        work_bytes: of("work_bytes"),
        work_files: of("work_files"),
    }
}

/// The limits of a step that is not the program's. A limit that was asked for never makes a compiler fail.
fn compile_limits(asked: &RunLimits) -> RunLimits {
    let default = |name: &str| {
        let row = LIMIT_TABLE.iter().find(|row| row.name == name);
        row.and_then(|row| row.default).unwrap_or(0)
    };
    RunLimits {
        memory_bytes: asked.memory_bytes.max(limits::COMPILE_MEMORY_BYTES),
        cpu_time_ms: 0,
        processes: asked.processes.max(default("processes")),
        open_files: asked.open_files.max(default("open_files")),
        file_size_bytes: asked.file_size_bytes.max(default("file_size_bytes")),
        stack_bytes: asked.stack_bytes.max(default("stack_bytes")),
        ..*asked
    }
}

fn compiles(recipe: &Recipe) -> bool {
    [recipe.compile, recipe.pack, recipe.wasm].iter().any(|command| !command.is_empty())
}

/// `NAME=value` pairs of the program: the standard ones, then the recipe's, then the request's; the last one wins.
fn environment(request: &Request, network_mode: NetworkMode, words: &Words<'_>) -> Vec<String> {
    let network = match network_mode {
        NetworkMode::Semitrusted => egress::variables(),
        NetworkMode::Zerotrust => {
            OFFLINE_VARIABLES.map(|(name, value)| (name.to_string(), value.to_string())).to_vec()
        }
    };
    let asked = request.env.iter().cloned().chain(live_variables(request, words));
    variables(words, network.into_iter().chain(cpus(request)).chain(asked))
}

/// The request's own values of these variables stay behind ours.
fn live_variables(request: &Request, words: &Words<'_>) -> Vec<(String, String)> {
    let tree = Path::new(words.tmp);
    let executes = words.tmp == TMP || !temporary::is_noexec(tree.parent().unwrap_or(tree));
    let all = live::variables(words.runtime.recipe.live, &request.flags, words.tmp, executes);
    let with_own = |(name, value): &(&str, &str)| {
        let value = words.word(value);
        let own = request.env.iter().rfind(|(known, own)| known == name && !own.is_empty());
        let value = own.map_or(value.clone(), |(_, own)| format!("{value}:{own}"));
        (name.to_string(), value)
    };
    all.iter().map(with_own).collect()
}

/// Those of a compiler, which the request's are not for.
fn build_environment(request: &Request, words: &Words<'_>) -> Vec<String> {
    variables(words, cpus(request).into_iter())
}

fn cpus(request: &Request) -> Vec<(String, String)> {
    request.limits.cpus.map(cpu_variables).unwrap_or_default()
}

fn variables(words: &Words<'_>, further: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for (_, program) in &words.runtime.programs {
        let folder = program.parent().map(|folder| folder.to_string_lossy().into_owned());
        path.extend(folder.filter(|folder| !STANDARD_PATH.split(':').any(|known| known == folder)));
    }
    path.dedup();
    path.push(STANDARD_PATH.to_string());
    let mut pairs: Vec<(String, String)> = vec![("PATH".to_string(), path.join(":"))];
    let standard =
        STANDARD_ENV.iter().map(|(name, value)| (name.to_string(), in_tree(value, words.tmp)));
    let recipe = words.runtime.recipe.env.iter();
    let recipe = recipe.map(|(name, value)| (name.to_string(), words.word(value)));
    for (name, value) in standard.chain(recipe).chain(further) {
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value));
    }
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// For runtimes that count the processors of the machine and ignore their affinity mask.
fn cpu_variables(cpus: u64) -> Vec<(String, String)> {
    let here = std::thread::available_parallelism().map_or(u64::MAX, |here| here.get() as u64);
    let named = |name: &&str| (name.to_string(), cpus.min(here).to_string());
    CPU_VARIABLES.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(show: Vec<String>, of: impl Fn(&str) -> u64) -> Needs {
        Needs {
            show,
            memory_bytes: of("memory_bytes"),
            cpus: of("cpus"),
            processes: of("processes"),
            compile_memory_bytes: 0,
            compile_processes: 0,
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
    fn limits_of_a_request_reach_its_jail_and_its_steps() {
        let mut asked = Limits::default();
        for (number, row) in LIMIT_TABLE.iter().enumerate() {
            assert!(asked.set(row.name, row.min + number as u64), "{}", row.name);
        }
        let request = Request::new("c", "").ttl(7).limits(asked);
        let valid = request.validate().unwrap();
        let language = valid.language().unwrap();
        let recipe = &language.recipes[0];
        let runtime = Runtime { recipe, programs: Vec::new(), show: vec!["/opt/c".to_string()] };
        let prepared = Prepared::new(valid, language, runtime).unwrap();
        let plan = prepared.bind(TMP);
        let of = |name: &str| asked.get(name).unwrap();
        let wanted = RunLimits {
            memory_bytes: of("memory_bytes"),
            cpu_time_ms: of("cpu_time_ms"),
            processes: of("processes"),
            open_files: of("open_files"),
            file_size_bytes: of("file_size_bytes"),
            stack_bytes: of("stack_bytes"),
            work_bytes: of("work_bytes"),
            work_files: of("work_files"),
        };
        assert_eq!(plan.limits, wanted);
        let compiler = RunLimits {
            memory_bytes: limits::COMPILE_MEMORY_BYTES,
            cpu_time_ms: 0,
            processes: 256,
            open_files: 1024,
            file_size_bytes: 256 << 20,
            stack_bytes: 64 << 20,
            ..wanted
        };
        assert_eq!(plan.compile_limits, compiler);
        let needs = Needs {
            compile_memory_bytes: compiler.memory_bytes,
            compile_processes: compiler.processes,
            ..needs(vec!["/opt/c".to_string()], of)
        };
        assert_eq!(prepared.needs, needs);
        assert_eq!(prepared.output_bytes, of("output_bytes"));
        let times: Vec<u64> = plan.steps.iter().map(|step| step.wall_ms).collect();
        assert_eq!(times, [limits::COMPILE_TIME.as_millis() as u64, 7_000]);
        let Plan { artifacts_max_count, artifacts_max_bytes, .. } = plan;
        let most = (limits::ARTIFACTS_MAX_COUNT as u64, limits::ARTIFACTS_MAX_BYTES);
        assert_eq!((artifacts_max_count, artifacts_max_bytes), most);
    }

    #[test]
    fn a_compiler_has_no_less_than_the_program_may_use() {
        let asked = RunLimits {
            memory_bytes: 3 << 30,
            cpu_time_ms: 10,
            processes: 300,
            open_files: 2000,
            file_size_bytes: 1 << 30,
            stack_bytes: 65 << 20,
            work_bytes: 1 << 20,
            work_files: 64,
        };
        assert_eq!(compile_limits(&asked), RunLimits { cpu_time_ms: 0, ..asked });
    }

    /// If the jailer is replaced while a run waits, the new one has another folder. Text of the user does not change.
    #[test]
    fn a_plan_is_bound_to_the_tree_of_its_jail_and_nothing_else_changes() {
        let request = Request::new("swift", "int main;").arg("/a/1/7/x").env("MINE", "/a/1/7 /tmp");
        let request = request.input_file("data", "1");
        let valid = request.validate().unwrap();
        let language = valid.language().unwrap();
        let runtime =
            Runtime { recipe: &language.recipes[0], programs: Vec::new(), show: Vec::new() };
        let prepared = Prepared::new(valid, language, runtime).unwrap();
        let first = prepared.bind("/a/1/7");
        assert!(first.env.contains(&"HOME=/a/1/7/home".to_string()));
        let plan = prepared.bind("/b/2");
        assert_eq!((&*plan.tmp, &plan.files), ("/b/2", &first.files));
        assert_eq!(prepared.contents().collect::<Vec<_>>(), [&b"1"[..], b"int main;"]);
        assert!(plan.env.contains(&"HOME=/b/2/home".to_string()));
        assert!(plan.env.contains(&"MINE=/a/1/7 /tmp".to_string()), "{:?}", plan.env);
        let run = &plan.steps.last().unwrap().argv;
        assert_eq!(run[..], ["/b/2/build/main".to_string(), "/a/1/7/x".to_string()], "{run:?}");
    }

    #[test]
    fn what_makes_output_live_comes_before_the_value_of_the_request_and_is_not_for_the_compiler() {
        let plan = |request: Request| {
            let valid = request.validate().unwrap();
            let language = valid.language().unwrap();
            let recipe = &language.recipes[0];
            let runtime = Runtime { recipe, programs: Vec::new(), show: Vec::new() };
            Prepared::new(valid, language, runtime).unwrap().bind("/a/1")
        };
        let value = |env: &[String], name: &str| {
            let values = env.iter().filter_map(|pair| pair.strip_prefix(name));
            values.map(str::to_string).collect::<Vec<_>>()
        };
        let program = plan(Request::new("c", "int main;").env("LD_PRELOAD", "/x.so:/y.so"));
        let expected = "/a/1/build/live/output.so:/x.so:/y.so";
        assert_eq!(value(&program.env, "LD_PRELOAD="), [expected]);
        assert_eq!(value(&program.build_env, "LD_PRELOAD="), [""; 0]);
        assert!(program.files.iter().any(|file| file.name == "build/live/output.so"));
        let sanitized = plan(Request::new("c", "int main;").flag("-fsanitize=address"));
        assert_eq!(value(&sanitized.env, "LD_PRELOAD="), [""; 0]);
        let python = plan(Request::new("python", "").env("PYTHONPATH", ""));
        assert_eq!(value(&python.env, "PYTHONPATH="), ["/a/1/build/live"]);
    }

    #[test]
    fn a_byte_order_mark_does_not_reach_the_compiler() {
        let request = Request::new("swift", "\u{feff}int main;");
        let valid = request.validate().unwrap();
        let language = valid.language().unwrap();
        let runtime =
            Runtime { recipe: &language.recipes[0], programs: Vec::new(), show: Vec::new() };
        let prepared = Prepared::new(valid, language, runtime).unwrap();
        assert_eq!(prepared.contents().collect::<Vec<_>>(), [&b"int main;"[..]]);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds a language's programs on this machine, and the folders that a jail must show to run them: the prefix of the
//! installation, never the user's home.

use crate::programs::access::{Access, interpreter_of};
use crate::programs::shims::{self, Resolved};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use unsandbox_jailer::SYSTEM;
use unsandbox_protocol::language::{Language, Recipe};
use unsandbox_protocol::{Error, ErrorCode};

/// Searched after PATH.
const USUAL: &[&str] = &[
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/usr/games",
    "/usr/local/go/bin",
    "/usr/lib/jvm/default-java/bin",
    "/opt/bin",
    "/snap/bin",
];
/// Below the home, searched last.
const USUAL_AT_HOME: &[&str] =
    &[".local/bin", ".cargo/bin", ".deno/bin", ".dotnet", ".juliaup/bin", "go/bin"];

/// Package stores that are shown completely, because their programs refer to each other by absolute path.
const STORES: &[&str] = &["/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"];

/// A way to run a language here: a recipe with the paths of its programs.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub recipe: &'static Recipe,
    /// Keyed by the name in the recipe's commands.
    pub programs: Vec<(&'static str, PathBuf)>,
    /// The paths that the jail shows beyond the standard trees, parents first.
    pub show: Vec<String>,
}

impl Runtime {
    /// The main program of the language: the first one of its recipe.
    pub fn main_program(&self) -> Option<&Path> {
        self.programs.first().map(|(_, path)| path.as_path())
    }
}

/// One program that was found.
struct Program {
    path: PathBuf,
    show: Vec<PathBuf>,
}

/// Finds the first recipe whose programs are all installed and can run with this access. `chosen` is the path of the
/// main program, if the request gives one; `preferred` is that of the engine's options, which only counts if it can run.
pub fn find(
    language: &'static Language,
    chosen: Option<&str>,
    preferred: Option<&Path>,
    access: Access,
) -> Result<Runtime, Error> {
    let mut search = Search { access, blocked: Vec::new() };
    if let Some(path) = chosen {
        return chosen_runtime(language, path, "runtime", search);
    }
    if !language.choose.is_empty()
        && let Ok(path) = env::var(language.choose)
        && !path.is_empty()
    {
        return chosen_runtime(language, &path, language.choose, search);
    }
    if let Some(path) = preferred {
        let path = path.to_string_lossy();
        let search = Search { access, blocked: Vec::new() };
        match chosen_runtime(language, &path, "the default runtime", search) {
            Err(why) => log::debug!("{} of PATH is taken: {why}", language.name),
            found => return found,
        }
    }
    language
        .recipes
        .iter()
        .find_map(|recipe| assemble(recipe, |names| search.any(names)))
        .ok_or_else(|| search.missing(language))
}

fn chosen_runtime(
    language: &'static Language,
    path: &str,
    source: &str,
    mut search: Search,
) -> Result<Runtime, Error> {
    let wrong = |why: &str| Error::argument(format!("{source} {path:?} {why}"));
    let file = Path::new(path);
    if !file.is_absolute() {
        return Err(wrong("is not an absolute path of an interpreter or compiler"));
    }
    if !is_program(file) {
        return Err(wrong("is not an executable file on this machine"));
    }
    let program = || match shims::resolve(file) {
        Resolved::Real => Some(describe(file)),
        Resolved::For(real) => Some(describe(&real)),
        Resolved::Nowhere => None,
    };
    let recipe = language
        .recipes
        .iter()
        .find(|recipe| is_named_in(recipe, file))
        .or(language.recipes.first())
        .ok_or_else(|| search.missing(language))?;
    let Some(program) = program() else {
        return Err(wrong(
            "is a version-manager shim without an installed version; install a version, or give the path of the \
             interpreter",
        ));
    };
    if let Err(blocked) = search.access.check(&program.path, &program.show) {
        return Err(wrong(&format!("cannot be run in a jail: {blocked}")));
    }
    let mut first = Some(program);
    let found = assemble(recipe, |names| first.take().or_else(|| search.any(names)));
    found.ok_or_else(|| search.missing(language))
}

/// Whether the file's name, without version suffix, is one of the recipe's programs.
fn is_named_in(recipe: &Recipe, file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    recipe
        .programs
        .iter()
        .any(|(_, names)| names.iter().any(|known| *known == name || *known == bare))
}

fn assemble(
    recipe: &'static Recipe,
    mut find: impl FnMut(&'static [&'static str]) -> Option<Program>,
) -> Option<Runtime> {
    let mut programs = Vec::new();
    let mut show: Vec<PathBuf> = Vec::new();
    for (name, files) in recipe.programs {
        let program = find(files)?;
        programs.push((*name, program.path));
        show.extend(program.show);
    }
    show.extend(recipe.show.iter().flat_map(|path| matching(Path::new(path))));
    show.extend(programs.first().iter().flat_map(|(_, main)| beside(main, recipe.beside)));
    show.retain(|path| !is_always_shown(path));
    show.sort();
    show.dedup();
    let show = show.into_iter().filter_map(|path| path.into_os_string().into_string().ok());
    Some(Runtime { recipe, programs, show: show.collect() })
}

/// The existing paths that match a path of a recipe. A `*` in its last part is any text, such as the version in the
/// name of a settings folder.
fn matching(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        return Some(path.to_path_buf()).filter(|path| path.exists()).into_iter().collect();
    };
    let fits = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(before));
        rest.is_some_and(|rest| rest.ends_with(after))
    };
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let entries = entries.into_iter().flatten().flatten();
    entries.filter(fits).map(|entry| entry.path()).collect()
}

/// Searches for programs, and records those that are installed but cannot run.
struct Search {
    access: Access,
    blocked: Vec<String>,
}

impl Search {
    fn any(&mut self, names: &[&str]) -> Option<Program> {
        names.iter().find_map(|name| self.program(name))
    }

    fn program(&mut self, name: &str) -> Option<Program> {
        let path = env::var_os("PATH").unwrap_or_default();
        let home = env::var_os("HOME").map(PathBuf::from);
        let at_home = USUAL_AT_HOME.iter().filter_map(|folder| Some(home.as_ref()?.join(folder)));
        let folders = env::split_paths(&path).chain(USUAL.iter().map(PathBuf::from)).chain(at_home);
        for folder in folders.filter(|folder| folder.is_absolute()) {
            let candidate = folder.join(name);
            if !is_program(&candidate) {
                continue;
            }
            let program = match shims::resolve(&candidate) {
                Resolved::Real => describe(&candidate),
                Resolved::For(real) => describe(&real),
                Resolved::Nowhere => continue,
            };
            match self.access.check(&program.path, &program.show) {
                Ok(()) => return Some(program),
                Err(blocked) => self.blocked.push(format!("{candidate:?}: {blocked}")),
            }
        }
        None
    }

    /// LANGUAGE_UNAVAILABLE, with the ways to install the language, and the programs that are installed but cannot run.
    fn missing(&self, language: &Language) -> Error {
        let mut ways = Vec::new();
        for recipe in language.recipes {
            ways.extend(ways_to_install(recipe));
        }
        ways.dedup();
        let programs = language.recipes.first().map(|recipe| {
            let firsts = recipe.programs.iter().filter_map(|(_, files)| files.first().copied());
            firsts.collect::<Vec<_>>()
        });
        let (name, programs) = (language.name, programs.unwrap_or_default().join(" or "));
        let ways = ways.join(", or ");
        let text = match self.blocked.first() {
            None => format!(
                "{name} is not installed on this machine: {programs} was not found; install it with {ways}"
            ),
            Some(first) => format!(
                "{name} cannot be run on this machine: {first}; give all users the right to read and execute it \
                 (chmod o+rx), or install {programs} for all users with {ways}"
            ),
        };
        Error::new(ErrorCode::LanguageUnavailable, text)
    }
}

/// How to install a missing language, in one line.
pub fn install_hint(language: &Language) -> String {
    ways_to_install(language.offered()).into_iter().next().unwrap_or_default()
}

fn ways_to_install(recipe: &Recipe) -> Vec<String> {
    let commands = [
        ("apt-get install", recipe.debian),
        ("pip install", recipe.pypi),
        ("npm install -g", recipe.npm),
    ];
    let packages = commands.iter().filter(|(_, package)| !package.is_empty());
    let mut ways: Vec<String> =
        packages.map(|(command, package)| format!("`{command} {package}`")).collect();
    ways.extend(Some(recipe.install.to_string()).filter(|words| !words.is_empty()));
    ways
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn is_always_shown(path: &Path) -> bool {
    SYSTEM.iter().chain(&["/etc/alternatives"]).any(|tree| path.starts_with(tree))
}

/// The path to run, and the paths to show for it.
fn describe(found: &Path) -> Program {
    let real = found.canonicalize().unwrap_or_else(|_| found.to_path_buf());
    let folder = found.parent().map(|p| p.canonicalize().unwrap_or_else(|_| p.to_path_buf()));
    let named = match (folder, found.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => real.clone(),
    };
    let mut show = installation_of(&real);
    // A script, such as a tool of Python or Node, needs the interpreter of its first line.
    if let Some(interpreter) = interpreter_of(&real).and_then(|it| it.canonicalize().ok()) {
        show.extend(installation_of(&interpreter));
    }
    // Python finds a virtual environment by the path of the link, not of its target.
    if let Some(root) = virtual_environment(&named) {
        show.extend(parts_of_environment(&root, &named));
        show.extend(base_of_environment(&root));
        return Program { path: named, show };
    }
    // A program keeps the name by which it was found, if the jail shows that path.
    let path = if is_always_shown(&named) { named } else { real };
    Program { path, show }
}

fn virtual_environment(program: &Path) -> Option<PathBuf> {
    let root = program.parent()?.parent()?;
    root.join("pyvenv.cfg").is_file().then(|| root.to_path_buf())
}

/// The installation from which a virtual environment was made. Its program may be a copy, so a link cannot be followed.
fn base_of_environment(root: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(root.join("pyvenv.cfg")).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let home = pairs.filter(|(key, _)| key.trim() == "home").map(|(_, value)| value.trim()).next();
    let base = home.and_then(|home| Path::new(home).canonicalize().ok());
    base.filter(|home| home.is_dir()).map_or(Vec::new(), |home| {
        // Only a complete installation: there is no single program that could be shown alone.
        let prefix = installation_of(&home.join("python3"));
        prefix.into_iter().filter(|path| path.is_dir()).collect()
    })
}

/// The parts of a virtual environment. Its folder may contain other files, if it was made in a project or a home; then
/// only its program is shown of the further files.
fn parts_of_environment(root: &Path, program: &Path) -> Vec<PathBuf> {
    let parts = ["lib", "lib64", "pyvenv.cfg"].map(|name| root.join(name)).into_iter();
    if is_too_much(root) {
        return parts.chain([program.to_path_buf()]).filter(|path| path.exists()).collect();
    }
    let more = ["bin", "include", "share"].map(|name| root.join(name));
    parts.chain(more).filter(|path| path.exists()).collect()
}

/// The installation of a program outside the standard trees: the folder above its `bin`, if that looks like an
/// installation, otherwise the program alone.
fn installation_of(real: &Path) -> Vec<PathBuf> {
    if is_always_shown(real) {
        return Vec::new();
    }
    if let Some(store) = STORES.iter().find(|store| real.starts_with(store)) {
        return vec![PathBuf::from(store)];
    }
    let prefix = is_in_bin(real).then(|| real.parent()?.parent()).flatten();
    let is_installation = |prefix: &&Path| {
        let has = |name: &&str| prefix.join(name).is_dir();
        ["lib", "lib64", "libexec", "share"].iter().any(has) && !is_too_much(prefix)
    };
    vec![prefix.filter(is_installation).unwrap_or(real).to_path_buf()]
}

fn is_in_bin(program: &Path) -> bool {
    let folder = program.parent().and_then(Path::file_name);
    folder.is_some_and(|name| name == "bin" || name == "sbin")
}

/// The files that a recipe needs from the folder of its program, after links are resolved.
fn beside(program: &Path, names: &[&str]) -> Vec<PathBuf> {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_path_buf());
    let Some(folder) = real.parent().filter(|_| !is_in_bin(&real)) else { return Vec::new() };
    if names == ["*"] {
        // Folders in a home (`~/Downloads`) contain files of other programs.
        let is_private = is_too_much(folder) || folder.parent().is_some_and(is_home);
        return if is_private { Vec::new() } else { vec![folder.to_path_buf()] };
    }
    names.iter().flat_map(|name| matching(&folder.join(name))).collect()
}

fn home_of_user() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from)?.canonicalize().ok()
}

fn is_home(path: &Path) -> bool {
    home_of_user().is_some_and(|home| path == home)
        || path.parent() == Some(Path::new("/home"))
        || path == Path::new("/root")
}

/// Whether a folder must not be shown: the root, a home, or a folder with homes or files of other users.
fn is_too_much(prefix: &Path) -> bool {
    const SHARED: &[&str] =
        &["/", "/opt", "/home", "/root", "/tmp", "/var", "/srv", "/mnt", "/media", "/etc"];
    let above_home = home_of_user().is_some_and(|home| home.starts_with(prefix));
    // `~/.cargo` and similar folders contain credentials beside the programs.
    let is_dot = prefix.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    (is_dot && prefix.parent().is_some_and(is_home))
        || is_home(prefix)
        || above_home
        || SHARED.iter().any(|shared| prefix == Path::new(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn program_at(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                env::temp_dir().join(format!("unsandbox-runtimes-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path.canonicalize().unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_installation_outside_usr_shows_its_prefix_only() {
        let folder = Folder::new("prefix");
        let program = folder.0.join("python-3.9/bin/python3");
        program_at(&program);
        fs::create_dir(folder.0.join("python-3.9/lib")).unwrap();
        assert_eq!(describe(&program).show, [folder.0.join("python-3.9")]);
    }

    #[test]
    fn a_program_without_an_installation_is_shown_alone() {
        let folder = Folder::new("alone");
        for place in ["Downloads/bash", "Downloads/bin/bash"] {
            let program = folder.0.join(place);
            program_at(&program);
            fs::write(folder.0.join("Downloads/letter"), "private").unwrap();
            assert_eq!(describe(&program).show, [program]);
        }
    }

    #[test]
    fn files_beside_a_program_are_shown_if_its_recipe_names_them() {
        let folder = Folder::new("beside");
        let tool = folder.0.join("tool/zig");
        program_at(&tool);
        for name in ["lib", "lib2", "letters"] {
            fs::create_dir(folder.0.join("tool").join(name)).unwrap();
        }
        let at = |name: &str| folder.0.join("tool").join(name);
        assert_eq!(beside(&tool, &["lib", "gone"]), [at("lib")]);
        assert_eq!(beside(&tool, &["*"]), [folder.0.join("tool")]);
        let unpacked = Path::new("/home/somebody/Downloads/pwsh");
        assert!(beside(unpacked, &["*"]).is_empty());
        assert!(beside(&folder.0.join("tool/bin/zig"), &["*"]).is_empty());
    }

    #[test]
    fn a_virtual_environment_shows_itself_and_its_base() {
        let folder = Folder::new("venv");
        let base = folder.0.join("base/bin/python3.9");
        program_at(&base);
        fs::create_dir(folder.0.join("base/lib")).unwrap();
        let venv = folder.0.join("venv");
        for part in ["bin", "lib", "private"] {
            fs::create_dir_all(venv.join(part)).unwrap();
        }
        fs::write(venv.join("pyvenv.cfg"), "home = base\n").unwrap();
        symlink(&base, venv.join("bin/python3")).unwrap();
        let program = describe(&venv.join("bin/python3"));
        assert_eq!(program.path, venv.join("bin/python3"));
        let parts = ["lib", "pyvenv.cfg", "bin"].map(|part| venv.join(part));
        assert_eq!(program.show, [&[folder.0.join("base")], &parts[..]].concat());
    }

    #[test]
    fn a_copied_python_in_a_virtual_environment_shows_its_base_installation() {
        let folder = Folder::new("copies");
        program_at(&folder.0.join("base/bin/python3"));
        fs::create_dir(folder.0.join("base/lib")).unwrap();
        let program = folder.0.join("venv/bin/python3");
        program_at(&program);
        let home = folder.0.join("base/bin");
        fs::write(folder.0.join("venv/pyvenv.cfg"), format!("home = {}\n", home.display()))
            .unwrap();
        assert!(describe(&program).show.contains(&folder.0.join("base")));
    }

    #[test]
    fn a_script_shows_its_interpreter() {
        let folder = Folder::new("script");
        let interpreter = folder.0.join("python/bin/python3");
        program_at(&interpreter);
        fs::create_dir(folder.0.join("python/lib")).unwrap();
        let script = folder.0.join("tools/tool");
        program_at(&script);
        fs::write(&script, format!("#!{}\n", interpreter.display())).unwrap();
        assert_eq!(describe(&script).show, [script, folder.0.join("python")]);
    }

    #[test]
    fn a_pyenv_shim_leads_to_the_version_of_its_file() {
        let folder = Folder::new("pyenv");
        let root = folder.0.join(".testenv");
        program_at(&root.join("shims/python3"));
        program_at(&root.join("versions/3.9.1/bin/python3"));
        fs::write(root.join("version"), "3.9.1\n").unwrap();
        let Resolved::For(real) = shims::resolve(&root.join("shims/python3")) else {
            panic!("not resolved")
        };
        assert_eq!(real, root.join("versions/3.9.1/bin/python3"));
    }

    #[test]
    fn a_star_in_a_shown_path_is_any_text() {
        let folder = Folder::new("star");
        for name in ["java-8-jdk", "java-9-jdk", "java-jre", "javajdk"] {
            fs::create_dir(folder.0.join(name)).unwrap();
        }
        let mut found = matching(&folder.0.join("java-*-jdk"));
        found.sort();
        assert_eq!(found, [folder.0.join("java-8-jdk"), folder.0.join("java-9-jdk")]);
        assert_eq!(matching(&folder.0.join("javajdk")), [folder.0.join("javajdk")]);
        assert!(matching(&folder.0.join("gone")).is_empty());
    }

    #[test]
    fn no_home_is_ever_shown() {
        assert!(is_too_much(Path::new("/home/somebody")));
        assert!(is_too_much(Path::new("/root")) && is_too_much(Path::new("/")));
        assert!(is_too_much(Path::new("/home/somebody/.cargo")));
        assert!(!is_too_much(Path::new("/home/somebody/.nvm/versions/node/v20")));
    }
}

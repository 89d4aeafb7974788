// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `return_artifact` gives runs when it is saved: the `hello` of every compiled language here, its
//! output compared with that of the run in the jail.

use crate::common::write_program;
use crate::{ENGINE, checks, programs, say, wanted};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use unsandbox_protocol::backend::LanguageInfo;
use unsandbox_protocol::language::{Language, Recipe};
use unsandbox_protocol::{Artifact, ExecutionResult, Request};

/// A folder that goes when its test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let name = format!("unsandbox-artifact-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Folder(path)
    }

    /// Saves a file that may be executed.
    pub fn save(&self, artifact: &Artifact) -> PathBuf {
        let path = self.0.join(artifact.safe_filename());
        write_program(&path, &artifact.content, 0o755);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The recipe that the engine uses, known by its main program.
pub fn recipe_in_use(language: &'static Language, info: &LanguageInfo) -> Option<&'static Recipe> {
    let path = PathBuf::from(info.path.as_ref()?);
    let name = path.file_name()?.to_str()?;
    let is_main =
        |recipe: &&Recipe| recipe.programs.first().is_some_and(|(_, f)| f.contains(&name));
    language.recipes.iter().find(is_main)
}

/// How a saved artifact is run: by itself, or by what its kind of file needs.
fn command(language: &str, file: &Path) -> Command {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let words: &[&str] = match (language, extension) {
        ("scala", "jar") => &["scala"],
        ("groovy", "jar") => {
            let script = "getClass().classLoader.loadClass('main').newInstance().run()";
            let mut command = Command::new("groovy");
            command.arg("-cp").arg(file).args(["-e", script]);
            return command;
        }
        (_, "jar") => &["java", "-jar"],
        (_, "js") => &["node"],
        (_, "exe") => &["mono"],
        (_, "dll") => &["dotnet"],
        (_, "beam") => {
            let module = file.file_stem().expect("it has a name before the dot");
            let mut command = Command::new("erl");
            command.args(["-noshell", "-s"]).arg(module).args(["start", "-s", "init", "stop"]);
            return command;
        }
        _ => return Command::new(file),
    };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(file);
    command
}

/// What the saved artifact prints, and what went wrong.
fn run_saved(language: &str, result: &ExecutionResult) -> Result<Vec<u8>, String> {
    let binaries: Vec<&Artifact> =
        result.artifacts.iter().filter(|artifact| artifact.kind == "binary").collect();
    if let Some(error) = &result.error {
        return Err(format!("the result's error is {error:?}"));
    }
    let folder = Folder::new(language);
    let saved: Vec<PathBuf> = binaries.iter().map(|artifact| folder.save(artifact)).collect();
    let Some(first) = saved.first() else {
        return Err("there is no artifact".to_string());
    };
    let output = command(language, first)
        .current_dir(&folder.0)
        .output()
        .map_err(|error| format!("{first:?} does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "it ends with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(output.stdout)
}

#[test]
fn artifacts_of_compiled_languages_run() {
    let compiled: Vec<&Language> = wanted()
        .into_iter()
        .filter(|(language, info)| {
            recipe_in_use(language, info).is_some_and(|recipe| !recipe.artifact.is_empty())
        })
        .map(|(language, _)| language)
        .collect();
    let started: Vec<_> = compiled
        .iter()
        .map(|language| {
            let request = Request::new(language.name, programs::hello(language));
            (language.name, checks::submit(&ENGINE, request.return_artifact(true).ttl(120)))
        })
        .collect();
    let mut failed = Vec::new();
    let mut lines = String::from("\nartifacts, saved and run:");
    for (name, waiter) in started {
        let result = waiter.and_then(|waiter| waiter.wait_result()).expect("it is installed");
        let files: Vec<String> = result
            .artifacts
            .iter()
            .map(|file| format!("{} {} KB", file.filename, file.content.len().div_ceil(1024)))
            .collect();
        lines.push_str(&format!("\n{name:<13}{}", files.join(", ")));
        match run_saved(name, &result) {
            Ok(printed) if printed == result.stdout && !printed.is_empty() => {}
            Ok(printed) => failed.push(format!(
                "{name}: printed {:?}, in the jail {:?}",
                String::from_utf8_lossy(&printed),
                result.stdout_text()
            )),
            Err(why) => failed.push(format!("{name}: {why}\n{}", result.stderr_text())),
        }
    }
    say(&format!("{lines}\n"));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_language_that_is_not_compiled_says_so_and_keeps_its_result() {
    let request = Request::new("bash", "echo kept").return_artifact(true);
    let waiter = checks::submit(&ENGINE, request).expect("bash is here");
    let result = waiter.wait_result().expect("bash runs");
    assert!(result.success && result.stdout == b"kept\n" && result.artifacts.is_empty());
    assert_eq!(
        result.error.as_deref(),
        Some("return_artifact has no effect: bash has no compile step")
    );
}

#[test]
fn what_a_program_leaves_in_artifacts_comes_back_unasked() {
    let code =
        "mkdir -p artifacts/deep; printf one > artifacts/a.txt; printf two > artifacts/deep/b";
    let waiter = checks::submit(&ENGINE, Request::new("bash", code)).expect("bash is here");
    let result = waiter.wait_result().expect("bash runs");
    let mut files: Vec<(&str, &[u8])> =
        result.artifacts.iter().map(|file| (&file.filename[..], &file.content[..])).collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?} {:?}", result.error);
    assert_eq!(files[0], ("a.txt", &b"one"[..]));
    assert_eq!(files[1].1, b"two");
}

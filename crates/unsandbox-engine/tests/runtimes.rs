// SPDX-License-Identifier: MIT OR Apache-2.0
//! A runtime is taken only if the user that programs run as can reach and start it, at either level, as root (whose
//! programs own nothing) and as an ordinary user.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::{Backend, ErrorCode, IsolationPolicy, Request};

const LEVELS: [IsolationPolicy; 2] = [IsolationPolicy::Full, IsolationPolicy::Reduced];

/// A folder that everybody may enter, with one in it, `private`, that only its owner may.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("unsandbox-runtimes-{name}-{}", std::process::id());
        let place = Place(std::env::temp_dir().canonicalize().unwrap().join(name));
        let _ = fs::remove_dir_all(&place.0);
        fs::create_dir_all(place.at("private")).unwrap();
        place.set("private", 0o700);
        place
    }

    fn at(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    fn set(&self, below: &str, mode: u32) {
        fs::set_permissions(self.at(below), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn program(&self, below: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.at(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_program(&path, content, mode);
        path
    }

    fn bash(&self, below: &str, mode: u32) -> PathBuf {
        self.program(below, &fs::read("/bin/bash").unwrap(), mode)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn engine_at(isolation: IsolationPolicy) -> Engine {
    Engine::new(EngineOptions { isolation, ..EngineOptions::default() }).unwrap()
}

/// Which program each level takes for a language when `first` is the first folder of PATH; it has to work.
fn taken(test: &str, first: &Path, language: &str, code: &str) -> [PathBuf; 2] {
    let program = readable_copy_of_this_program();
    let path = format!("{}:/usr/bin:/bin", first.display());
    let mut command = Command::new(&program);
    command
        .args(["--exact", "in_a_process_with_another_path", "--nocapture"])
        .env("PATH", path)
        .env("UNSANDBOX_TEST_RUNTIME", format!("{language} {code}"))
        .current_dir("/")
        .stderr(std::process::Stdio::inherit());
    let output = command.output().unwrap();
    fs::remove_file(&program).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text.lines().filter_map(|line| line.split_once("taken: "));
    let told: Vec<PathBuf> = told.map(|(_, path)| path.into()).collect();
    told.try_into().unwrap_or_else(|_| panic!("{test}: {text}"))
}

#[test]
fn in_a_process_with_another_path() {
    let Ok(order) = std::env::var("UNSANDBOX_TEST_RUNTIME") else { return };
    let (language, code) = order.split_once(' ').unwrap();
    for level in LEVELS {
        let engine = engine_at(level);
        let listed = engine.languages(&unsandbox_protocol::CallContext::default()).unwrap();
        let found = listed.into_iter().find(|it| it.name == language).unwrap();
        let result = execute_on(&engine, Request::new(language, code)).unwrap();
        assert_eq!(result.stdout_text(), "ran\n", "{level:?}: {result:?}");
        println!("taken: {}", found.path.unwrap());
    }
}

fn system(name: &str) -> PathBuf {
    Path::new("/usr/bin").join(name)
}

#[test]
fn a_folder_that_runs_may_not_enter_is_passed_by() {
    let place = Place::new("folder");
    let own = place.bash("private/bin/bash", 0o755);
    let [full, reduced] = taken("folder", &place.at("private/bin"), "bash", "echo ran");
    // With namespaces the folders above what is shown are made anew.
    assert_eq!(full, own);
    assert_eq!(reduced, if is_root() { system("bash") } else { own });
}

#[test]
fn a_program_that_runs_may_not_start_is_passed_by() {
    let place = Place::new("program");
    // Of a user's own file the rights of its owner count, and of root's those of all others.
    place.bash("bin/bash", if is_root() { 0o700 } else { 0o011 });
    let both = taken("program", &place.at("bin"), "bash", "echo ran");
    assert_eq!(both, [system("bash"), system("bash")]);
}

#[test]
fn links_and_scripts_that_lead_where_runs_may_not_go_are_passed_by() {
    let place = Place::new("links");
    let hidden = place.bash("private/bin/bash", 0o755);
    fs::create_dir_all(place.at("links")).unwrap();
    symlink("../private/bin", place.at("links/bin")).unwrap();
    let [_, reduced] = taken("links", &place.at("links/bin"), "bash", "echo ran");
    assert_eq!(reduced, if is_root() { system("bash") } else { hidden.clone() });

    let line = format!("#!{}\n. \"$@\"\n", hidden.display());
    let script = place.program("scripts/bash", line.as_bytes(), 0o755);
    let [full, reduced] = taken("scripts", &place.at("scripts"), "bash", "echo ran");
    assert_eq!(full, script);
    assert_eq!(reduced, if is_root() { system("bash") } else { script });
}

#[test]
fn a_virtual_environment_whose_base_runs_may_not_reach_is_refused() {
    // To an ordinary user's runs nothing is private that is the user's own.
    if !is_root() || lacks(&["python3"]) {
        return;
    }
    let place = Place::new("venv");
    let real = fs::canonicalize("/usr/bin/python3").unwrap();
    let base = place.program("private/base/bin/python3", &fs::read(&real).unwrap(), 0o755);
    fs::create_dir(place.at("private/base/lib")).unwrap();
    let link = place.at("venv/bin/python3");
    let copy = place.program("copied/bin/python3", &fs::read(&real).unwrap(), 0o755);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(&base, &link).unwrap();
    let home = format!("home = {}\n", place.at("private/base/bin").display());
    for (venv, program) in [("venv", link), ("copied", copy)] {
        fs::write(place.at(venv).join("pyvenv.cfg"), &home).unwrap();
        let engine = engine_at(IsolationPolicy::Reduced);
        let request = Request::new("python", "print('ran')").runtime(program.to_str().unwrap());
        let error = execute_on(&engine, request).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Argument);
        let folder = format!("{:?}", place.at("private"));
        assert!(error.message().contains(&folder), "{error}");
    }
}

#[test]
fn a_chosen_runtime_that_cannot_be_started_says_what_is_in_the_way() {
    let place = Place::new("chosen");
    let program = place.bash("bin/bash", if is_root() { 0o700 } else { 0o011 });
    for level in LEVELS {
        let request = Request::new("bash", "echo ran").runtime(program.to_str().unwrap());
        let error = execute_on(&engine_at(level), request).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Argument, "{error}");
        assert!(error.message().contains("may not read or execute"), "{error}");
    }
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}

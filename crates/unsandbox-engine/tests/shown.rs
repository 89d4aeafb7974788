// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a jail shows of a runtime outside the standard trees, and that it keeps up with the host.

mod common;

use common::*;
use unsandbox_protocol::Request;

/// An own folder below the temporary one, removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("unsandbox-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path.canonicalize().unwrap())
    }

    fn with(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_program(&path, content, 0o755);
        path.to_str().unwrap().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_lies_beside_a_program_is_not_shown() {
    let folder = Folder::new("beside");
    let program = folder.with("bash", &std::fs::read("/bin/bash").unwrap());
    let letter = folder.with("letter", b"private");
    let code = format!("echo begun; cat {letter}; ls {}", folder.0.display());
    let result = execute(Request::new("bash", code).runtime(program)).unwrap();
    assert_eq!(result.stdout_text(), "begun\nbash\n", "{}", result.stderr_text());
}

#[test]
fn a_virtual_environment_shows_its_own_parts_only() {
    let folder = Folder::new("venv");
    folder.with("pyvenv.cfg", b"home = /usr/bin\n");
    folder.with("lib/there.txt", b"there");
    let key = folder.with(".ssh/id_rsa", b"private");
    std::fs::create_dir(folder.0.join("bin")).unwrap();
    let program = folder.0.join("bin/python3");
    std::os::unix::fs::symlink("/usr/bin/python3", &program).unwrap();
    let code = format!(
        "import os, sys\nprint(sys.prefix == {0:?}, os.path.exists({0:?} + '/lib/there.txt'), \
         os.path.exists({key:?}))",
        folder.0.to_str().unwrap()
    );
    let request = Request::new("python", code).runtime(program.to_str().unwrap());
    let result = execute(request).unwrap();
    assert_eq!(result.stdout_text(), "True True False\n", "{}", result.stderr_text());
}

#[test]
fn a_shown_folder_that_is_replaced_is_shown_as_it_is_now() {
    let folder = Folder::new("replaced");
    let engine = engine();
    let mut before = String::new();
    for words in ["first", "second", "third"] {
        // Made anew as a whole, as by `python3 -m venv --clear` or an upgrade.
        let _ = std::fs::remove_dir_all(&folder.0);
        let said = folder.with("lib/said.txt", words.as_bytes());
        folder.with("pyvenv.cfg", b"home = /usr/bin\n");
        std::fs::create_dir(folder.0.join("bin")).unwrap();
        let program = folder.0.join("bin/python3");
        std::os::unix::fs::symlink("/usr/bin/python3", &program).unwrap();
        let code = format!("print(open({said:?}).read(), end='')");
        for _ in 0..4 {
            let request = Request::new("python", code.as_str()).runtime(program.to_str().unwrap());
            let result = execute_on(&engine, request).unwrap();
            assert_eq!(result.stdout_text(), words, "after {before:?}: {}", result.stderr_text());
        }
        before = words.to_string();
    }
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}

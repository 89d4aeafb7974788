// SPDX-License-Identifier: MIT OR Apache-2.0
//! Saving artifacts whose names are not to be trusted.

use std::path::PathBuf;
use unsandbox::{Artifact, ErrorCode, SaveArtifact as _, save_all};

fn artifact(filename: &str, kind: &str) -> Artifact {
    Artifact { filename: filename.into(), kind: kind.into(), content: b"new".to_vec(), url: None }
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("unsandbox-{name}-{}", std::process::id()));
    std::fs::create_dir_all(path.join("inside")).unwrap();
    path
}

#[test]
fn an_artifact_stays_in_its_directory() {
    let outer = directory("artifacts");
    let inside = outer.join("inside");
    for name in ["../escape", "/etc/escape", "..", "a/../../escape"] {
        let saved = artifact(name, "file").save(&inside).unwrap();
        assert_eq!(saved.parent(), Some(inside.as_path()), "{name}");
    }
    assert!(!outer.join("escape").exists());
    let saved = artifact("a.out", "binary").save(&inside).unwrap();
    assert_eq!(std::fs::read(&saved).unwrap(), b"new");
    std::fs::write(&saved, "a longer old content").unwrap();
    assert_eq!(artifact("a.out", "file").save(&inside).unwrap(), saved);
    assert_eq!(std::fs::read(&saved).unwrap(), b"new");
    let made = artifact("x", "file").save(outer.join("made/for/it")).unwrap();
    assert_eq!(std::fs::read(made).unwrap(), b"new");
    let in_a_file = artifact("x", "file").save(saved.join("below")).unwrap_err();
    assert_eq!(in_a_file.code(), ErrorCode::Argument);
    let names: Vec<_> =
        std::fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{names:?}");
    let link = Artifact { url: Some("https://x/a".into()), ..artifact("x", "file") };
    assert_eq!(link.save(&inside).unwrap_err().code(), ErrorCode::Argument);
    std::fs::remove_dir_all(&outer).unwrap();
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_programs_can_run() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let outer = directory("links");
    let inside = outer.join("inside");
    std::fs::write(outer.join("precious"), "old").unwrap();
    symlink(outer.join("precious"), inside.join("link")).unwrap();
    symlink(outer.join("nowhere"), inside.join("dangling")).unwrap();
    for name in ["link", "dangling"] {
        let error = artifact(name, "file").save(&inside).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Argument, "{name}");
    }
    assert_eq!(std::fs::read(outer.join("precious")).unwrap(), b"old");
    assert!(!outer.join("nowhere").exists());
    std::fs::create_dir(inside.join("folder")).unwrap();
    assert!(artifact("folder", "file").save(&inside).is_err());
    let mode = |kind: &str| {
        let saved = artifact(kind, kind).save(&inside).unwrap();
        std::fs::metadata(saved).unwrap().permissions().mode() & 0o111
    };
    assert!(mode("binary") != 0 && mode("file") == 0 && mode("wasm") == 0);
    std::fs::remove_dir_all(&outer).unwrap();
}

#[test]
fn all_artifacts_keep_their_folders_and_none_replaces_another() {
    let outer = directory("all");
    let inside = outer.join("inside");
    let names = ["d/a.txt", "e/a.txt", "../e/a.txt", "plain", "plain", "/d/x/../y"];
    let mut all: Vec<Artifact> = names.iter().map(|name| artifact(name, "file")).collect();
    for (index, artifact) in all.iter_mut().enumerate() {
        artifact.content = index.to_string().into_bytes();
    }
    let saved = save_all(&all, &inside).unwrap();
    let expected = ["d/a.txt", "e/a.txt", "e/a-2.txt", "plain", "plain-2", "d/x/y"];
    for (index, name) in expected.iter().enumerate() {
        assert_eq!(saved[index], inside.join(name));
        assert_eq!(std::fs::read(&saved[index]).unwrap(), index.to_string().as_bytes(), "{name}");
    }
    // Again: what was saved before is replaced, as by `save`.
    assert_eq!(save_all(&all, &inside).unwrap(), saved);
    std::fs::remove_dir_all(&outer).unwrap();
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_a_link_is_not_entered() {
    let outer = directory("folders");
    let inside = outer.join("inside");
    std::os::unix::fs::symlink(&outer, inside.join("up")).unwrap();
    let error = save_all(&[artifact("up/escape", "file")], &inside).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    assert!(!outer.join("escape").exists());
    std::fs::remove_dir_all(&outer).unwrap();
}

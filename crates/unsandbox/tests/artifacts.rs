// SPDX-License-Identifier: MIT OR Apache-2.0
//! Saving artifacts whose names are not to be trusted.

use std::path::{Path, PathBuf};
use unsandbox::{Artifact, ErrorCode, SaveArtifact as _, save_all, save_each, saved_names};

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
        assert!(saved.starts_with(&inside), "{name}");
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

#[test]
fn nothing_of_a_checkout_or_a_home_that_runs_unasked_is_touched() {
    let outer = directory("dots");
    let inside = outer.join("inside");
    let precious = [".git/config", ".envrc", ".ssh/authorized_keys", "d/.git/hooks/pre-commit"];
    for name in precious {
        std::fs::create_dir_all(inside.join(name).parent().unwrap()).unwrap();
        std::fs::write(inside.join(name), "old").unwrap();
    }
    let expected = ["_git/config", "_envrc", "_ssh/authorized_keys", "d/_git/hooks/pre-commit"];
    assert_eq!(saved_as(&precious, &inside), expected.map(|place| Some(place.to_string())));
    for name in precious {
        let alone = artifact(name, "file").save(&inside).unwrap();
        assert!(!alone.file_name().unwrap().to_str().unwrap().starts_with('.'), "{name}");
        assert_eq!(std::fs::read(inside.join(name)).unwrap(), b"old", "{name}");
    }
    // `.git` and `_git` are one name then, and get numbers as others do.
    let both = saved_as(&[".git/x", "_git/x", ".x", "_x"], &outer.join("both"));
    assert_eq!(both, ["_git/x", "_git/x-2", "_x", "_x-2"].map(|place| Some(place.to_string())));
    std::fs::remove_dir_all(&outer).unwrap();
}

/// Saves artifacts of these names, each with its number as content, and gives where they are, below `inside`.
fn saved_as(names: &[&str], inside: &Path) -> Vec<Option<String>> {
    let mut all: Vec<Artifact> = names.iter().map(|name| artifact(name, "file")).collect();
    for (index, artifact) in all.iter_mut().enumerate() {
        artifact.content = index.to_string().into_bytes();
    }
    let ends = save_each(&all, inside);
    let all_ends = ends.iter().zip(names).enumerate();
    let place = |(index, (end, name)): (usize, (&Result<PathBuf, _>, &&str))| match end {
        Ok(path) => {
            assert_eq!(std::fs::read(path).unwrap(), index.to_string().as_bytes(), "{name:?}");
            Some(path.strip_prefix(inside).unwrap().to_str().unwrap().to_string())
        }
        Err(error) => {
            let error: &unsandbox::Error = error;
            assert_eq!(error.code(), ErrorCode::Argument);
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
            None
        }
    };
    all_ends.map(place).collect()
}

#[test]
fn names_that_come_to_one_place_get_numbers() {
    let outer = directory("collisions");
    let (long, longer) = ("x".repeat(255), format!("{}y", "x".repeat(255)));
    for (number, (names, places)) in [
        // A file and a folder, in both orders, and what the folder has beside it.
        (&["a_", "a\u{1}/b", "a_/c"][..], &["a_", "a_-2/b", "a_-2/c"][..]),
        (&["a\u{1}/b", "a_"], &["a_/b", "a_-2"]),
        (&["a", "a-2", "a/b", "a"], &["a", "a-2", "a-3/b", "a-4"]),
        (&["a/b", "a/b/c", "a/b"], &["a/b", "a/b-2/c", "a/b-3"]),
        // Names without anything that could be kept, and with too much.
        (
            &["", "..", "/", "d/", ". .", "../.."],
            &["artifact", "artifact-2", "artifact-3", "d/artifact", "artifact-4", "artifact-5"],
        ),
        (&[&long, &longer], &[&long, &format!("{}-2", "x".repeat(253))]),
        (&["A", "a", "A/x"], &["A", "a", "A-2/x"]),
    ]
    .into_iter()
    .enumerate()
    {
        let inside = outer.join(number.to_string());
        let expected: Vec<_> = places.iter().map(|place| Some(place.to_string())).collect();
        assert_eq!(saved_as(names, &inside), expected, "{names:?}");
        assert_eq!(saved_as(names, &inside), expected, "{names:?} again");
    }
    let hundred = vec!["a\u{7f}.txt"; 100];
    let places = saved_as(&hundred, &outer.join("hundred"));
    assert_eq!(places.last().unwrap().as_deref(), Some("a_-100.txt"));
    std::fs::remove_dir_all(&outer).unwrap();
}

#[cfg(unix)]
#[test]
fn one_that_cannot_be_saved_is_named_and_the_others_are_saved() {
    use std::os::unix::fs::symlink;
    let outer = directory("obstacles");
    let inside = outer.join("inside");
    std::fs::write(outer.join("precious"), "old").unwrap();
    std::fs::create_dir(inside.join("folder")).unwrap();
    std::fs::write(inside.join("file"), "earlier").unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("../precious", inside.join("link")).unwrap();
    symlink("../nowhere", inside.join("dangling")).unwrap();
    let deep = "d/".repeat(2_100) + "x";
    let names = [
        "1",
        "folder",
        "file/x",
        "up/precious",
        "up",
        "link",
        "dangling",
        "dangling/x",
        &deep,
        "2",
        "file",
    ];
    let saved = |name: &str| Some(name.to_string());
    let expected =
        [saved("1"), None, None, None, None, None, None, None, None, saved("2"), saved("file")];
    assert_eq!(saved_as(&names, &inside), expected);
    assert_eq!(std::fs::read(outer.join("precious")).unwrap(), b"old");
    assert!(!outer.join("nowhere").exists());
    let all: Vec<Artifact> = names.iter().map(|name| artifact(name, "file")).collect();
    let error = save_all(&all, &inside).unwrap_err();
    for name in ["8 of 11", "\"folder\"", "\"up/precious\"", "\"link\"", "\"dangling/x\""] {
        assert!(error.message().contains(name), "{error}");
    }
    let nowhere = outer.join("precious/below");
    assert!(save_each(&all, &nowhere).iter().all(|end| end.is_err()));
    std::fs::remove_dir_all(&outer).unwrap();
}

/// xorshift64*: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    fn name(&mut self, parts: &[&str]) -> String {
        (0..1 + self.below(4)).map(|_| self.pick(parts)).collect()
    }
}

/// Everything below a folder but `inside`, with its content.
#[cfg(unix)]
fn outside(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap_or_default());
    let mut all: Vec<_> = entries.filter(|path| !path.ends_with("inside")).map(read).collect();
    all.sort();
    all
}

#[cfg(unix)]
#[test]
fn whatever_the_names_all_are_saved_inside_or_named() {
    let (long, wide) = ("x".repeat(254), "é".repeat(126));
    let parts = [
        "a", "A", "a\u{1}", "a_", "a:", "/", "/", "\\", "..", ".", "", " ", "-2", ".txt", "up/",
        "file", &long, &wide, "\u{202e}", "\0", "artifact", "folder/", ".git/", "git~1/",
    ];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..200 {
        let outer = directory("property");
        let inside = outer.join("inside");
        std::fs::write(outer.join("a"), "old").unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        std::fs::write(inside.join("file"), "earlier").unwrap();
        std::fs::create_dir(inside.join("folder")).unwrap();
        std::os::unix::fs::symlink("../../a", inside.join("folder/a")).unwrap();
        let before = outside(&outer);
        let names: Vec<String> = (0..random.below(40)).map(|_| random.name(&parts)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let places = saved_as(&names, &inside);
        assert_eq!(saved_as(&names, &inside), places, "round {round}: {names:?}");
        assert_eq!(outside(&outer), before, "round {round}: {names:?}");
        let mut there: Vec<_> = places.iter().flatten().collect();
        let count = there.len();
        there.sort();
        there.dedup();
        assert_eq!(there.len(), count, "round {round}: {names:?}");
        for place in there {
            assert!(place.split('/').all(|part| !part.starts_with('.')), "{place}");
            let found = inside.join(place).canonicalize().unwrap();
            assert!(found.starts_with(inside.canonicalize().unwrap()), "{place}");
        }
        std::fs::remove_dir_all(&outer).unwrap();
    }
}

#[test]
fn artifacts_that_are_saved_one_by_one_have_names_of_their_own() {
    let names = ["a/x", "b/x", "x", "../a/x", ".git/x", "_git/x", "C:\\a\\x", "a/x"];
    let expected = ["a/x", "b/x", "x", "a/x-2", "_git/x", "_git/x-2", "C_/a/x", "a/x-3"];
    assert_eq!(saved_names(names), expected);
    let outer = directory("single");
    let saved: Vec<PathBuf> = saved_names(names)
        .iter()
        .map(|name| artifact(name, "file").save(&outer).unwrap())
        .collect();
    let places = expected.map(|name| outer.join(name));
    assert_eq!(saved, places);
    std::fs::remove_dir_all(&outer).unwrap();
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shims of version managers. A shim is a program on PATH that selects and starts the real one. A jail shows only the
//! real one, so it is selected here: pyenv and similar managers, asdf, rustup.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The kind of a program on PATH.
pub enum Resolved {
    /// The program itself.
    Real,
    /// A shim for this program.
    For(PathBuf),
    /// A shim without a program; the search on PATH continues.
    Nowhere,
}

pub fn resolve(candidate: &Path) -> Resolved {
    let Some(name) = candidate.file_name().and_then(|name| name.to_str()) else {
        return Resolved::Real;
    };
    let parent = candidate.parent().unwrap_or(Path::new("/"));
    if parent.file_name().is_some_and(|folder| folder == "shims") {
        let root = parent.parent().unwrap_or(Path::new("/"));
        return found(asdf(candidate, root, name).or_else(|| env_family(root, name)));
    }
    if is_rustup(candidate) {
        return found(rustup(candidate, name));
    }
    Resolved::Real
}

fn found(program: Option<PathBuf>) -> Resolved {
    match program {
        Some(program) if program.is_file() => Resolved::For(program),
        _ => Resolved::Nowhere,
    }
}

/// pyenv, rbenv, nodenv, …: `ROOT/versions/VERSION/bin/NAME`, the version from the manager's variable
/// or its global file.
fn env_family(root: &Path, name: &str) -> Option<PathBuf> {
    let manager = root.file_name()?.to_str()?.trim_start_matches('.').to_uppercase();
    let chosen = env::var(format!("{manager}_VERSION"))
        .or_else(|_| fs::read_to_string(root.join("version")))
        .unwrap_or_default();
    chosen
        .split([':', '\n', ' '])
        .filter(|version| !version.is_empty() && *version != "system")
        .map(|version| root.join("versions").join(version).join("bin").join(name))
        .find(|program| program.is_file())
}

/// asdf writes into each shim which plugin and versions have the program.
fn asdf(shim: &Path, root: &Path, name: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(shim).ok()?;
    text.lines().filter_map(|line| line.strip_prefix("# asdf-plugin: ")).find_map(|line| {
        let (plugin, version) = line.trim().split_once(' ')?;
        let program = root.join("installs").join(plugin).join(version).join("bin").join(name);
        program.is_file().then_some(program)
    })
}

fn is_rustup(candidate: &Path) -> bool {
    let real = candidate.canonicalize().unwrap_or_else(|_| candidate.to_path_buf());
    if real.file_name().is_some_and(|name| name == "rustup") {
        return true;
    }
    // Older installations are hard links: the same file under both names.
    use std::os::unix::fs::MetadataExt;
    let same = |other: PathBuf| {
        let (a, b) = (fs::metadata(candidate).ok()?, fs::metadata(other).ok()?);
        Some(a.dev() == b.dev() && a.ino() == b.ino())
    };
    candidate.parent().and_then(|folder| same(folder.join("rustup"))).unwrap_or(false)
}

/// The folder of rustup: where it is told to be, in the home, or beside the folder of the shim (`.cargo` and `.rustup`),
/// which another user's home may hold.
fn rustup_home(shim: &Path, told: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let at_home = home.map(|home| home.join(".rustup"));
    let beside = || {
        let cargo = shim.parent()?.parent()?;
        let name = cargo.file_name()?.to_str()?.replace("cargo", "rustup");
        Some(cargo.parent()?.join(name))
    };
    let mut homes = [told, at_home, beside()].into_iter().flatten();
    homes.find(|home| home.join("toolchains").is_dir())
}

fn rustup(shim: &Path, name: &str) -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from);
    let home = rustup_home(shim, variable("RUSTUP_HOME"), variable("HOME"))?;
    let toolchains = home.join("toolchains");
    let chosen = env::var("RUSTUP_TOOLCHAIN").ok().or_else(|| {
        let settings = fs::read_to_string(home.join("settings.toml")).ok()?;
        let line = settings.lines().find_map(|line| line.strip_prefix("default_toolchain"))?;
        Some(line.trim_start_matches([' ', '=']).trim_matches('"').to_string())
    });
    let mut installed: Vec<PathBuf> =
        fs::read_dir(&toolchains).ok()?.flatten().map(|entry| entry.path()).collect();
    installed.sort();
    let matches = |path: &&PathBuf| {
        let folder = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        chosen
            .as_deref()
            .is_some_and(|chosen| folder == chosen || folder.starts_with(&format!("{chosen}-")))
    };
    let toolchain = installed.iter().find(matches).or_else(|| installed.first())?;
    Some(toolchain.join("bin").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustup_is_found_beside_its_shim_if_the_home_has_none() {
        let base = env::temp_dir().join(format!("unsandbox-shims-{}", std::process::id()));
        let [own, other] = ["usr/rustup", "home/.rustup"].map(|name| base.join(name));
        for home in [&own, &other] {
            fs::create_dir_all(home.join("toolchains")).unwrap();
        }
        let found =
            |shim: &str, home: &str| rustup_home(&base.join(shim), None, Some(base.join(home)));
        assert_eq!(found("usr/cargo/bin/rustc", "nobody"), Some(own.clone()));
        assert_eq!(found("home/.cargo/bin/rustc", "nobody"), Some(other.clone()));
        assert_eq!(found("usr/cargo/bin/rustc", "home"), Some(other.clone()));
        assert_eq!(found("bin/rustc", "nobody"), None);
        let told = Some(own.clone());
        assert_eq!(rustup_home(&base.join("bin/rustc"), told, Some(base.join("home"))), Some(own));
        fs::remove_dir_all(base).unwrap();
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of `unsandbox serve` and their limits: where they are read from, and when they are read again.

use crate::failure::Failure;
use crate::serve_args::ServeArgs;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unsandbox::key_file::{self, KeyFile};
use unsandbox_server::{KeyPolicies, KeyRing, Keys};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys and their limits as they are now, for a server that runs so many programs at once.
pub(crate) fn ring(args: &ServeArgs, places: usize) -> Result<KeyRing, Failure> {
    Ok(KeyRing::new(keys(args, key_file::read)?, policies(args)?, places)?)
}

/// Takes the keys and their limits as they are now; on any fault the server keeps those that it has.
pub(crate) fn read_again(args: &ServeArgs, ring: &KeyRing, why: &str) {
    // A pipe was read at the start; a second reading would wait for a writer.
    let read = keys(args, key_file::read_regular);
    let read = read.and_then(|keys| Ok((keys, policies(args)?))).map_err(Failure::into_message);
    let replaced = read.and_then(|(keys, policies)| {
        let count = keys.len();
        ring.replace(keys, policies).map(|()| count).map_err(|error| error.to_string())
    });
    match replaced {
        Ok(0) => log::info!("{why}: this server has no keys to read again"),
        Ok(count) => log::info!("{why}: {count} keys are accepted from now on"),
        Err(error) => log::error!("{why}: the keys stay as they were: {error}"),
    }
}

/// Reads the files again when they have changed since `read`, as long as the process lives.
pub(crate) fn watch(
    args: Arc<ServeArgs>,
    ring: Arc<KeyRing>,
    mut read: Stamps,
) -> Result<(), Failure> {
    if read.iter().all(Option::is_none) {
        return Ok(());
    }
    let mut last = read;
    let watch = move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let now = stamps(&args);
            // A file that is being written is read when it has stayed the same for a while.
            if now != read && now == last {
                read_again(&args, &ring, "the keys file or the key limits file has changed");
                read = now;
            }
            last = now;
        }
    };
    let thread = std::thread::Builder::new().name("unsandbox-keys".to_string());
    let started = thread.spawn(watch).map(drop);
    started.map_err(|error| Failure::failed(format!("no thread to watch the keys file: {error}")))
}

/// By which a changed file is recognised: its device, inode, size and time.
type Stamp = (u64, u64, u64, i64, i64);
pub(crate) type Stamps = [Option<Stamp>; 2];

/// Of each file that is a regular one.
pub(crate) fn stamps(args: &ServeArgs) -> Stamps {
    let stamp = |it: &Metadata| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec());
    [&args.keys, &args.key_limits].map(|path| {
        let metadata = std::fs::metadata(path.as_ref()?).ok()?;
        Some(&metadata).filter(|it| it.is_file()).map(stamp)
    })
}

fn policies(args: &ServeArgs) -> Result<KeyPolicies, Failure> {
    let Some(path) = &args.key_limits else { return Ok(KeyPolicies::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::failed(format!("cannot read the key limits file {}: {error}", path.display()))
    })?;
    Ok(KeyPolicies::from_toml(&text)?)
}

fn keys(args: &ServeArgs, read: impl Fn(&Path) -> io::Result<KeyFile>) -> Result<Keys, Failure> {
    let mut keys = Keys::default();
    if let Some(path) = &args.keys {
        let file = read(path).map_err(|error| {
            Failure::failed(format!("cannot read the keys file {}: {error}", path.display()))
        })?;
        match file.exposed {
            Some(exposed) if args.allow_readable_keys => log::warn!("the keys file {exposed}"),
            Some(exposed) => {
                return Err(Failure::failed(format!("the keys file {exposed}"))
                    .hint("give --allow-readable-keys to start anyway"));
            }
            None => {}
        }
        keys = keys.and(Keys::from_accounts(file.text.expose())?);
    }
    match std::env::var("UNSANDBOX_SERVE_KEYS") {
        Ok(words) => keys = keys.and(Keys::from_words(&words)?),
        Err(std::env::VarError::NotPresent) => {}
        // To ignore the value would start a server without the intended keys.
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(Failure::failed("UNSANDBOX_SERVE_KEYS is not UTF-8 text"));
        }
    }
    Ok(keys)
}

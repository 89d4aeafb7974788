// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file: how it is made, opened and brought to the schema of this version.

use rusqlite::{Connection, OpenFlags};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, ErrorCode};

/// "unsb", in the head of the file: a file of another program is not taken for a store.
const APPLICATION_ID: i32 = 0x756e_7362;
/// One script for each version of the schema, applied in order.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql")];
/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that are kept for the next question.
const READERS_KEPT: usize = 4;

/// A store's file, of the schema of this version.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens the file and brings it to this version's schema; makes it, for this user alone, if it is missing.
    ///
    /// # Errors
    /// CONFIG, if it cannot be a store: another program's file, a later version's, or one that cannot be opened.
    pub(crate) fn create(path: &Path) -> Result<Database, Error> {
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| unusable(path, error))?;
        let mode = std::fs::metadata(directory).map_err(|error| unusable(path, error))?.mode();
        if mode & 0o002 != 0 {
            let text = format!("others may write to its directory (mode {:o})", mode & 0o7777);
            return Err(unusable(path, text));
        }
        make_file(path, directory).map_err(|error| unusable(path, error))?;
        let database = Database::at(path);
        let mut db = database.connect()?;
        // Before anything in the file is changed: it may be another program's.
        check_application(&db, path)?;
        for_this_user_alone(path).map_err(|error| unusable(path, error))?;
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(|error| unusable(path, error))?;
        let mode = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        let mode = mode.map_err(|error| unusable(path, error))?;
        if mode != "wal" {
            let text = format!("its file system gives no write-ahead log (journal_mode is {mode})");
            return Err(unusable(path, text));
        }
        migrate(&mut db, path)?;
        Ok(database)
    }

    /// An existing store, of this version's schema.
    ///
    /// # Errors
    /// CONFIG, as [`Database::create`], and if there is none.
    pub(crate) fn existing(path: &Path) -> Result<Database, Error> {
        std::fs::metadata(path).map_err(|error| unusable(path, error))?;
        let database = Database::at(path);
        check_version(&database.connect()?, path)?;
        Ok(database)
    }

    fn at(path: &Path) -> Database {
        Database { path: path.to_path_buf(), readers: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        open(&self.path).map_err(|error| unusable(&self.path, error))
    }

    /// Asks a question on a connection of its own: readers do not wait for the writer.
    pub(crate) fn read<T>(
        &self,
        what: &str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let kept = lock(&self.readers).pop();
        let db = match kept {
            Some(db) => db,
            None => self.connect()?,
        };
        let answer = ask(&db).map_err(|error| failed(&self.path, what, &error))?;
        let mut readers = lock(&self.readers);
        if readers.len() < READERS_KEPT {
            readers.push(db);
        }
        Ok(answer)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    // An acknowledged job is on the disk, not only in the system's memory.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", 2_000)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // A file that somebody prepared runs no code of its own, and a broken one is noticed early.
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Makes the file, with its name on disk. One that exists is not opened here: to close it would release the locks that
/// SQLite has on it in this process.
fn make_file(path: &Path, directory: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => File::open(directory)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives mode 0600 to a file that others may read; SQLite gives it to the files beside it.
fn for_this_user_alone(path: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        log::warn!("the store {} had the mode {:o}; it is 600 now", path.display(), mode & 0o777);
    }
    Ok(())
}

/// Applies the migrations that are missing, all or none: another process may be doing the same.
fn migrate(db: &mut Connection, path: &Path) -> Result<(), Error> {
    let broken = |error| unusable(path, error);
    let change = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let change = change.map_err(broken)?;
    let version = check_application(&change, path)?;
    for script in MIGRATIONS.iter().skip(version) {
        change.execute_batch(script).map_err(broken)?;
    }
    change.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(broken)?;
    change.pragma_update(None, "application_id", APPLICATION_ID).map_err(broken)?;
    change.commit().map_err(broken)?;
    if (1..MIGRATIONS.len()).contains(&version) {
        let (path, now) = (path.display(), MIGRATIONS.len());
        log::warn!(
            "the store {path} was brought from schema {version} to {now}: earlier versions cannot open it"
        );
    }
    Ok(())
}

/// The version of the schema; 0 for a new file.
fn check_application(db: &Connection, path: &Path) -> Result<usize, Error> {
    let number = |name: &str| {
        let value = db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        value.map_err(|error| unusable(path, error))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
    let is_new = version == 0 && tables.map_err(|error| unusable(path, error))? == 0;
    if !is_new && application != i64::from(APPLICATION_ID) {
        return Err(unusable(path, "it is a database of another program"));
    }
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(version) if version <= known => Ok(version),
        _ => {
            let text = format!(
                "a later version of unsandbox wrote it (schema {version}; this one knows up to {known}): use that \
                 version, or another file"
            );
            Err(unusable(path, text))
        }
    }
}

fn check_version(db: &Connection, path: &Path) -> Result<(), Error> {
    let (version, known) = (check_application(db, path)?, MIGRATIONS.len());
    if version < known {
        let text = format!(
            "it has schema {version}, and this version needs {known}: start `unsandbox serve` with it once"
        );
        return Err(unusable(path, text));
    }
    Ok(())
}

/// The error of a file that cannot be the store.
pub(crate) fn unusable(path: &Path, cause: impl std::fmt::Display) -> Error {
    let text = format!("the store {} cannot be used: {cause}", path.display());
    Error::new(ErrorCode::Config, text)
}

/// The error of a statement on a store that was usable: the disk is full, or broken. STORE means that nothing has changed.
pub(crate) fn failed(path: &Path, what: &str, error: &rusqlite::Error) -> Error {
    let hint = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; make room on its disk",
        _ => "",
    };
    let text = format!("the store {} could not {what}: {error}{hint}", path.display());
    // After a failed sync nobody knows what a crash would leave on the disk: the change may be there.
    let is_sync = error.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC
        )
    });
    if is_sync {
        return Error::new(ErrorCode::Server, text).with_may_have_run(true);
    }
    Error::new(ErrorCode::Store, text).with_retry_after_ms(5_000)
}

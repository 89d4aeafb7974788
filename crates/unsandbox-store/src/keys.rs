// SPDX-License-Identifier: MIT OR Apache-2.0
//! Idempotency keys of jobs: a key lives as long as its job. One that names this store names its generation too: once a
//! key of a generation is removed, a key of that generation which is not known may be a removed one, and is refused.

use rusqlite::{Connection, OptionalExtension, params};
use unsandbox_protocol::auth::hex;
use unsandbox_protocol::{Error, ErrorCode, Owner, wire};

/// The names of stores on a disk begin so.
const KIND: &str = "store:";
const RANDOM_BYTES: usize = 12;

/// The key of a new job.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub key: String,
    pub fingerprint: [u8; 32],
    /// Whether a key that does not name this store may be new; otherwise it is refused unless it is known.
    pub may_be_new: bool,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Found {
    Job(String),
    Refused(Error),
    /// It is a new one; with the generation of this store that it names.
    Unknown(Option<u32>),
}

/// Finds the job of a key.
pub(crate) fn find(db: &Connection, owner: &Owner, key: &NewKey) -> rusqlite::Result<Found> {
    let mut statement = db
        .prepare_cached("SELECT id, fingerprint, status FROM jobs WHERE owner = ?1 AND key = ?2")?;
    let known = statement.query_row(params![owner.0, key.key], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?))
    });
    match known.optional()? {
        Some((job_id, _, status)) if status == "deleted" => {
            let text = format!(
                "the job of this Idempotency-Key, {job_id}, was deleted; use a new key to run the program again"
            );
            return Ok(Found::Refused(Error::new(ErrorCode::Conflict, text).with_job_id(job_id)));
        }
        Some((job_id, fingerprint, _)) if fingerprint == key.fingerprint => {
            return Ok(Found::Job(job_id));
        }
        Some((job_id, ..)) => {
            let text = format!(
                "this Idempotency-Key was used for another request, whose job is {job_id}; use a new key"
            );
            return Ok(Found::Refused(Error::new(ErrorCode::Conflict, text).with_job_id(job_id)));
        }
        None => {}
    }
    let own = Name::read(db)?;
    let generation = own.generation_of(&key.key);
    let may_be_new = match generation {
        Some(generation) => generation >= whole_from(db, owner)?,
        None => key.may_be_new,
    };
    if may_be_new {
        return Ok(Found::Unknown(generation));
    }
    let named = wire::store_of_key(&key.key).unwrap_or_default();
    Ok(Found::Refused(wire::store_changed(named, &own.to_string())))
}

fn whole_from(db: &Connection, owner: &Owner) -> rusqlite::Result<u32> {
    let mut statement = db.prepare_cached("SELECT whole_from FROM owners WHERE owner = ?1")?;
    Ok(statement.query_row([&owner.0], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Records that a key of an owner is removed.
pub(crate) fn removed(db: &Connection, owner: &str, generation: u32) -> rusqlite::Result<()> {
    let from = generation.saturating_add(1);
    db.prepare_cached(
        "INSERT INTO owners (owner, whole_from) VALUES (?1, ?2) \
         ON CONFLICT (owner) DO UPDATE SET whole_from = max(whole_from, excluded.whole_from)",
    )?
    .execute(params![owner, from])?;
    db.prepare_cached("UPDATE meta SET value = max(value, ?1) WHERE name = 'generation'")?
        .execute([from])?;
    Ok(())
}

/// Begins the next generation of keys.
pub(crate) fn next_generation(db: &Connection) -> rusqlite::Result<()> {
    db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'", []).map(|_| ())
}

/// The name of the store: `store:`, random digits that stay, and the generation of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    random: String,
    generation: u32,
}

impl Name {
    /// Gives a new store its name.
    ///
    /// # Errors
    /// INTERNAL, if the system gives no random numbers: another store could have the same name.
    pub(crate) fn random() -> Result<String, Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)
            .map_err(|cause| Error::internal("no random numbers").with_cause(cause))?;
        Ok(hex(&random))
    }

    /// The name on disk; `random` is that of a new store.
    pub(crate) fn made(db: &Connection, random: &str) -> rusqlite::Result<Name> {
        let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        db.execute(insert, params!["name", random])?;
        db.execute(insert, params!["generation", 0])?;
        Name::read(db)
    }

    /// Gives a copy of a store a name of its own.
    pub(crate) fn change(db: &Connection, random: &str) -> rusqlite::Result<()> {
        db.execute("UPDATE meta SET value = ?1 WHERE name = 'name'", [random]).map(|_| ())
    }

    pub(crate) fn read(db: &Connection) -> rusqlite::Result<Name> {
        let mut statement = db.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        let random = statement.query_row(["name"], |row| row.get(0))?;
        let generation = statement.query_row(["generation"], |row| row.get(0))?;
        Ok(Name { random, generation })
    }

    /// Takes the other name of this store, if it is of a later generation.
    pub(crate) fn advance(&mut self, other: Name) {
        if other.generation > self.generation {
            *self = other;
        }
    }

    /// The part of the name that stays.
    fn prefix(&self) -> String {
        format!("{KIND}{}", self.random)
    }

    /// The generation that a key names; `None` if it names another store, or none.
    pub(crate) fn generation_of(&self, key: &str) -> Option<u32> {
        wire::store_generation(wire::store_of_key(key)?, &self.prefix(), self.generation)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&wire::store_name(&self.prefix(), self.generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_recognises_only_keys_of_its_own_store_and_of_no_later_generation() {
        let name = Name { random: "ab".repeat(12), generation: 3 };
        let of =
            |generation: &str| name.generation_of(&format!("store:{}{generation}/k", name.random));
        assert_eq!(name.generation_of(&format!("{name}/k")), Some(3));
        assert_eq!((of("00000000"), of("00000002")), (Some(0), Some(2)));
        for wrong in ["00000004", "+0000001", "1", "", "000000001"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        for key in ["k", "process:1/k", "store:x/k"] {
            assert_eq!(name.generation_of(key), None, "{key}");
        }
    }
}

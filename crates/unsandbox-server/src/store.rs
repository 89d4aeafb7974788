// SPDX-License-Identifier: MIT OR Apache-2.0
//! The name of the store of idempotency keys. A key names the store that its client knew before the first attempt,
//! because only that store can recognise a repetition. The name changes with the process and, within a process,
//! with each generation of keys that is removed.

use axum::http::HeaderValue;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use unsandbox_protocol::auth::hex;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, wire};

/// This server's keys are in the memory of its process.
const KIND: &str = "process:";
const RANDOM_BYTES: usize = 12;

pub(crate) struct Store {
    /// `process:` and random digits, different in each process.
    prefix: String,
    begun: Instant,
    /// The longest time until the next generation begins, so that clients know its name before the keys of this one
    /// are removed.
    age: Duration,
    /// Generations that began earlier, because keys were removed.
    extra: AtomicU32,
    /// The last value of the header, with what it was made of.
    features: Mutex<(u32, Option<String>, HeaderValue)>,
}

impl Store {
    /// # Errors
    /// INTERNAL, if the system gives no random numbers: another process could have the same name.
    pub(crate) fn new(age: Duration) -> Result<Store, Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)
            .map_err(|cause| Error::internal("no random numbers").with_cause(cause))?;
        let prefix = format!("{KIND}{}", hex(&random));
        let features = Mutex::new((0, None, features(&wire::store_name(&prefix, 0), None)));
        Ok(Store { prefix, begun: Instant::now(), age, extra: AtomicU32::new(0), features })
    }

    /// The generation of keys that are created now.
    pub(crate) fn generation(&self) -> u32 {
        let aged = self.begun.elapsed().as_millis() / self.age.as_millis().max(1);
        u32::try_from(aged).unwrap_or(u32::MAX).saturating_add(self.extra.load(Ordering::SeqCst))
    }

    /// Makes the current generation later than `generation`.
    pub(crate) fn move_beyond(&self, generation: u32) {
        let now = self.generation();
        if now <= generation {
            self.extra.fetch_add(generation - now + 1, Ordering::SeqCst);
        }
    }

    pub(crate) fn name(&self) -> String {
        wire::store_name(&self.prefix, self.generation())
    }

    /// The generation of a name of this store; `None` for a name of another.
    pub(crate) fn generation_of(&self, name: &str) -> Option<u32> {
        wire::store_generation(name, &self.prefix, self.generation())
    }

    /// The value of the header that lists this server's extensions; `jobs` is the store of the keys of jobs, if that is
    /// another.
    pub(crate) fn features(&self, jobs: Option<&str>) -> HeaderValue {
        let generation = self.generation();
        let mut kept = lock(&self.features);
        if (kept.0, kept.1.as_deref()) != (generation, jobs) {
            let made = features(&wire::store_name(&self.prefix, generation), jobs);
            *kept = (generation, jobs.map(str::to_string), made);
        }
        kept.2.clone()
    }
}

fn features(name: &str, jobs: Option<&str>) -> HeaderValue {
    HeaderValue::try_from(wire::encode_features(name, jobs)).expect("names are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_store_recognises_only_its_own_names() {
        let (store, other) = (Store::new(HOUR).unwrap(), Store::new(HOUR).unwrap());
        assert_eq!(store.generation_of(&store.name()), Some(0));
        assert_eq!(store.generation_of(&other.name()), None);
        let longer = format!("{}0", store.name());
        let signed = format!("{}+0000000", store.prefix);
        let future = wire::store_name(&store.prefix, 1);
        assert_eq!(signed.len(), store.name().len());
        for wrong in ["", "process:", &longer, &signed, &future] {
            assert_eq!(store.generation_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_generation_has_a_different_name() {
        let store = Store::new(HOUR).unwrap();
        let (first, told) = (store.name(), store.features(None));
        store.move_beyond(0);
        store.move_beyond(0);
        assert_eq!(store.generation(), 1);
        assert_ne!((store.name(), store.features(None)), (first.clone(), told));
        assert_eq!(store.generation_of(&first), Some(0));
        assert!(store.features(None).to_str().unwrap().contains(&store.name()));
        assert!(Store::new(Duration::from_millis(1)).is_ok_and(|store| {
            std::thread::sleep(Duration::from_millis(3));
            store.generation() > 0
        }));
    }
}

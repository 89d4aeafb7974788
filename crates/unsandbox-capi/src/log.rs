// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log hook: the library is silent until the host asks.

use crate::boundary::ffi;
use crate::callback::{UserData, unsandbox_free_fn};
use crate::error::unsandbox_error;
use crate::text::Text;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Once, RwLock};
use unsandbox_protocol::Error;
use unsandbox_protocol::printable::printable;

/// Called with each message, from any thread, without locks held.
pub type unsandbox_log_fn = Option<
    extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char, message_len: usize),
>;

struct Hook {
    call: extern "C" fn(*mut c_void, i32, *const c_char, usize),
    user_data: UserData,
}

static HOOK: RwLock<Option<Arc<Hook>>> = RwLock::new(None);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let hook = HOOK.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if let Some(hook) = hook {
            let message = Text::copy(&printable(&record.args().to_string()));
            (hook.call)(hook.user_data.ptr(), record.level() as i32, message.ptr(), message.len());
        }
    }

    fn flush(&self) {}
}

/// Sends the library's messages to a function of the host; for the whole process, off by default.
/// Messages are single lines without control characters; they hold no keys, and no program text above the
/// debug level.
///
/// @param call       called with each message (UTF-8, NUL-terminated, borrowed for the call); NULL
///                   ends logging.
/// @param user_data  given to every call.
/// @param free_data  called with user_data when the library has no more use for it; may be NULL.
/// @param level      UNSANDBOX_LOG_…: the last level that is told.
/// @param err        receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for an unknown level; user_data is freed then too.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_set_log(
    call: unsandbox_log_fn,
    user_data: *mut c_void,
    free_data: unsandbox_free_fn,
    level: i32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        static INSTALLED: Once = Once::new();
        let user_data = UserData::new(user_data, free_data);
        let filter = level_filter(level)?;
        INSTALLED.call_once(|| {
            // Fails only if this logger is already installed in this copy of the library.
            let _ = log::set_logger(&Logger);
        });
        let hook = call.map(|call| Arc::new(Hook { call, user_data }));
        log::set_max_level(if hook.is_some() { filter } else { log::LevelFilter::Off });
        let old = {
            let mut slot = HOOK.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            std::mem::replace(&mut *slot, hook)
        };
        drop(old);
        Ok(())
    })
}

fn level_filter(level: i32) -> Result<log::LevelFilter, Error> {
    let filters = log::LevelFilter::iter();
    filters.into_iter().find(|filter| *filter as i32 == level).ok_or_else(|| {
        Error::argument(format!("level is {level}; it goes from 0 (off) to 5 (trace)"))
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tasks: executions that an event loop waits for, by a callback, a descriptor or a wait in slices.

use crate::boundary::{ffi, free, give_out, handle, optional_handle, required};
use crate::callback::UserData;
use crate::client::{client_of, unsandbox_client};
use crate::error::unsandbox_error;
use crate::options::{call_options, unsandbox_options};
use crate::request::unsandbox_request;
use crate::result::{ResultBox, unsandbox_result};
use crate::status::unsandbox_code;
use crate::text::text;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use unsandbox::{Notify, Task};
use unsandbox_protocol::{Error, ExecutionResult};

/// Says "look now", from a thread of the library, without locks held, once. Nothing travels through
/// it, so a function such as uv_async_send or a shim of sem_post fits as it is.
pub type unsandbox_notify_fn = Option<extern "C" fn(user_data: *mut c_void)>;

/// An execution under way. Shareable between threads.
pub struct unsandbox_task {
    task: Task<ExecutionResult>,
    signal: Arc<Signal>,
}

/// A descriptor that becomes readable when the task is done; made when it is first asked for.
#[derive(Default)]
struct Signal {
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    done: bool,
    #[cfg(unix)]
    reader: Option<std::os::unix::net::UnixStream>,
    /// Closing it makes the reader readable, for ever.
    #[cfg(unix)]
    writer: Option<std::os::unix::net::UnixStream>,
}

impl Signal {
    fn raise(&self) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.done = true;
        #[cfg(unix)]
        ends.writer.take();
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Result<i32, Error> {
        use std::os::fd::AsRawFd as _;
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.reader.is_none() {
            let pair = std::os::unix::net::UnixStream::pair();
            let (reader, writer) = pair.map_err(|cause| {
                let text = "no file descriptor could be created for the task; raise the limit on open files \
                            (ulimit -n)";
                Error::internal(text).with_cause(cause)
            })?;
            ends.writer = (!ends.done).then_some(writer);
            ends.reader = Some(reader);
        }
        Ok(ends.reader.as_ref().map_or(-1, |reader| reader.as_raw_fd()))
    }

    #[cfg(not(unix))]
    fn descriptor(&self) -> Result<i32, Error> {
        Ok(-1)
    }
}

/// What runs when a task ends: the descriptor first, so that a notified loop finds it readable.
fn end_notice(signal: Arc<Signal>, notify: unsandbox_notify_fn, user_data: *mut c_void) -> Notify {
    let user_data = UserData::new(user_data, None);
    Box::new(move || {
        signal.raise();
        if let Some(notify) = notify {
            notify(user_data.ptr());
        }
    })
}

fn start(
    notify: unsandbox_notify_fn,
    user_data: *mut c_void,
    begin: impl FnOnce(Notify) -> Result<Task<ExecutionResult>, Error>,
) -> Result<*mut unsandbox_task, Error> {
    let signal = Arc::new(Signal::default());
    let task = begin(end_notice(signal.clone(), notify, user_data))?;
    Ok(Box::into_raw(Box::new(unsandbox_task { task, signal })))
}

/// Starts a program and does not wait for it: as unsandbox_client_execute where the request names a
/// language, else as unsandbox_client_run.
///
/// On "local:" the run is prepared before this returns: milliseconds for most requests, longer for
/// large programs and files. An event loop that must not wait calls this on another thread.
///
/// @param client     shared; may be used by several threads.
/// @param request    borrowed for the call.
/// @param options    borrowed for the call; NULL for the defaults.
/// @param notify     called once when the task is done, perhaps before this function returns; may be
///                   NULL.
/// @param user_data  given to notify; must live until it was called.
/// @param task       receives a task owned by the caller; free with unsandbox_task_free. Required.
/// @param err        receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, _CONFIG, … What goes wrong later comes from
///         unsandbox_task_wait.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_start(
    client: *const unsandbox_client,
    request: *const unsandbox_request,
    options: *const unsandbox_options,
    notify: unsandbox_notify_fn,
    user_data: *mut c_void,
    task: *mut *mut unsandbox_task,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(task, "task", || {
            let client = client_of(client)?;
            let request = handle(request, "request")?.request.clone();
            start(notify, user_data, |notify| {
                let options = call_options(options);
                match request.language {
                    Some(_) => client.start_execute(request, options, Some(notify)),
                    None => client.start_run(request, options, Some(notify)),
                }
            })
        })
    })
}

/// Waits for the end of a job as a task. Cancelling the task ends the wait and not the job.
///
/// @param client     shared; may be used by several threads.
/// @param job_id     copied.
/// @param options    borrowed for the call; NULL for the defaults.
/// @param notify     called once when the task is done, perhaps before this function returns; may be
///                   NULL.
/// @param user_data  given to notify; must live until it was called.
/// @param task       receives a task owned by the caller; free with unsandbox_task_free. Required.
/// @param err        receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, … What goes wrong later comes from
///         unsandbox_task_wait.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_start_wait_job(
    client: *const unsandbox_client,
    job_id: *const c_char,
    job_id_len: usize,
    options: *const unsandbox_options,
    notify: unsandbox_notify_fn,
    user_data: *mut c_void,
    task: *mut *mut unsandbox_task,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(task, "task", || {
            let client = client_of(client)?.clone();
            let job_id = text(job_id, job_id_len, "job_id")?.to_string();
            start(notify, user_data, |notify| {
                let options = call_options(options);
                Task::spawn(options.cancel.clone(), Some(notify), move |_| {
                    client.with(options).wait_job(&job_id)
                })
            })
        })
    })
}

/// Waits for the end of a task, at most timeout_ms milliseconds; 0 only looks, a negative number waits
/// without limit. The end can be taken once; after that it is UNSANDBOX_ERR_CONFLICT.
///
/// @param task    shared; may be used by several threads.
/// @param result  receives a result owned by the caller; free with unsandbox_result_free. Required.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK with a result; UNSANDBOX_PENDING, with nothing, when the time was over; or an
///         error as from unsandbox_client_execute.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_wait(
    task: *const unsandbox_task,
    timeout_ms: i64,
    result: *mut *mut unsandbox_result,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let out = required(result, "result")?;
        let task = handle(task, "task")?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        let Some(end) = task.task.wait(timeout) else {
            return Ok(unsandbox_code::UNSANDBOX_PENDING as i32);
        };
        give_out(out, "result", || Ok(ResultBox::new(end?).into_raw()))?;
        Ok(unsandbox_code::UNSANDBOX_OK as i32)
    })
}

/// 1 once the task is done, else 0; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_is_done(task: *const unsandbox_task) -> i32 {
    ffi!(or 0, { handle(task, "task").map_or(0, |it| i32::from(it.task.is_done())) })
}

/// A descriptor for poll, epoll, kqueue and the like: readable once the task is done, and from then
/// on. Never read from it, never close it.
///
/// @param fd   receives the descriptor, valid until the task is freed; -1 on Windows. Required.
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, or _INTERNAL where the process has no descriptor left.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_fd(
    task: *const unsandbox_task,
    fd: *mut i32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(fd, "fd", || {
            let descriptor = handle(task, "task")?.signal.descriptor()?;
            Ok(descriptor)
        })
    })
}

/// Stops what the task does; its end is then UNSANDBOX_ERR_CANCELLED, unless it has come already.
/// Returns at once; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_cancel(task: *const unsandbox_task) {
    ffi!(or(), {
        if let Some(it) = optional_handle(task) {
            it.task.cancel();
        }
    })
}

/// Frees a task, and cancels it if it is not done; NULL is fine. notify may still be called once, so
/// user_data must outlive that call; a caller that cannot promise this waits for the task first.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_task_free(task: *mut unsandbox_task) {
    ffi!(or(), {
        if let Some(it) = optional_handle(task)
            && !it.task.is_done()
        {
            it.task.cancel();
        }
        free(task);
    })
}

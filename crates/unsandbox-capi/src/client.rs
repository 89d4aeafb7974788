// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client and its blocking operations.

use crate::boundary::{ffi, give_out, handle};
use crate::config::{builder, unsandbox_config};
use crate::error::unsandbox_error;
use crate::info::{unsandbox_health, unsandbox_key, unsandbox_language_list, unsandbox_probe};
use crate::job::{JobBox, unsandbox_job, unsandbox_job_list};
use crate::options::{call_options, unsandbox_options};
use crate::request::unsandbox_request;
use crate::result::{ResultBox, unsandbox_result};
use crate::text::{Text, give, give_empty, optional_text, text};
use crate::usage::unsandbox_usage;
use std::ffi::c_char;
use unsandbox::{Client, Page};
use unsandbox_protocol::Error;

/// A place that runs code. Shareable: any number of threads may use one client at once, and should,
/// for it keeps connections and warm sandboxes.
pub struct unsandbox_client {
    pub client: Client,
    endpoint: Text,
}

/// The client behind a handle.
pub fn client_of<'a>(client: *const unsandbox_client) -> Result<&'a Client, Error> {
    handle(client, "client").map(|it| &it.client)
}

fn made(client: Client) -> *mut unsandbox_client {
    let endpoint = Text::copy(client.endpoint());
    Box::into_raw(Box::new(unsandbox_client { client, endpoint }))
}

/// Makes a client from a configuration; what that leaves open comes from the environment. Nothing is
/// connected or started yet.
///
/// @param config  borrowed for the call; NULL is an empty configuration.
/// @param client  receives a client owned by the caller; free with unsandbox_client_free. Required.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONFIG or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_new(
    config: *const unsandbox_config,
    client: *mut *mut unsandbox_client,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(client, "client", || {
            Ok(made(match handle(config, "config") {
                Ok(config) => config.builder.clone().build()?,
                Err(_) => builder().build()?,
            }))
        })
    })
}

/// Makes a client from the environment alone: UNSANDBOX_URL, else https://api.unsandbox.com where a
/// key is configured, else this machine ("local:").
///
/// @param client  receives a client owned by the caller; free with unsandbox_client_free. Required.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONFIG or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_from_env(
    client: *mut *mut unsandbox_client,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, { give_out(client, "client", || Ok(made(builder().build()?))) })
}

/// Where the client's programs run: "local:", or a URL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the client is freed; "" for NULL.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_endpoint(
    client: *const unsandbox_client,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        handle(client, "client").map_or_else(|_| give_empty(len), |it| give(&it.endpoint, len))
    })
}

/// 1 where the programs run on this machine, else 0; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_is_local(client: *const unsandbox_client) -> i32 {
    ffi!(or 0, { client_of(client).map_or(0, |it| i32::from(it.is_local())) })
}

/// Ends what runs, and with it every sandbox of a local client; later operations fail. NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_close(client: *const unsandbox_client) {
    ffi!(or(), {
        if let Ok(it) = client_of(client) {
            it.close();
        }
    })
}

/// Frees a client; NULL is fine. Tasks keep what they need of it; the last user ends the sandboxes.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_free(client: *mut unsandbox_client) {
    ffi!(or(), { crate::boundary::free(client) })
}

/// Runs a program whose language the request names, and waits for the result.
///
/// Blocks for queue, compiler and at most the request's ttl, or until the options' timeout.
///
/// @param client   shared; may be used by several threads.
/// @param request  borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, also where the program failed: that is a result. UNSANDBOX_ERR_ARGUMENT, _CONNECT,
///         _TIMEOUT, _CANCELLED, _AUTH, _RATE_LIMITED, _LANGUAGE_UNAVAILABLE, _ISOLATION_UNAVAILABLE, _API
///         or _SERVER.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_execute(
    client: *const unsandbox_client,
    request: *const unsandbox_request,
    options: *const unsandbox_options,
    result: *mut *mut unsandbox_result,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(result, "result", || {
            let client = client_of(client)?;
            let request = &handle(request, "request")?.request;
            let made = client.with(call_options(options)).execute(request)?;
            Ok(ResultBox::new(made).into_raw())
        })
    })
}

/// Runs a program whose language is detected from its text, and waits for the result; a language that
/// the request names is not looked at.
///
/// Blocks for queue, compiler and at most the request's ttl, or until the options' timeout.
///
/// @param client   shared; may be used by several threads.
/// @param request  borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, also where the program failed: that is a result. UNSANDBOX_ERR_ARGUMENT, _CONNECT,
///         _TIMEOUT, _CANCELLED, _AUTH, _RATE_LIMITED, _LANGUAGE_UNAVAILABLE, _ISOLATION_UNAVAILABLE, _API
///         or _SERVER.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_run(
    client: *const unsandbox_client,
    request: *const unsandbox_request,
    options: *const unsandbox_options,
    result: *mut *mut unsandbox_result,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(result, "result", || {
            let client = client_of(client)?;
            let request = &handle(request, "request")?.request;
            let made = client.with(call_options(options)).run(request)?;
            Ok(ResultBox::new(made).into_raw())
        })
    })
}

/// Submits a program whose language the request names, and returns at once.
///
/// The job goes on without its caller; its id is all that is needed to come back for it.
///
/// @param client   shared; may be used by several threads.
/// @param request  borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param job      receives a job owned by the caller; free with unsandbox_job_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, _CONNECT,
///         _TIMEOUT, _CANCELLED, _AUTH, _RATE_LIMITED, _LANGUAGE_UNAVAILABLE, _ISOLATION_UNAVAILABLE, _API
///         or _SERVER.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_execute_async(
    client: *const unsandbox_client,
    request: *const unsandbox_request,
    options: *const unsandbox_options,
    job: *mut *mut unsandbox_job,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(job, "job", || {
            let client = client_of(client)?;
            let request = &handle(request, "request")?.request;
            let made = client.with(call_options(options)).execute_async(request)?;
            Ok(JobBox::new(made).into_raw())
        })
    })
}

/// Submits a program whose language is detected from its text, and returns at once.
///
/// @param client   shared; may be used by several threads.
/// @param request  borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param job      receives a job owned by the caller; free with unsandbox_job_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, or as for unsandbox_client_execute_async.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_run_async(
    client: *const unsandbox_client,
    request: *const unsandbox_request,
    options: *const unsandbox_options,
    job: *mut *mut unsandbox_job,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(job, "job", || {
            let client = client_of(client)?;
            let request = &handle(request, "request")?.request;
            let made = client.with(call_options(options)).run_async(request)?;
            Ok(JobBox::new(made).into_raw())
        })
    })
}

/// Asks how a job is.
///
/// @param client   shared; may be used by several threads.
/// @param job_id   borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param job      receives a job owned by the caller; free with unsandbox_job_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND for a job that does not exist for this key, _JOB_LOST for
///         one of which the server had told this client and which it has forgotten, _CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_get_job(
    client: *const unsandbox_client,
    job_id: *const c_char,
    job_id_len: usize,
    options: *const unsandbox_options,
    job: *mut *mut unsandbox_job,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(job, "job", || {
            let client = client_of(client)?;
            let job_id = text(job_id, job_id_len, "job_id")?;
            let made = client.with(call_options(options)).get_job(job_id)?;
            Ok(JobBox::new(made).into_raw())
        })
    })
}

/// Waits for the end of a job and gives its result. The options' timeout bounds the wait: past it the
/// call returns UNSANDBOX_ERR_TIMEOUT, and the job goes on. Their function for output is given that of
/// the job, from its begin.
///
/// @param client   shared; may be used by several threads.
/// @param job_id   borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND, _JOB_LOST, _TIMEOUT, _CANCELLED, _CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_wait_job(
    client: *const unsandbox_client,
    job_id: *const c_char,
    job_id_len: usize,
    options: *const unsandbox_options,
    result: *mut *mut unsandbox_result,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(result, "result", || {
            let client = client_of(client)?;
            let job_id = text(job_id, job_id_len, "job_id")?;
            let made = client.with(call_options(options)).wait_job(job_id)?;
            Ok(ResultBox::new(made).into_raw())
        })
    })
}

/// Cancels a job and gives what it had written by then; a job that is over is given as it is.
///
/// @param client   shared; may be used by several threads.
/// @param job_id   borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND, _JOB_LOST, _CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_cancel_job(
    client: *const unsandbox_client,
    job_id: *const c_char,
    job_id_len: usize,
    options: *const unsandbox_options,
    result: *mut *mut unsandbox_result,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(result, "result", || {
            let client = client_of(client)?;
            let job_id = text(job_id, job_id_len, "job_id")?;
            let made = client.with(call_options(options)).cancel_job(job_id)?;
            Ok(ResultBox::new(made).into_raw())
        })
    })
}

/// Deletes a job that has ended, with its result, its artifacts and its idempotency key: it is not found from
/// then on. One that waits or runs is refused; unsandbox_client_cancel_job ends it.
///
/// @param client   shared; may be used by several threads.
/// @param job_id   borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONFLICT for a job that has not ended, _NOT_FOUND, _ARGUMENT at an endpoint
///         that deletes no jobs, as the service, _CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_delete_job(
    client: *const unsandbox_client,
    job_id: *const c_char,
    job_id_len: usize,
    options: *const unsandbox_options,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let client = client_of(client)?;
        let job_id = text(job_id, job_id_len, "job_id")?;
        client.with(call_options(options)).delete_job(job_id)
    })
}

/// Lists the jobs of this key that are pending or running.
///
/// @param client   shared; may be used by several threads.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param jobs     receives a list owned by the caller; free with unsandbox_job_list_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, _AUTH, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_list_jobs(
    client: *const unsandbox_client,
    options: *const unsandbox_options,
    jobs: *mut *mut unsandbox_job_list,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(jobs, "jobs", || {
            let made = client_of(client)?.with(call_options(options)).list_jobs()?;
            Ok(Box::into_raw(unsandbox_job_list::boxed(made.into())))
        })
    })
}

/// Lists a part of the jobs of this key that are pending or running, in the order of their submissions.
/// unsandbox_job_list_has_more says whether the list goes on behind it.
///
/// @param client   shared; may be used by several threads.
/// @param limit    the most jobs, 1 to 1000; 0 for as many as there are.
/// @param after    id of a job, as the last one of the part before: only jobs behind it. It may have ended since
///                 (but not at the service). NULL or empty from the beginning. Borrowed for the call.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param jobs     receives a list owned by the caller; free with unsandbox_job_list_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT for a larger limit, and for after where it is not a job of this key
///         any more, _CONNECT, _AUTH, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_list_jobs_page(
    client: *const unsandbox_client,
    limit: u32,
    after: *const c_char,
    after_len: usize,
    options: *const unsandbox_options,
    jobs: *mut *mut unsandbox_job_list,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(jobs, "jobs", || {
            let client = client_of(client)?;
            let after = optional_text(after, after_len, "after")?.filter(|after| !after.is_empty());
            let limit = Some(limit as usize).filter(|limit| *limit > 0);
            let page = Page { limit, after: after.map(str::to_string) };
            let made = client.with(call_options(options)).list_jobs_page(&page)?;
            Ok(Box::into_raw(unsandbox_job_list::boxed(made)))
        })
    })
}

/// Lists the languages that the endpoint offers.
///
/// @param client   shared; may be used by several threads.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param languages receives a list owned by the caller; free with unsandbox_language_list_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_languages(
    client: *const unsandbox_client,
    options: *const unsandbox_options,
    languages: *mut *mut unsandbox_language_list,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(languages, "languages", || {
            let client = client_of(client)?;
            let made = client.with(call_options(options)).languages()?;
            Ok(Box::into_raw(unsandbox_language_list::boxed(made)))
        })
    })
}

/// Asks whether the configured key is good. A key that is not is an answer and no error.
///
/// @param client   shared; may be used by several threads.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param key      receives an object owned by the caller; free with unsandbox_key_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_validate_key(
    client: *const unsandbox_client,
    options: *const unsandbox_options,
    key: *mut *mut unsandbox_key,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(key, "key", || {
            let client = client_of(client)?;
            let made = client.with(call_options(options)).validate_key()?;
            Ok(Box::into_raw(unsandbox_key::boxed(made)))
        })
    })
}

/// Asks what the key may have of the endpoint, what it has now, and what it has used since the server started. At "local:"
/// it is what the engine of this client has run; requests are not counted there, and every language, limit and network
/// mode may be asked for.
///
/// @param client   shared; may be used by several threads.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param usage    receives an object owned by the caller; free with unsandbox_usage_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT at an endpoint that does not tell it, as the service, _CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_usage(
    client: *const unsandbox_client,
    options: *const unsandbox_options,
    usage: *mut *mut unsandbox_usage,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(usage, "usage", || {
            let client = client_of(client)?;
            let made = client.with(call_options(options)).usage()?;
            Ok(Box::into_raw(unsandbox_usage::boxed(made)))
        })
    })
}

/// Asks whether the endpoint takes executions. A server that says itself that it takes none, as one that
/// stops does, is an answer and no error.
///
/// @param client   shared; may be used by several threads.
/// @param options  borrowed for the call; NULL for the defaults.
/// @param health   receives an object owned by the caller; free with unsandbox_health_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_health(
    client: *const unsandbox_client,
    options: *const unsandbox_options,
    health: *mut *mut unsandbox_health,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(health, "health", || {
            let client = client_of(client)?;
            let made = client.with(call_options(options)).health()?;
            Ok(Box::into_raw(unsandbox_health::boxed(made)))
        })
    })
}

/// Asks which isolation layers this machine gives. Runs nothing of the user's.
///
/// @param client  shared; may be used by several threads.
/// @param probe   receives an object owned by the caller; free with unsandbox_probe_free. Required.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for a client of another endpoint than "local:".
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_probe(
    client: *const unsandbox_client,
    probe: *mut *mut unsandbox_probe,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(probe, "probe", || {
            let made = client_of(client)?.probe()?;
            Ok(Box::into_raw(unsandbox_probe::boxed(made)))
        })
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request builder. Setters copy. The protocol checks the limits when the request is used, so that every face
//! refuses the same values with the same message.

use crate::boundary::{ffi, free, give_out, handle_mut};
use crate::error::unsandbox_error;
use crate::text::{bytes, optional_text, text};
use std::ffi::c_char;
use unsandbox_protocol::rules::limit_error;
use unsandbox_protocol::{Error, InputFile, Request, Rerun};

/// One program and its options. Belongs to one thread at a time; using it does not change it, so one
/// request may be executed many times.
pub struct unsandbox_request {
    pub request: Request,
}

fn made(request: Request) -> *mut unsandbox_request {
    Box::into_raw(Box::new(unsandbox_request { request }))
}

/// Makes a request whose language is known, for unsandbox_client_execute and _execute_async.
///
/// @param language  name or alias, such as "python" or "js"; copied.
/// @param code      the program, UTF-8; copied. May hold NUL where the language allows it.
/// @param request   receives a request owned by the caller; free with unsandbox_request_free. Required.
/// @param err       receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_new(
    language: *const c_char,
    language_len: usize,
    code: *const c_char,
    code_len: usize,
    request: *mut *mut unsandbox_request,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(request, "request", || {
            let language = text(language, language_len, "language")?;
            Ok(made(Request::new(language, text(code, code_len, "code")?)))
        })
    })
}

/// Makes a request whose language is detected (a fence of back-quotes, shebang, else content), for unsandbox_client_run and
/// _run_async.
///
/// @param code     the program, UTF-8; copied.
/// @param request  receives a request owned by the caller; free with unsandbox_request_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_new_detect(
    code: *const c_char,
    code_len: usize,
    request: *mut *mut unsandbox_request,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(request, "request", || Ok(made(Request::detect(text(code, code_len, "code")?))))
    })
}

/// Adds a variable to the program's environment, which otherwise has nothing of this process's.
///
/// @param name   not empty, without "=" and NUL; copied.
/// @param value  without NUL; copied.
/// @param err    receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT. What a limit forbids is refused when the request
///         is used.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_add_env(
    request: *mut unsandbox_request,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        let name = text(name, name_len, "name")?.to_string();
        let value = text(value, value_len, "value")?.to_string();
        request.request.env.push((name, value));
        Ok(())
    })
}

/// Sets how much network the program has: "zerotrust" (none; the default) or "semitrusted".
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_network_mode(
    request: *mut unsandbox_request,
    network_mode: *const c_char,
    network_mode_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.network_mode =
            text(network_mode, network_mode_len, "network_mode")?.to_string();
        Ok(())
    })
}

/// Sets how long the program may run: 1 to 900 seconds (limit from the API), 60 unless set. Queue and
/// compiler are not counted.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_ttl(
    request: *mut unsandbox_request,
    ttl_seconds: i64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        handle_mut(request, "request")?.request.ttl = Some(ttl_seconds);
        Ok(())
    })
}

/// Asks for the compiled program among the artifacts (not 0) or not (0, the default).
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_return_artifact(
    request: *mut unsandbox_request,
    yes: i32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        handle_mut(request, "request")?.request.return_artifact = yes != 0;
        Ok(())
    })
}

/// Asks for the program compiled to WebAssembly among the artifacts (not 0) or not (0, the default).
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_return_wasm_artifact(
    request: *mut unsandbox_request,
    yes: i32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        handle_mut(request, "request")?.request.return_wasm_artifact = yes != 0;
        Ok(())
    })
}

/// Adds a file to the working directory of the program. Limits from the API: 10 files, 5 MB each,
/// 10 MB together, names of at most 256 characters without "/" and "..".
///
/// @param filename  copied; NULL with length 0 calls the file by its index, "0", "1", ….
/// @param content   any bytes; copied.
/// @param err       receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_add_input_file(
    request: *mut unsandbox_request,
    filename: *const c_char,
    filename_len: usize,
    content: *const u8,
    content_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        let filename = optional_text(filename, filename_len, "filename")?.map(str::to_string);
        let content = bytes(content, content_len, "content")?.to_vec();
        request.request.input_files.push(InputFile { filename, content });
        Ok(())
    })
}

/// Adds a file by its path in the working directory, as "pkg/util.py"; missing folders are made. At most 1,000 files,
/// 64 MB together, and 1,024 bytes of a path. For the local engine and servers of your own; the service does not know
/// it and refuses it.
///
/// @param path     relative, without "." and ".." as parts; copied.
/// @param content  any bytes; copied.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_add_file(
    request: *mut unsandbox_request,
    path: *const c_char,
    path_len: usize,
    content: *const u8,
    content_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        let filename = Some(text(path, path_len, "path")?.to_string());
        let content = bytes(content, content_len, "content")?.to_vec();
        request.request.files.push(InputFile { filename, content });
        Ok(())
    })
}

/// Sets the program's standard input; without it the program reads end of file at once.
///
/// @param data  any bytes; copied.
/// @param err   receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_stdin(
    request: *mut unsandbox_request,
    data: *const u8,
    data_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.stdin = Some(bytes(data, data_len, "data")?.to_vec());
        Ok(())
    })
}

/// Adds an argument of the program.
///
/// @param arg  without NUL; copied.
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_add_arg(
    request: *mut unsandbox_request,
    arg: *const c_char,
    arg_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.args.push(text(arg, arg_len, "arg")?.to_string());
        Ok(())
    })
}

/// Adds a flag of the compiler, such as "-O2"; docs/languages.md has the flags that each language takes. For the local
/// engine and servers of your own; the service does not know it and refuses it.
///
/// @param flag  without NUL; copied.
/// @param err   receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT. A flag that the language does not take is refused when the request
///         is used.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_add_flag(
    request: *mut unsandbox_request,
    flag: *const c_char,
    flag_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.flags.push(text(flag, flag_len, "flag")?.to_string());
        Ok(())
    })
}

/// Asks for files that the program makes or changes in the working directory, by a pattern such as "*.png", or by a
/// folder such as "out"; they come back as artifacts. docs/guides/artifacts.md has the rules of patterns. For the local
/// engine and servers of your own; the service does not know it and refuses it.
///
/// @param pattern  relative to the working directory; copied.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT. A pattern that leaves the working directory is refused when the
///         request is used.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_add_output(
    request: *mut unsandbox_request,
    pattern: *const c_char,
    pattern_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.outputs.push(text(pattern, pattern_len, "pattern")?.to_string());
        Ok(())
    })
}

/// Sets a limit of the run by its name, such as "memory_bytes"; docs/limits.md has the table of names, defaults and
/// bounds.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for an unknown name. A value outside the limit's
///         range is refused when the request is used.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_limit(
    request: *mut unsandbox_request,
    name: *const c_char,
    name_len: usize,
    value: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        let name = text(name, name_len, "name")?;
        if request.request.limits.set(name, value) { Ok(()) } else { Err(limit_error(name, value)) }
    })
}

/// Sets whether the program may run again if the server ends while it runs, for jobs of a server that keeps them on
/// disk: "never" (the default: the job is then failed, and its program may have run) or "if_lost". The service does not
/// know it and refuses it.
///
/// @param rerun  "never" or "if_lost"; copied.
/// @param err    receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for another word.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_rerun(
    request: *mut unsandbox_request,
    rerun: *const c_char,
    rerun_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        let word = text(rerun, rerun_len, "rerun")?;
        request.request.rerun = Rerun::parse(word).ok_or_else(|| {
            Error::argument(format!("rerun must be \"never\" or \"if_lost\", got {word:?}"))
        })?;
        Ok(())
    })
}

/// Sets the URL to which the server posts that the job has ended, for jobs of a server of your own with webhooks
/// (`unsandbox serve --webhooks`). Other servers, the local engine and calls that wait for the result refuse it.
///
/// @param url  http: or https: without user and fragment, at most 2048 bytes; copied, checked as the job is submitted.
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_callback_url(
    request: *mut unsandbox_request,
    url: *const c_char,
    url_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.callback_url = Some(text(url, url_len, "url")?.to_string());
        Ok(())
    })
}

/// Chooses the interpreter or compiler by its path; only for the local engine.
///
/// @param path  copied.
/// @param err   receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_set_runtime(
    request: *mut unsandbox_request,
    path: *const c_char,
    path_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let request = handle_mut(request, "request")?;
        request.request.runtime = Some(text(path, path_len, "path")?.to_string());
        Ok(())
    })
}

/// Frees a request; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_request_free(request: *mut unsandbox_request) {
    ffi!(or(), { free(request) })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox run`: a program from a file, the command line or standard input, with its output as it comes.

use crate::Done;
use crate::args::RunArgs;
use crate::endpoint::{client, leaves_this_machine, refuse_local};
use crate::failure::{Failure, say};
use crate::output::{Printer, Show, finish, line};
use crate::signals::Watch;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use unsandbox::protocol::language::language_of_extension;
use unsandbox::protocol::limits::INPUT_FILE_MAX_BYTES;
use unsandbox::protocol::wire;
use unsandbox::{
    CallOptions, Client, Error, ErrorCode, ExecutionResult, InputFile, IsolationPolicy, Request,
    Status, Stream,
};

pub(crate) fn run(mut args: RunArgs) -> Done {
    if args.wasm && args.artifacts.is_none() && !args.json {
        return Err(Failure::usage("--wasm makes a file; give --artifacts DIR, or --json"));
    }
    let isolation = IsolationPolicy::parse(&args.isolation)
        .ok_or_else(|| Failure::usage(format!("{:?} is no isolation level", args.isolation)))?;
    let client = client(std::mem::take(&mut args.endpoint), isolation)?;
    if args.asynchronous {
        refuse_local(&client)?;
    }
    let mut request = request(&args)?;
    let endpoint = client.endpoint();
    let unasked = leaves_this_machine(endpoint) && !client.endpoint_is_explicit();
    if args.verbose || unasked {
        say(&format!("runs at {endpoint}"));
    }
    let stdin = stdin(&args)?;
    let stdin = if client.is_local() {
        stdin
    } else {
        send_whole(stdin, &mut request)?;
        None
    };
    let done = if args.asynchronous {
        submit(&client, &request, &args)
    } else {
        watch(&client, request, stdin, &args)
    };
    // Ends the engine at once, with whatever still runs in it.
    client.close();
    done
}

fn submit(client: &Client, request: &Request, args: &RunArgs) -> Done {
    let job = match request.language {
        Some(_) => client.execute_async(request)?,
        None => client.run_async(request)?,
    };
    line(&if args.json { wire::encode_submitted(&job) } else { job.job_id })?;
    Ok(0)
}

enum Event {
    Output(Stream, Vec<u8>),
    Done(Result<ExecutionResult, Error>),
}

/// Ends the program; from any thread, and without waiting.
type Stop = Arc<dyn Fn() + Send + Sync>;

/// Runs and shows the output while it comes. All writing is done here: a reader who is slow, or gone,
/// must not hold up the engine's threads.
fn watch(
    client: &Client,
    request: Request,
    stdin: Option<Box<dyn Read + Send>>,
    args: &RunArgs,
) -> Done {
    let (sender, events) = mpsc::channel();
    let mut options = CallOptions::new();
    options.stdin = stdin;
    if !args.json {
        let sender = sender.clone();
        options = options.on_output(move |stream, bytes| {
            let _ = sender.send(Event::Output(stream, bytes.to_vec()));
        });
    }
    let start = if client.is_local() { start_here } else { start_there };
    let stop = start(client, request, options, sender)?;
    let asked = stop.clone();
    let signals = Watch::start(move || asked(), |exit_code| std::process::exit(exit_code))?;
    let mut printer = Printer::default();
    let mut unheard = None;
    let end = loop {
        match events.recv() {
            Ok(Event::Done(end)) => break end,
            Ok(Event::Output(stream, bytes)) if unheard.is_none() => {
                if let Err(failure) = printer.print(stream, &bytes) {
                    unheard = Some(failure);
                    stop();
                }
            }
            Ok(Event::Output(..)) => {}
            Err(_) => break Err(Error::internal("a call gave no end")),
        }
    };
    if let Some(failure) = unheard {
        return Err(failure);
    }
    let result = match end {
        Ok(result) => result,
        Err(error) => partial(client, error, &signals)?,
    };
    let show =
        Show { json: args.json, artifacts: args.artifacts.as_deref(), verbose: args.verbose };
    let exit_code = finish(printer, &result, &show)?;
    let cancelled = result.status == Status::Cancelled;
    Ok(signals.exit_code().filter(|_| cancelled).unwrap_or(exit_code))
}

/// On `local:` the run is a job of the engine, so that what it had written is there after an interrupt.
fn start_here(
    client: &Client,
    request: Request,
    options: CallOptions,
    sender: Sender<Event>,
) -> Result<Stop, Failure> {
    let job = match request.language {
        Some(_) => client.execute_async_with(&request, options)?,
        None => client.run_async_with(&request, options)?,
    };
    let (waiting, job_id) = (client.clone(), job.job_id.clone());
    spawn(move || {
        let _ = sender.send(Event::Done(waiting.wait_job(&job_id, None)));
    })?;
    let client = client.clone();
    Ok(Arc::new(move || {
        let (client, job_id) = (client.clone(), job.job_id.clone());
        // Its end comes by the other thread; without a thread there is none to be had.
        let _ = spawn(move || drop(client.cancel_job(&job_id)));
    }))
}

fn start_there(
    client: &Client,
    request: Request,
    mut options: CallOptions,
    sender: Sender<Event>,
) -> Result<Stop, Failure> {
    // So that an interrupt ends the program at any server, and brings back what it had written.
    options.cancel_job = true;
    let cancel = options.cancel.clone();
    let client = client.clone();
    spawn(move || {
        let end = match request.language {
            Some(_) => client.execute_with(&request, options),
            None => client.run_with(&request, options),
        };
        let _ = sender.send(Event::Done(end));
    })?;
    Ok(Arc::new(move || cancel.cancel()))
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new().name("unsandbox-call".to_string()).spawn(body);
    thread.map(drop).map_err(|error| Failure::failed(format!("no thread for the call: {error}")))
}

/// What an interrupted run at a server had written by then.
fn partial(client: &Client, error: Error, signals: &Watch) -> Result<ExecutionResult, Failure> {
    let Some(exit_code) = signals.exit_code().filter(|_| error.code() == ErrorCode::Cancelled)
    else {
        return Err(error.into());
    };
    let quiet = || Failure::failed("interrupted").exit_code(exit_code);
    let job_id = error.job_id().ok_or_else(quiet)?;
    client.cancel_job(job_id).map_err(|_| quiet())
}

fn request(args: &RunArgs) -> Result<Request, Failure> {
    let code = match (&args.code, &args.file) {
        (Some(code), _) => code.clone(),
        (None, Some(file)) => source(file)?,
        (None, None) => return Err(Failure::usage("give a FILE, or a program with -c")),
    };
    let of_file = || {
        let extension = args.file.as_ref()?.extension()?.to_str()?;
        Some(language_of_extension(extension)?.name.to_string())
    };
    let mut request = Request::detect(code);
    request.language = args.language.clone().or_else(of_file);
    request.env.clone_from(&args.env);
    request.network_mode.clone_from(&args.network_mode);
    request.ttl = args.ttl;
    request.return_artifact = args.artifacts.is_some();
    request.return_wasm_artifact = args.wasm;
    request.args.clone_from(&args.args);
    request.runtime.clone_from(&args.runtime);
    for file in &args.files {
        request.input_files.push(input_file(file)?);
    }
    for (name, value) in &args.limits {
        request.limits.set(name, *value);
    }
    Ok(request)
}

fn source(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if is_dash(file) {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    let shown = file.display();
    read.map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{shown} is not UTF-8 text")))
}

/// `PATH`, or `NAME=PATH`.
fn input_file(text: &str) -> Result<InputFile, Failure> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name.to_string(), Path::new(path)),
        None => {
            let name = Path::new(text).file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| {
                Failure::usage(format!("the file {text:?} has no name of its own; give NAME=PATH"))
            })?;
            (name.to_string(), Path::new(text))
        }
    };
    let mut content = Vec::new();
    // One byte more than is allowed is enough for the refusal.
    File::open(path)
        .and_then(|file| file.take(INPUT_FILE_MAX_BYTES as u64 + 1).read_to_end(&mut content))
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(InputFile { filename: Some(name), content })
}

/// The program's standard input, by the rule that the help states.
fn stdin(args: &RunArgs) -> Result<Option<Box<dyn Read + Send>>, Failure> {
    let source_is_stdin = args.file.as_deref().is_some_and(is_dash);
    match args.stdin.as_deref() {
        Some(path) if is_dash(path) => {
            if source_is_stdin {
                return Err(Failure::usage(
                    "standard input cannot be both the program and its input; give a file for one",
                ));
            }
            Ok(Some(Box::new(std::io::stdin())))
        }
        Some(path) => match File::open(path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        },
        None if source_is_stdin || std::io::stdin().is_terminal() => Ok(None),
        None => Ok(Some(Box::new(std::io::stdin()))),
    }
}

/// A server gets standard input in one piece. An empty one is left out: the service does not know it.
fn send_whole(stdin: Option<Box<dyn Read + Send>>, request: &mut Request) -> Result<(), Failure> {
    if let Some(mut stdin) = stdin {
        let mut bytes = Vec::new();
        stdin
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
        request.stdin = Some(bytes).filter(|bytes| !bytes.is_empty());
    }
    Ok(())
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

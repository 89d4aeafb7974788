// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox run`: runs a program from a file, the command line or standard input, and prints its output as it comes.

use crate::Done;
use crate::args::{Cli, RunArgs};
use crate::endpoint::{build, builder, leaves_this_machine, need_kept_jobs};
use crate::failure::Failure;
use crate::output::{Printer, Show, finish};
use crate::running::{Event, Running};
use crate::signals::Watch;
use crate::terminal::{self, is_watched, line, say};
use clap::CommandFactory;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use unsandbox::protocol::backend::lost;
use unsandbox::protocol::detect::detect;
use unsandbox::protocol::language::language_of_extension;
use unsandbox::protocol::limits::{FILES_MAX, FILES_TOTAL_MAX_BYTES, INPUT_FILE_MAX_BYTES};
use unsandbox::protocol::shell::shell_word;
use unsandbox::protocol::webhook::refuse_synchronous;
use unsandbox::protocol::wire;
use unsandbox::{CallOptions, Client, InputFile, Request, read_whole};

pub(crate) fn run(mut args: RunArgs) -> Done {
    if args.wasm && args.artifacts.is_none() && !args.json {
        return Err(Failure::usage("--wasm needs --artifacts DIR or --json"));
    }
    refuse_what_does_nothing(&args)?;
    let is_given = args.endpoint.is_given();
    let mut builder = builder(std::mem::take(&mut args.endpoint)).isolation(args.isolation);
    for host in std::mem::take(&mut args.egress_allow) {
        builder = builder.egress_allow(host);
    }
    let client = build(builder, is_given)?;
    if args.asynchronous {
        need_kept_jobs(&client)?;
    }
    if let Some(directory) = &args.artifacts {
        // Before the program runs, so that an error in the path wastes no run.
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::usage(format!(
                "--artifacts {}: cannot make the directory: {error}",
                directory.display()
            ))
        })?;
    }
    let mut request = request(&args)?;
    let endpoint = client.endpoint();
    let unasked = leaves_this_machine(endpoint) && !client.endpoint_is_explicit();
    if args.verbose || unasked {
        say(&format!("runs at {endpoint}"));
    }
    if !args.asynchronous {
        // A run that is waited for is a job, too.
        refuse_synchronous(&request)?;
    }
    let stdin = stdin(&args)?;
    let stdin = if client.backend()?.capabilities().streams_stdin {
        stdin
    } else {
        send_whole(stdin, &mut request)?;
        None
    };
    let done = if args.asynchronous {
        submit(&client, &request, &args)
    } else {
        watch(&client, &request, stdin, &args)
    };
    let done = done.map_err(|failure| name_language(failure, &request, &args));
    // Ends the engine at once, with all its runs.
    client.close();
    done
}

fn refuse_what_does_nothing(args: &RunArgs) -> Result<(), Failure> {
    if !args.egress_allow.is_empty() && args.network_mode != "semitrusted" {
        return Err(Failure::usage(format!(
            "--egress-allow is for semitrusted programs, and network_mode is {}; add -n semitrusted",
            args.network_mode
        )));
    }
    // A flag of ours behind the program is a word of the program, which is easily overlooked.
    let run = Cli::command();
    let run = run.find_subcommand("run");
    let is_ours = |word: &String| {
        let long = word.strip_prefix("--").and_then(|word| word.split('=').next());
        run.is_some_and(|run| {
            run.get_arguments().any(|arg| long.is_some() && arg.get_long() == long)
        })
    };
    if let (true, Some(word)) =
        (!args.quiet && is_watched(), args.args.iter().find(|it| is_ours(it)))
    {
        say(&format!("{word} is a word of the program; options of unsandbox stand before it"));
    }
    Ok(())
}

/// The way to name a language, if it is the reason of a failure that it could not be detected.
fn name_language(failure: Failure, request: &Request, args: &RunArgs) -> Failure {
    if !failure.is_usage() || request.language.is_some() || detect(&request.code).is_ok() {
        return failure;
    }
    let file = args.file.as_deref().map(|file| file.to_string_lossy().into_owned());
    let program = file.as_ref().map_or("-c CODE".to_string(), |file| shell_word(file).into_owned());
    let failure = match file {
        Some(file) if file != "-" => failure.about(&file),
        _ => failure,
    };
    failure.hint(format!(
        "name the language with -l, as in `unsandbox run -l python {program}`; `unsandbox languages` lists them"
    ))
}

fn submit(client: &Client, request: &Request, args: &RunArgs) -> Done {
    let job = match request.language {
        Some(_) => client.execute_async(request)?,
        None => client.run_async(request)?,
    };
    match args.json {
        true => terminal::json(&wire::encode_submitted(&job))?,
        false => line(&job.job_id)?,
    }
    Ok(0)
}

/// Runs a program and prints its output as it comes. All writes happen on this thread: a reader that is slow or gone
/// must not block the engine's threads.
fn watch(
    client: &Client,
    request: &Request,
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
    let running = Running::new(client, sender, options.cancel.clone());
    let asked = running.clone();
    let signals = Watch::start(move || asked.stop(), |exit_code| std::process::exit(exit_code))?;
    let interrupted = |failure: Failure| match signals.exit_code() {
        Some(exit_code) => failure.exit_code(exit_code),
        None => failure,
    };
    running.start(request, options).map_err(interrupted)?;
    let mut printer = Printer::default();
    let mut output_failure = None;
    let end = loop {
        match events.recv() {
            Ok(Event::Done(end)) => break *end,
            Ok(Event::Output(stream, bytes)) if output_failure.is_none() => {
                if let Err(failure) = printer.print(stream, &bytes) {
                    output_failure = Some(failure);
                    running.stop();
                }
            }
            Ok(Event::Output(..)) => {}
            Err(_) => break Err(lost(None)),
        }
    };
    if let Some(failure) = output_failure {
        return Err(failure);
    }
    let result = end.map_err(|error| interrupted(running.lost(error)))?;
    let show = Show {
        json: args.json,
        artifacts: args.artifacts.as_deref(),
        names_left_files: args.outputs.is_empty(),
        verbose: args.verbose,
        quiet: args.quiet,
        interrupted: signals.exit_code(),
    };
    finish(printer, &result, &show)
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
    request.flags.clone_from(&args.flags);
    request.outputs.clone_from(&args.outputs);
    args.options.set(&mut request)?;
    for file in &args.files {
        add_file(&mut request, file)?;
    }
    for (name, value) in &args.limits {
        request.limits.set(name, *value);
    }
    Ok(request)
}

fn source(file: &Path) -> Result<String, Failure> {
    let shown = file.display().to_string();
    let bytes = if is_dash(file) {
        if std::io::stdin().is_terminal() {
            say("the program is read from this terminal, up to Ctrl-D; -l names its language");
        }
        read_whole("the program on standard input", std::io::stdin().lock())?
    } else {
        let file = File::open(file)
            .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
        read_whole(&shown, file)?
    };
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{shown} is not UTF-8 text")))
}

/// `PATH`, or `NAME=PATH`: a file, or a folder with all that is in it. The service knows files without a folder alone.
fn add_file(request: &mut Request, text: &str) -> Result<(), Failure> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name.to_string(), Path::new(path)),
        None => {
            // `.`: what is in it, without a folder around it.
            if Path::new(text).is_dir() && Path::new(text).file_name().is_none() {
                return add_folder(request, "", Path::new(text));
            }
            let name = Path::new(text).file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| {
                Failure::usage(format!("the file {text:?} has no name of its own; give NAME=PATH"))
            })?;
            (name.to_string(), Path::new(text))
        }
    };
    if path.is_dir() {
        return add_folder(request, &name, path);
    }
    let max = if name.contains('/') { FILES_TOTAL_MAX_BYTES } else { INPUT_FILE_MAX_BYTES };
    let file = InputFile { content: content_of(path, max)?, filename: Some(name) };
    let is_flat = !file.filename.iter().any(|name| name.contains('/'));
    if is_flat { &mut request.input_files } else { &mut request.files }.push(file);
    Ok(())
}

/// Links to folders are not followed: they may lead back.
fn add_folder(request: &mut Request, name: &str, folder: &Path) -> Result<(), Failure> {
    let unreadable =
        |error| Failure::usage(format!("cannot read the folder {}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    paths.sort();
    for path in paths {
        let Some(own) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Failure::usage(format!(
                "the name of {} is not UTF-8 text",
                path.display()
            )));
        };
        let name = if name.is_empty() { own.to_string() } else { format!("{name}/{own}") };
        if path.is_dir() && !path.is_symlink() {
            add_folder(request, &name, &path)?;
        } else if path.is_file() {
            if request.files.len() == FILES_MAX {
                return Err(Failure::usage(format!(
                    "{} has more than {FILES_MAX} files, the limit",
                    folder.display()
                )));
            }
            let content = content_of(&path, FILES_TOTAL_MAX_BYTES)?;
            request.files.push(InputFile { filename: Some(name), content });
        }
    }
    Ok(())
}

/// One byte over the limit is enough for the refusal.
fn content_of(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max as u64 + 1).read_to_end(&mut content))
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(content)
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
            Ok(file) if file.metadata().is_ok_and(|it| it.is_dir()) => {
                Err(Failure::usage(format!(
                    "--stdin {}: it is a directory; give a file, or - for this command's own input",
                    path.display()
                )))
            }
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        },
        None if source_is_stdin || std::io::stdin().is_terminal() => Ok(None),
        None => Ok(Some(Box::new(std::io::stdin()))),
    }
}

/// Sends standard input in one piece, as servers need it. Empty input is omitted: the hosted service does not know
/// the field.
fn send_whole(stdin: Option<Box<dyn Read + Send>>, request: &mut Request) -> Result<(), Failure> {
    if let Some(stdin) = stdin {
        let bytes = read_whole("standard input", stdin)?;
        request.stdin = Some(bytes).filter(|bytes| !bytes.is_empty());
    }
    Ok(())
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

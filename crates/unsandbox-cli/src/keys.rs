// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox keys`: makes keys for `unsandbox serve`, and tells what signs the webhooks of one.

use crate::Done;
use crate::args::{EndpointArgs, KeysArgs, KeysCommand, NewKeyArgs};
use crate::endpoint::builder;
use crate::failure::Failure;
use crate::terminal::{self, line, say};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use unsandbox::protocol::auth::hex;

/// 32 letters and digits that are not mistaken for each other: five random bits each.
const SYMBOLS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

pub(crate) fn run(args: KeysArgs) -> Done {
    match args.command {
        KeysCommand::New(args) => new(&args),
        KeysCommand::WebhookSecret(args) => webhook_secret(args),
    }
}

fn webhook_secret(args: EndpointArgs) -> Done {
    line(&builder(args).webhook_secret()?.expose())?;
    Ok(0)
}

fn new(args: &NewKeyArgs) -> Done {
    let comment = args.comment.as_deref().unwrap_or_default().trim();
    if comment.chars().any(char::is_control) {
        return Err(Failure::usage("--comment has a control character; it is one line of text"));
    }
    let end = if comment.is_empty() { String::new() } else { format!(",{comment}") };
    let secret = format!("unsb-sk-{}", grouped(4, 5)?);
    let (rows, entry) = if args.pair {
        let public = format!("unsb-pk-{}", grouped(4, 4)?);
        let entry = format!("{public},{secret}{end}");
        (vec![("public_key", public), ("secret_key", secret)], entry)
    } else {
        let entry = format!("sha256:{}{end}", hex(&Sha256::digest(&secret)));
        (vec![("key", secret)], entry)
    };
    // Before the key is told: one that is not in the file is of no use.
    if let Some(path) = &args.add {
        add(path, &entry).map_err(|error| {
            Failure::failed(format!("cannot add the key to {}: {error}", path.display()))
        })?;
    }
    let with_line = args.add.is_none().then_some(("line", entry));
    let rows: Vec<(&str, String)> = rows.into_iter().chain(with_line).collect();
    if args.json {
        let members = rows.into_iter().map(|(name, value)| (name.to_string(), json!(value)));
        terminal::json(&serde_json::Value::Object(members.collect()).to_string())?;
        return Ok(0);
    }
    for (name, value) in rows {
        // A key that nobody reads is lost.
        line(&format!("{name}: {value}"))?;
    }
    if let Some(path) = &args.add {
        say(&format!(
            "added to {}; a server that uses it takes the key within 3 s",
            path.display()
        ));
    }
    Ok(0)
}

/// Random symbols in groups with dashes between them.
fn grouped(groups: usize, each: usize) -> Result<String, Failure> {
    let mut bytes = vec![0; groups * each];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random numbers: {error}")))?;
    let symbols: Vec<u8> = bytes.iter().map(|byte| SYMBOLS[usize::from(byte % 32)]).collect();
    let groups = symbols.chunks(each).map(|group| String::from_utf8_lossy(group).into_owned());
    Ok(groups.collect::<Vec<_>>().join("-"))
}

/// Adds a line to a keys file, which is made with mode 0600 if it is missing.
fn add(path: &Path, entry: &str) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let before = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{before}{entry}\n").as_bytes())?;
    file.sync_all()
}

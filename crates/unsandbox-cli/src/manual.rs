// SPDX-License-Identifier: MIT OR Apache-2.0
//! The man page. It is generated from the definitions of the help, and compared with the committed
//! `man/unsandbox.1`, which has the options of all features.

use crate::args::Cli;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use std::fs;
use std::path::Path;

/// One page: the command, then each subcommand as a section of its own.
fn page() -> String {
    let mut command = Cli::command().disable_help_flag(true);
    command.build();
    let mut out = Vec::new();
    let man = Man::new(command.clone()).date("").source(format!("unsandbox {}", version()));
    man.render_title(&mut out).expect("memory takes it");
    man.render_name_section(&mut out).expect("memory takes it");
    man.render_synopsis_section(&mut out).expect("memory takes it");
    man.render_description_section(&mut out).expect("memory takes it");
    for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
        section(subcommand, &mut out);
    }
    man.render_extra_section(&mut out).expect("memory takes it");
    out.extend_from_slice(b".SH \"SEE ALSO\"\nlibunsandbox(3)\n");
    let text = String::from_utf8(out).expect("roff is text");
    format!(".\\\" SPDX-License-Identifier: MIT OR Apache-2.0\n{text}")
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn section(command: &Command, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(".SH \"COMMAND {}\"\n", command.get_name()).as_bytes());
    let man = Man::new(command.clone());
    let mut own = Vec::new();
    man.render_description_section(&mut own).expect("memory takes it");
    man.render_synopsis_section(&mut own).expect("memory takes it");
    man.render_options_section(&mut own).expect("memory takes it");
    man.render_extra_section(&mut own).expect("memory takes it");
    // A section of a subcommand's own page is a part of a section here.
    let text = String::from_utf8(own).expect("roff is text").replace(".SH ", ".SS ");
    out.extend_from_slice(text.as_bytes());
}

#[test]
fn the_committed_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man/unsandbox.1");
    let current = page();
    if std::env::var_os("UNSANDBOX_UPDATE").is_some() {
        fs::write(&path, &current).expect("man/ is there");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "man/unsandbox.1 is not what the definitions say; UNSANDBOX_UPDATE=1 cargo test -p unsandbox-cli writes \
         it anew"
    );
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flags of `run` that follow directly from the protocol's table of options. Options with another form or a shorter
//! name in the shell are in `args.rs`.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::Value;
use unsandbox::Request;
use unsandbox::protocol::wire::{OPTION_TABLE, OptionKind, OptionReach, OptionRow};

/// Options whose flags are in `args.rs`.
const ELSEWHERE: [&str; 12] = [
    "env",
    "network_mode",
    "ttl",
    "return_artifact",
    "return_wasm_artifact",
    "input_files",
    "files",
    "stdin",
    "args",
    "flags",
    "outputs",
    "limits",
];

/// The given values, each with its row.
#[derive(Debug, Default)]
pub(crate) struct TableOptions(Vec<(&'static OptionRow, Value)>);

impl TableOptions {
    pub fn set(&self, request: &mut Request) -> Result<(), unsandbox::Error> {
        self.0.iter().try_for_each(|(row, value)| row.set(request, value.clone()))
    }
}

fn rows() -> impl Iterator<Item = &'static OptionRow> {
    OPTION_TABLE.iter().filter(|row| !ELSEWHERE.contains(&row.name))
}

fn flag_of(row: &OptionRow) -> String {
    row.name.replace('_', "-")
}

fn arg(row: &'static OptionRow) -> Arg {
    let means = row.means.replace('`', "");
    let mut help: String = means.chars().take(1).flat_map(char::to_uppercase).collect();
    help.extend(means.chars().skip(1));
    if row.reach == OptionReach::Local {
        help += "; on local: only";
    }
    let arg = Arg::new(row.name).long(flag_of(row)).help(help);
    match row.kind {
        OptionKind::Flag => arg.action(ArgAction::SetTrue),
        OptionKind::Path => arg.value_name("PATH"),
        OptionKind::Seconds => arg.value_name("SECONDS"),
        _ => arg.value_name("VALUE"),
    }
}

impl Args for TableOptions {
    fn augment_args(command: Command) -> Command {
        command.args(rows().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TableOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let value = |row: &'static OptionRow| {
            let value = match row.kind {
                OptionKind::Flag => matches.get_flag(row.name).then_some(Value::Bool(true)),
                _ => matches
                    .get_one::<String>(row.name)
                    .map(|text| value_of(row, text))
                    .transpose()?,
            };
            Ok(value.map(|value| (row, value)))
        };
        let values: Result<Vec<_>, Error> = rows().map(value).collect();
        Ok(TableOptions(values?.into_iter().flatten().collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Text is taken unchanged; all other kinds are parsed as JSON.
fn value_of(row: &OptionRow, text: &str) -> Result<Value, Error> {
    match row.kind {
        OptionKind::Text | OptionKind::Path => Ok(Value::from(text)),
        _ => serde_json::from_str(text).map_err(|error| {
            let text = format!("--{} {text:?}: {error}\n", flag_of(row));
            Error::raw(ErrorKind::ValueValidation, text)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_its_flag() {
        for name in ELSEWHERE {
            assert!(OPTION_TABLE.iter().any(|row| row.name == name), "{name} is not in the table");
        }
        let whole = <crate::args::Cli as clap::CommandFactory>::command();
        let run = whole.find_subcommand("run").expect("it is there");
        for row in rows() {
            assert!(
                run.get_arguments().any(|it| it.get_long() == Some(&flag_of(row))),
                "{}",
                row.name
            );
        }
        let command = TableOptions::augment_args(Command::new("run"));
        let matches = command.try_get_matches_from(["run", "--runtime", "/bin/sh"]).unwrap();
        let options = TableOptions::from_arg_matches(&matches).unwrap();
        let mut request = Request::detect("");
        options.set(&mut request).unwrap();
        assert_eq!(request.runtime.as_deref(), Some("/bin/sh"));
    }
}

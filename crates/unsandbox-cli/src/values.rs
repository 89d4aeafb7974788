// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of arguments that several commands take: isolation, limits, sizes and times.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::time::Duration;
use unsandbox::IsolationPolicy;
use unsandbox::protocol::limits::LIMIT_TABLE;

pub(crate) fn isolation_parser() -> impl TypedValueParser<Value = IsolationPolicy> {
    let policies = [IsolationPolicy::Auto, IsolationPolicy::Full, IsolationPolicy::Reduced];
    PossibleValuesParser::new(policies.map(IsolationPolicy::as_str))
        .map(|word| IsolationPolicy::parse(&word).expect("it is the word of a policy"))
}

pub(crate) fn parse_limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let known = LIMIT_TABLE.iter().map(|row| row.name);
    if !known.clone().any(|known| known == name) {
        let names: Vec<&str> = known.collect();
        return Err(format!("{name:?} is not a limit; there are {}", names.join(", ")));
    }
    let number =
        bytes_of(value).ok_or("VALUE must be a whole number, optionally followed by K, M or G")?;
    Ok((name.to_string(), number))
}

/// A whole number with K, M or G, each 1024 times the one before.
pub(crate) fn bytes_of(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1u64),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit))
}

pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    bytes_of(text)
        .ok_or_else(|| "must be a whole number, optionally followed by K, M or G".to_string())
}

/// A whole number with s, m, h or d.
pub(crate) fn time_of(text: &str) -> Option<Duration> {
    let at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at))?;
    let unit = match &text[at..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_known_names_and_whole_numbers() {
        assert_eq!(parse_limit("memory_bytes=64M").unwrap().1, 64 << 20);
        assert_eq!(parse_limit("processes=7").unwrap(), ("processes".to_string(), 7));
        for wrong in
            ["memory=1", "processes", "processes=", "processes=1.5", "work_bytes=99999999999G"]
        {
            parse_limit(wrong).unwrap_err();
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only way to a valid request: each option is checked by the rule that its row of the table names, on every face
//! and again at the server.

use crate::error::Error;
use crate::language::Language;
use crate::limits::Limits;
use crate::request::{NetworkMode, Request};
use crate::rules::{check_flags_of, check_limits, network_mode, ttl};
use crate::wire::OPTION_TABLE;
use std::borrow::Cow;
use std::ops::Deref;

/// A request that keeps every rule: only validation makes one.
///
/// Dereferences to the [`Request`].
#[derive(Clone, Debug)]
pub struct ValidRequest<'a> {
    request: Cow<'a, Request>,
    /// `None`: the backend detects it.
    language: Option<&'static Language>,
    network_mode: NetworkMode,
}

impl<'a> ValidRequest<'a> {
    /// Checks every field against its limit and detects the language where none is named.
    ///
    /// # Errors
    ///
    /// ARGUMENT; the message names field, value and limit.
    pub fn new(request: Cow<'a, Request>) -> Result<Self, Error> {
        let valid = ValidRequest::undetected(request)?;
        if valid.language.is_some() { Ok(valid) } else { valid.detect() }
    }

    /// As [`ValidRequest::new`], but leaves a language that is not named to the backend, which may know more of
    /// them. The code of such a request is taken out of the fence around it, whose word names the language.
    ///
    /// # Errors
    ///
    /// As [`ValidRequest::new`].
    pub fn undetected(mut request: Cow<'a, Request>) -> Result<Self, Error> {
        check_options(&request)?;
        let network_mode = network_mode(&request.network_mode)?;
        let language = match &request.language {
            Some(name) => Some(crate::language::require_language(name)?),
            None => match crate::detect::unfence(&request.code)? {
                Some((code, language)) => {
                    let code = code.into_owned();
                    request.to_mut().code = code;
                    language
                }
                None => None,
            },
        };
        if let Some(language) = language {
            let dialect = request.language.as_deref().and_then(|name| language.dialect_flag(name));
            if let Some(flag) = dialect {
                request.to_mut().language = Some(language.name.to_string());
                request.to_mut().flags.insert(0, flag.to_string());
            }
            check_code(&request.code, language)?;
            check_flags_of(language, &request.flags)?;
        }
        Ok(ValidRequest { request, language, network_mode })
    }

    /// Detects the language.
    ///
    /// # Errors
    ///
    /// ARGUMENT if the code does not tell it.
    pub fn detect(self) -> Result<Self, Error> {
        let language = crate::detect::detect_unfenced(&self.request.code)?;
        check_code(&self.request.code, language)?;
        check_flags_of(language, &self.request.flags)?;
        Ok(ValidRequest { language: Some(language), ..self })
    }

    /// The language, named or detected; `None` if the backend has to detect it.
    pub fn language(&self) -> Option<&'static Language> {
        self.language
    }

    /// Whether the language was detected rather than named.
    pub fn is_detected(&self) -> bool {
        self.language.is_some() && self.request.language.is_none()
    }

    /// The network mode that the request names.
    pub fn network_mode(&self) -> NetworkMode {
        self.network_mode
    }

    /// Its own copy of a request that was borrowed.
    pub fn into_owned(self) -> ValidRequest<'static> {
        ValidRequest { request: Cow::Owned(self.request.into_owned()), ..self }
    }

    /// The request, with the language's own name where that is known: one spelling on the wire, since an alias
    /// of ours need not be one of the server's.
    pub fn into_request(self) -> Cow<'a, Request> {
        let mut request = self.request;
        if let Some(Language { name, .. }) = self.language
            && request.language.as_deref() != Some(name)
        {
            request.to_mut().language = Some(name.to_string());
        }
        request
    }

    /// Standard input may be any bytes.
    pub fn set_stdin(&mut self, stdin: Vec<u8>) {
        self.request.to_mut().stdin = Some(stdin);
    }

    /// Takes the URL of its webhook out of the request, for a backend that keeps it itself.
    pub fn take_callback_url(&mut self) -> Option<String> {
        self.callback_url.is_some().then(|| self.request.to_mut().callback_url.take()).flatten()
    }

    /// Sets how many seconds the program may run, from 1 to 900.
    ///
    /// # Errors
    ///
    /// ARGUMENT if it is none that a run may have.
    pub fn set_ttl(&mut self, seconds: i64) -> Result<(), Error> {
        self.request.to_mut().ttl = Some(ttl(seconds)?);
        Ok(())
    }

    /// Sets what the run may use, in place of all limits set before.
    ///
    /// # Errors
    ///
    /// ARGUMENT if a value is out of its bounds.
    pub fn set_limits(&mut self, limits: Limits) -> Result<(), Error> {
        check_limits(&limits)?;
        self.request.to_mut().limits = limits;
        Ok(())
    }
}

impl Deref for ValidRequest<'_> {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

impl Request {
    /// Checks every field against its limit; the error names field, value and limit.
    ///
    /// # Errors
    ///
    /// As [`ValidRequest::new`].
    pub fn validate(&self) -> Result<ValidRequest<'_>, Error> {
        ValidRequest::new(Cow::Borrowed(self))
    }
}

/// Every option by its own rule, in the order of the table.
fn check_options(request: &Request) -> Result<(), Error> {
    OPTION_TABLE.iter().try_for_each(|row| (row.check)(request))
}

fn check_code(code: &str, language: &Language) -> Result<(), Error> {
    if language.allows_nul || !code.contains('\0') {
        return Ok(());
    }
    let name = language.name;
    Err(Error::argument(format!("code contains a NUL byte, which a {name} program cannot hold")))
}

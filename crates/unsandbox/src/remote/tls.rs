// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trusted certificates: the built-in roots, those of a file, or those of this system.

use std::path::PathBuf;
use unsandbox_protocol::{Error, ErrorCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

#[derive(Clone, Default, Debug)]
pub(crate) enum Roots {
    #[default]
    BuiltIn,
    File(PathBuf),
    #[cfg(feature = "platform-verifier")]
    Platform,
}

pub(super) fn config(roots: &Roots) -> Result<TlsConfig, Error> {
    let path = match roots {
        Roots::BuiltIn => return Ok(TlsConfig::default()),
        Roots::File(path) => path,
        #[cfg(feature = "platform-verifier")]
        Roots::Platform => {
            return Ok(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
        }
    };
    let unusable =
        |why: &str| Error::new(ErrorCode::Config, format!("ca_file {:?} {why}", path.display()));
    let pem = std::fs::read(path).map_err(|cause| unusable("cannot be read").with_cause(cause))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        match item.map_err(|cause| unusable("is not PEM").with_cause(cause))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => continue,
        }
    }
    if certificates.is_empty() {
        return Err(unusable("holds no certificate"));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificate and the key of `unsandbox serve`, read at the start and again at SIGHUP.

use crate::failure::Failure;
use crate::serve_args::ServeArgs;
use std::path::Path;
use std::sync::Arc;
use unsandbox::key_file;
use unsandbox_server::Tls;

/// TLS, if the arguments ask for it.
pub(crate) fn tls(args: &ServeArgs) -> Result<Option<Arc<Tls>>, Failure> {
    let Some((certificate, key)) = files(args) else { return Ok(None) };
    let (chain, secret) = read(args, certificate, key)?;
    let tls = Tls::from_pem(&chain, secret.text.expose().as_bytes());
    let tls = tls.map_err(|error| Failure::from(error).about(&shown(args)))?;
    Ok(Some(Arc::new(tls)))
}

/// Takes the pair as it is now; on any fault the server keeps the one that it has.
pub(crate) fn read_again(args: &ServeArgs, tls: &Tls) {
    let Some((certificate, key)) = files(args) else { return };
    let read = read(args, certificate, key).map_err(Failure::into_message);
    let replaced = read.and_then(|(chain, secret)| {
        tls.replace(&chain, secret.text.expose().as_bytes()).map_err(|error| error.to_string())
    });
    match replaced {
        Ok(()) => log::info!("SIGHUP: new connections get the certificate of {}", shown(args)),
        Err(why) => {
            log::error!("SIGHUP: the TLS certificate stays as it was: {}: {why}", shown(args))
        }
    }
}

fn files(args: &ServeArgs) -> Option<(&Path, &Path)> {
    args.tls_cert.as_deref().zip(args.tls_key.as_deref())
}

/// The files, for messages.
fn shown(args: &ServeArgs) -> String {
    files(args).map_or_else(String::new, |(certificate, key)| {
        format!("{} and {}", certificate.display(), key.display())
    })
}

fn read(
    args: &ServeArgs,
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<u8>, key_file::KeyFile), Failure> {
    let chain = std::fs::read(certificate).map_err(|error| {
        let path = certificate.display();
        Failure::failed(format!("cannot read the TLS certificate {path}: {error}"))
    })?;
    // A pipe would be empty at the next reading.
    let secret = key_file::read_regular(key).map_err(|error| {
        Failure::failed(format!("cannot read the TLS key {}: {error}", key.display()))
    })?;
    match &secret.exposed {
        Some(exposed) if args.allow_readable_keys => log::warn!("the TLS key {exposed}"),
        Some(exposed) => {
            return Err(Failure::failed(format!("the TLS key {exposed}"))
                .hint("give --allow-readable-keys to start anyway"));
        }
        None => {}
    }
    Ok((chain, secret))
}

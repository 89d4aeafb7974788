// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificate of a server that speaks TLS. A pair is checked before it is used, and can be replaced while the
//! server runs: connections that are open keep theirs.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;
use unsandbox_protocol::{Error, ErrorCode};

/// A certificate with its chain, and its private key.
pub struct Tls {
    config: RwLock<Arc<ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Takes the certificate, followed by those of the authorities between it and the root, and its private key, both
    /// as PEM text.
    ///
    /// # Errors
    /// CONFIG, if one of both cannot be read, or if the key is that of another certificate.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Tls, Error> {
        Ok(Tls { config: RwLock::new(config(certificates, key)?) })
    }

    /// Uses this pair for connections that are accepted from now on.
    ///
    /// # Errors
    /// As [`Tls::from_pem`]; the pair that is in use then stays.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), Error> {
        let config = config(certificates, key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, Error> {
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let chain =
        chain.map_err(|error| failed("the TLS certificate is not PEM text").with_cause(error))?;
    if chain.is_empty() {
        return Err(failed(
            "the TLS certificate file has no certificate; it needs a block BEGIN CERTIFICATE",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        // The cause may repeat a part of the file.
        let _ = error;
        failed("the TLS key file has no private key in PEM text; it needs a block BEGIN PRIVATE KEY without a passphrase")
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            failed("the TLS certificate and key cannot be used together").with_cause(error)
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn failed(message: &str) -> Error {
    Error::new(ErrorCode::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_checked_before_it_is_used() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let tls = Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let before = Arc::as_ptr(&tls.config.read().unwrap());
        for (certificate, key, word) in [
            ("", key.as_str(), "BEGIN CERTIFICATE"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", &key, "not PEM"),
            (&certificate, "", "BEGIN PRIVATE KEY"),
            (&certificate, &certificate, "BEGIN PRIVATE KEY"),
            (&certificate, &other, "together"),
        ] {
            let error = tls.replace(certificate.as_bytes(), key.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.to_string().contains(word), "{word}: {error}");
            assert_eq!(Arc::as_ptr(&tls.config.read().unwrap()), before, "{word}");
        }
        let (certificate, key) = pair();
        tls.replace(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_ne!(Arc::as_ptr(&tls.config.read().unwrap()), before);
    }
}

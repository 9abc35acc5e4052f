//! Certificates and keys, read and checked before anything is built on them: the TLS library's own
//! messages name neither the file nor what is wrong with it.

use crate::doors::error::DoorError;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use tonic::transport::{Certificate, Identity};

/// Largest file of certificates that is read (bytes).
const LARGEST: u64 = 1 << 20;

/// Reads a file that the setting `setting` names.
///
/// # Errors
/// A file that is missing, too large or not text.
pub fn read(setting: &'static str, path: &Path) -> Result<String, DoorError> {
    let unreadable = |error| DoorError::Unreadable { setting, path: path.into(), error };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(wrong(setting, path, format!("{size} bytes, expected at most {LARGEST}")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads the certificates of authorities.
///
/// # Errors
/// A file that cannot be read or holds no certificates of authorities.
pub fn authorities(setting: &'static str, path: &Path) -> Result<Certificate, DoorError> {
    roots(setting, path)?;
    Ok(Certificate::from_pem(read(setting, path)?))
}

/// Reads the certificates of authorities as a store to check others with.
///
/// # Errors
/// As [`authorities`].
pub fn roots(setting: &'static str, path: &Path) -> Result<RootCertStore, DoorError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(setting, path, &read(setting, path)?)? {
        let refused = |error: rustls::Error| {
            let reason = format!("not the certificate of an authority: {error}");
            wrong(setting, path, reason)
        };
        store.add(certificate).map_err(refused)?;
    }
    Ok(store)
}

/// A certificate chain and the private key that goes with it.
pub struct Pair {
    /// The chain, the server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
    chain_text: String,
    key_text: String,
}

impl Pair {
    /// Reads both.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else, or a key that belongs to another
    /// certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, DoorError> {
        let (chain_text, key_text) = (read("tls_cert", certificate)?, read("tls_key", key)?);
        let chain = certificates("tls_cert", certificate, &chain_text)?;
        let private = PrivateKeyDer::from_pem_slice(key_text.as_bytes())
            .map_err(|_| wrong("tls_key", key, not_a_key(&key_text).into()))?;
        let (parsed, secret) = (chain.clone(), private.clone_key());
        CertifiedKey::from_der(parsed, secret, &default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    wrong("tls_key", key, format!("is not the key of {}", certificate.display()))
                }
                rustls::Error::InvalidCertificate(reason) => {
                    wrong("tls_cert", certificate, format!("invalid certificate: {reason:?}"))
                }
                error => wrong("tls_key", key, error.to_string()),
            },
        )?;
        Ok(Self { chain, key: private, chain_text, key_text })
    }

    /// As gRPC takes it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain_text, &self.key_text)
    }
}

fn certificates(
    setting: &'static str,
    path: &Path,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = match text.contains("PRIVATE KEY-----") {
        true => "a private key",
        false => "none",
    };
    match parsed {
        Ok(parsed) if !parsed.is_empty() => Ok(parsed),
        Ok(_) => Err(wrong(setting, path, format!("expected PEM certificates, found {found}"))),
        Err(error) => Err(wrong(setting, path, format!("expected PEM certificates: {error}"))),
    }
}

fn not_a_key(text: &str) -> &'static str {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        "the private key is encrypted; hint: openssl pkey -in FILE writes it without a password"
    } else if text.contains("BEGIN CERTIFICATE") {
        "expected a PEM private key, found a certificate"
    } else {
        "expected a PEM private key, found none"
    }
}

pub(super) fn wrong(setting: &'static str, path: &Path, reason: String) -> DoorError {
    DoorError::Content { setting, path: path.into(), reason }
}

//! Certificates and private keys. Checked when read, because messages of the TLS library name
//! neither the file nor the mistake.

use crate::auth::error::AuthError;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use tonic::transport::{Certificate, Identity};

/// Largest accepted file (bytes).
const LARGEST: u64 = 1 << 20;

/// Installs ring as the TLS provider of the process. Call it first in `main`: rustls does not
/// choose among several compiled-in providers.
pub fn install_crypto_provider() {
    // An error means that a provider is already installed.
    let _ = default_provider().install_default();
}

/// Reads the file that `setting` names.
///
/// # Errors
/// The file is missing, too large or not text.
pub fn read(setting: &'static str, path: &Path) -> Result<String, AuthError> {
    let unreadable = |error| AuthError::Unreadable { setting, path: path.into(), error };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(wrong(setting, path, format!("{size} bytes, expected at most {LARGEST}")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads CA certificates.
///
/// # Errors
/// The file cannot be read or contains no CA certificates.
pub fn authorities(setting: &'static str, path: &Path) -> Result<Certificate, AuthError> {
    roots(setting, path)?;
    Ok(Certificate::from_pem(read(setting, path)?))
}

/// Reads CA certificates as a store of trust roots.
///
/// # Errors
/// As [`authorities`].
pub fn roots(setting: &'static str, path: &Path) -> Result<RootCertStore, AuthError> {
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

/// A certificate chain and its private key.
pub struct Pair {
    /// The chain, beginning with the server's certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
    chain_text: String,
    key_text: String,
}

impl Pair {
    /// Reads both files.
    ///
    /// # Errors
    /// An unreadable file, other content, or a key that belongs to another certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, AuthError> {
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

    /// Converts the pair for tonic.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain_text, &self.key_text)
    }
}

fn certificates(
    setting: &'static str,
    path: &Path,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, AuthError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = if text.contains("PRIVATE KEY-----") { "a private key" } else { "none" };
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

pub(super) fn wrong(setting: &'static str, path: &Path, reason: String) -> AuthError {
    AuthError::Content { setting, path: path.into(), reason }
}

//! CAs and certificates. Their names differ, because some TLS stacks take a certificate with the name of its
//! issuer for self-signed.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use std::path::{Path, PathBuf};

/// A CA with its certificate in a file.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The certificate (PEM).
    pub file: PathBuf,
}

/// A certificate and its key in files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate (PEM).
    pub certificate: PathBuf,
    /// The key (PEM).
    pub key: PathBuf,
}

impl Authority {
    /// Makes a CA and writes its certificate to `folder` under its name.
    ///
    /// # Panics
    /// If that fails.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).expect("a file can be written");
        Self { issuer, file }
    }

    /// Signs a certificate for the host `localhost`, for servers and clients.
    ///
    /// # Panics
    /// If that fails.
    pub fn sign(&self, folder: &Path, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name = named(name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key_pair = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key_pair, &self.issuer).expect("a certificate");
        let certificate = folder.join(format!("{name}.pem"));
        let key = folder.join(format!("{name}.key"));
        std::fs::write(&certificate, signed.pem()).expect("a file can be written");
        std::fs::write(&key, key_pair.serialize_pem()).expect("a file can be written");
        Pair { certificate, key }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

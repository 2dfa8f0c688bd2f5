//! Who vouches for a server: those whom this machine trusts, and a file of the user's.

use crate::error::DeliveryError;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// How TLS is spoken.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<ClientConfig, DeliveryError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one of many: what is missing is missed at the handshake.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        for certificate in certificates_of(path)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(path, error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DeliveryError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The certificates of a PEM file, one at least.
pub(crate) fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, DeliveryError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unusable(path, "there is no certificate in it".to_owned())),
        false => Ok(certificates),
    }
}

fn unusable(path: &Path, cause: String) -> DeliveryError {
    DeliveryError::Certificates {
        path: path.to_owned(),
        cause,
    }
}

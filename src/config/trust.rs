//! Whom this process trusts when it is a client of others behind TLS.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// TLS for clients that trust what this machine trusts, and besides the certificates of `authorities` (PEM).
///
/// # Errors
/// A sentence that says what is wrong with the certificates.
pub fn trusting(authorities: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut named = 0;
    for certificate in CertificateDer::pem_slice_iter(authorities.unwrap_or_default().as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        named += 1;
    }
    if authorities.is_some() && named == 0 {
        return Err("there is no certificate (PEM) in it".to_owned());
    }
    if roots.is_empty() {
        return Err("this machine trusts no certificates: install ca-certificates".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_as_authority_has_to_be_certificates() {
        assert!(trusting(Some("")).unwrap_err().contains("no certificate"));
        assert!(trusting(Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).is_err());
    }
}

//! TLS in this process: where the certificate and its key are, and whether they fit together.

use super::parse_duration;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest file that a certificate or a key is read from.
const PEM_FILE_MAX_BYTES: u64 = 1 << 20;

/// TLS on the public address.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsSettings {
    /// PEM file with the certificate and its chain; with it the public address speaks TLS
    #[arg(long, env = "ROOMCAST_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key
    #[arg(long, env = "ROOMCAST_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How often to look whether these files have changed; 0 = on SIGHUP only
    #[arg(long, env = "ROOMCAST_TLS_RELOAD", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub tls_reload: Duration,
    /// Most TLS handshakes under way at once; connections above it are closed
    #[arg(long, env = "ROOMCAST_MAX_TLS_HANDSHAKES", value_name = "N", default_value_t = 4_096)]
    pub max_tls_handshakes: usize,
}

impl TlsSettings {
    /// What is wrong with the files, one sentence each; nothing when there is no TLS.
    #[must_use]
    pub fn check_files(&self) -> Vec<String> {
        let certified = self.read().and_then(|files| files.map(|files| files.certified()).transpose());
        certified.err().into_iter().collect()
    }

    /// Reads the files, if TLS is wanted.
    ///
    /// # Errors
    /// A sentence that says which file cannot be read, or is missing.
    pub fn read(&self) -> Result<Option<TlsFiles>, String> {
        let (cert, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err("tls-cert is given without tls-key; name the file with its private key".into());
            }
            (None, Some(_)) => {
                return Err("tls-key is given without tls-cert; name the file with the certificate".into());
            }
        };
        Ok(Some(TlsFiles { cert: read("tls-cert", cert)?, key: read("tls-key", key)? }))
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let bytes = std::fs::metadata(path)
        .and_then(|about| if about.len() > PEM_FILE_MAX_BYTES { Ok(None) } else { std::fs::read(path).map(Some) });
    let bytes = bytes.map_err(|error| format!("{name}: cannot read {shown}: {error}"))?;
    bytes.ok_or_else(|| format!("{name}: {shown} is too large to be a PEM file"))
}

/// A certificate with its chain, and its key, as they stand in their files.
#[derive(PartialEq, Eq)]
pub struct TlsFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// What TLS handshakes are made with.
#[derive(Debug)]
pub struct Certified {
    /// The configuration of a server with this certificate.
    pub config: Arc<ServerConfig>,
    /// The certificate itself, without its chain.
    pub certificate: CertificateDer<'static>,
}

impl TlsFiles {
    /// Makes a server's configuration of them.
    ///
    /// # Errors
    /// A sentence that says which of them is not what it should be, or that they do not belong together.
    pub fn certified(&self) -> Result<Certified, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let chain = chain.map_err(|error| format!("tls-cert is no PEM file: {error}"))?;
        let certificate = chain.first().cloned().ok_or("tls-cert has no certificate (-----BEGIN CERTIFICATE-----)")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| format!("tls-key has no private key in PEM form that can be used: {error}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(|error| format!("tls-cert and tls-key cannot be used together: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients that come back need no full handshake, and the server remembers nothing for them.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| format!("TLS cannot be used: {error}"))?;
        Ok(Certified { config: Arc::new(config), certificate })
    }
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsFiles(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cert: Option<&str>, key: Option<&str>) -> TlsSettings {
        let path = |path: Option<&str>| path.map(PathBuf::from);
        let (tls_cert, tls_key) = (path(cert), path(key));
        TlsSettings { tls_cert, tls_key, tls_reload: Duration::ZERO, max_tls_handshakes: 1 }
    }

    /// A certificate and its key in DER.
    fn certificate() -> (Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().der().to_vec(), key.serialize_der())
    }

    fn pem(label: &str, der: &[u8]) -> Vec<u8> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn one_file_without_the_other_and_files_that_are_not_there_are_problems() {
        assert_eq!(settings(None, None).check_files(), Vec::<String>::new());
        for (cert, key, expected) in [
            (Some("/nonexistent/cert"), None, "without tls-key"),
            (None, Some("/nonexistent/key"), "without tls-cert"),
            (Some("/nonexistent/cert"), Some("/nonexistent/key"), "tls-cert: cannot read /nonexistent/cert"),
        ] {
            let problems = settings(cert, key).check_files();
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn a_certificate_needs_its_own_key() {
        let ((cert, key), (_, other)) = (certificate(), certificate());
        let certified = |cert: &[u8], key: &[u8]| TlsFiles { cert: cert.to_vec(), key: key.to_vec() }.certified();
        let (cert, key, other) = (pem("CERTIFICATE", &cert), pem("PRIVATE KEY", &key), pem("PRIVATE KEY", &other));
        let fine = certified(&cert, &key).unwrap();
        assert_eq!(fine.config.alpn_protocols, [b"http/1.1".to_vec()]);
        for (cert, key, expected) in [
            (&cert[..], &other[..], "cannot be used together"),
            (&key, &key, "tls-cert has no certificate"),
            (&cert, &cert, "tls-key has no private key"),
            (b"", &key, "tls-cert has no certificate"),
            (&cert, b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", "tls-key has no private key"),
            (&pem("CERTIFICATE", b"no DER"), &key, "cannot be used together"),
        ] {
            let problem = certified(cert, key).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        let shown = format!("{:?}", TlsFiles { cert, key });
        assert_eq!(shown, "TlsFiles(***)");
    }
}

//! Whom an https endpoint's certificate must come from: the authorities that this machine trusts (or those of
//! `SSL_CERT_FILE`, `SSL_CERT_DIR`), or only those of one file.

use std::path::Path;

use reqwest::{Certificate, ClientBuilder, Url};

use super::args::ClientArgs;
use super::error::{ClientError, chain};

/// Decides whom to trust. Nothing of the machine is looked at for a plain http endpoint: it may have no authorities.
pub(super) fn trust(builder: ClientBuilder, endpoint: &Url, args: &ClientArgs) -> Result<ClientBuilder, ClientError> {
    // Refused when it was done already, by an earlier client of this process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = builder.https_only(endpoint.scheme() == "https");
    match &args.ca_bundle {
        _ if endpoint.scheme() != "https" => Ok(builder.tls_certs_only([])),
        Some(file) => Ok(builder.tls_certs_only(read_bundle(file)?)),
        None => Ok(builder),
    }
}

/// Why there can be no client: an authority that is none, or nobody to trust on a machine without authorities.
pub(super) fn explain(error: &reqwest::Error, args: &ClientArgs) -> ClientError {
    let reason = chain(error);
    match &args.ca_bundle {
        Some(file) => bad_bundle(file, reason),
        None => ClientError::endpoint(
            &args.endpoint,
            &format!("{reason} (--ca-bundle gives the authorities to trust)"),
        ),
    }
}

fn bad_bundle(file: &Path, reason: impl ToString) -> ClientError {
    ClientError::CaBundle {
        file: file.display().to_string(),
        reason: reason.to_string(),
    }
}

fn read_bundle(file: &Path) -> Result<Vec<Certificate>, ClientError> {
    let pem = std::fs::read(file).map_err(|error| bad_bundle(file, error))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| bad_bundle(file, chain(&error)))?;
    if certificates.is_empty() {
        return Err(bad_bundle(file, "no certificate in it"));
    }
    Ok(certificates)
}

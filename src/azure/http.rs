//! The HTTP client for Entra and Resource Manager: time-outs, the system's trust roots and those of `SSL_CERT_FILE`.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

/// Where the distributions keep their trust roots; the first that exists is read.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// No client can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of extra trust roots can't be read.
    #[error("SSL_CERT_FILE {path}: {source}")]
    ExtraRoots {
        /// The file.
        path: String,
        /// Why.
        source: pem::Error,
    },
    /// The file of extra trust roots holds none.
    #[error("SSL_CERT_FILE {0}: no certificate in it; PEM is expected")]
    NoExtraRoots(String),
    /// The trust roots or the client's settings are refused.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client that gives up connecting after 5 s and a whole exchange after 30 s.
/// Outbound proxies are taken from the environment; redirects are not followed.
/// `SSL_CERT_FILE` adds its trust roots to the system's.
///
/// # Errors
/// When the trust roots can't be loaded.
pub fn client() -> Result<reqwest::Client, Error> {
    let file = env::var_os("SSL_CERT_FILE");
    let replaced = file.is_some() || env::var_os("SSL_CERT_DIR").is_some();
    let mut roots = extra_roots(file.as_deref().filter(|file| !file.is_empty()))?;
    if replaced {
        roots.extend(system_roots(&SYSTEM_BUNDLES)?);
    }
    Ok(reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("identity-injector/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(roots)
        .build()?)
}

/// What `SSL_CERT_FILE` adds. The platform's loader reads that file too, but only warns when it is
/// unusable, and an unusable trust root is better met at the start than at the first exchange.
fn extra_roots(file: Option<&OsStr>) -> Result<Vec<Certificate>, Error> {
    let Some(file) = file.map(Path::new) else {
        return Ok(Vec::new());
    };
    let path = || file.display().to_string();
    let roots: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|source| Error::ExtraRoots {
            path: path(),
            source,
        })?;
    if roots.is_empty() {
        return Err(Error::NoExtraRoots(path()));
    }
    roots
        .iter()
        .map(|root| Certificate::from_der(root).map_err(Error::from))
        .collect()
}

/// The system's trust roots, which the platform's loader passes over once `SSL_CERT_FILE` or
/// `SSL_CERT_DIR` is set. As the loader does, leaves out what is no trust root.
fn system_roots(bundles: &[&str]) -> Result<Vec<Certificate>, Error> {
    let Some(roots) = bundles
        .iter()
        .find_map(|bundle| CertificateDer::pem_file_iter(bundle).ok())
    else {
        return Ok(Vec::new());
    };
    roots
        .flatten()
        .filter(|root| RootCertStore::empty().add(root.clone()).is_ok())
        .map(|root| Certificate::from_der(&root).map_err(Error::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::{extra_roots, system_roots};

    #[test]
    fn roots_of_files() {
        let folder = std::env::temp_dir().join(format!("roots-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let root = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        let table = [
            ("one", root.cert.pem(), Ok(1)),
            ("two", root.cert.pem().repeat(2), Ok(2)),
            ("none", "just text".to_owned(), Err("no certificate in it")),
        ];
        for (name, text, expected) in table {
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            let got = extra_roots(Some(file.as_os_str()));
            match expected {
                Ok(count) => assert_eq!(got.unwrap().len(), count, "{name}"),
                Err(message) => assert!(got.unwrap_err().to_string().contains(message), "{name}"),
            }
        }
        let absent = folder.join("absent");
        let error = extra_roots(Some(absent.as_os_str()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(absent.to_str().unwrap()), "{error}");
        assert!(extra_roots(None::<&OsStr>).unwrap().is_empty());

        let one = folder.join("one");
        let bundles = [absent.to_str().unwrap(), one.to_str().unwrap()];
        assert_eq!(system_roots(&bundles).unwrap().len(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}

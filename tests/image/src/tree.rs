//! The files of an image.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where every TLS library of a Debian, and rustls-native-certs, look for trust roots.
const ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";

/// Why an image's files could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would not start in an image with nothing else in it.
    #[error("{0} is no static binary: it asks for an interpreter; build it for a musl target")]
    NotStatic(String),
    /// No PEM, or none with a certificate.
    #[error("--extra-roots: no CERTIFICATE block in it; PEM is expected")]
    NoCertificate,
    /// A block is not readable.
    #[error("--extra-roots: {0}")]
    Pem(#[from] pem::PemError),
}

/// Folders and files, each after the folder it is in. All belong to root.
pub struct Tree {
    pub entries: Vec<Entry>,
}

/// A file, or a folder where there is no content.
pub struct Entry {
    pub path: String,
    pub mode: u32,
    pub content: Option<Vec<u8>>,
}

impl Tree {
    /// The binary at the top, and the trust roots where libraries look for them.
    pub fn of(name: &str, binary: Vec<u8>, extra_roots: &str) -> Result<Self, Error> {
        if !is_static(&binary) {
            return Err(Error::NotStatic(name.to_owned()));
        }
        let folders = ["etc", "etc/ssl", "etc/ssl/certs"].map(Entry::folder);
        let mut entries = Vec::from(folders);
        entries.push(Entry {
            path: ROOTS.to_owned(),
            mode: 0o644,
            content: Some(roots(extra_roots)?.into_bytes()),
        });
        entries.push(Entry {
            path: name.to_owned(),
            mode: 0o755,
            content: Some(binary),
        });
        Ok(Self { entries })
    }

    /// Bytes of all files.
    pub fn size(&self) -> usize {
        let contents = self
            .entries
            .iter()
            .filter_map(|entry| entry.content.as_ref());
        contents.map(Vec::len).sum()
    }

    /// Writes all below a folder, which must be new.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder.parent().unwrap_or(folder))?;
        fs::create_dir(folder)?;
        for entry in &self.entries {
            let path = folder.join(&entry.path);
            match &entry.content {
                Some(content) => fs::write(&path, content)?,
                None => fs::create_dir(&path)?,
            }
            fs::set_permissions(&path, Permissions::from_mode(entry.mode))?;
        }
        Ok(())
    }
}

impl Entry {
    fn folder(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode: 0o755,
            content: None,
        }
    }
}

/// Mozilla's roots and the extra ones, as one PEM text.
fn roots(extra: &str) -> Result<String, Error> {
    let mozilla = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let mut all: Vec<pem::Pem> = mozilla
        .map(|root| pem::Pem::new("CERTIFICATE", root.as_ref()))
        .collect();
    if !extra.is_empty() {
        let blocks = pem::parse_many(extra)?.into_iter();
        let own: Vec<pem::Pem> = blocks
            .filter(|block| block.tag() == "CERTIFICATE")
            .collect();
        if own.is_empty() {
            return Err(Error::NoCertificate);
        }
        all.extend(own);
    }
    let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(pem::encode_many_config(&all, unix))
}

/// Whether an ELF file for 64 bit, low byte first, has no program header of type PT_INTERP (3).
fn is_static(binary: &[u8]) -> bool {
    let number = |at: usize, length: usize| {
        let bytes = binary.get(at..at + length)?;
        let number = bytes
            .iter()
            .rev()
            .fold(0, |all, byte| all << 8 | u64::from(*byte));
        usize::try_from(number).ok()
    };
    let interpreter = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let types = (0..count).map(|index| number(table + index * size, 4));
        types
            .collect::<Option<Vec<_>>>()
            .map(|types| types.contains(&3))
    };
    binary.starts_with(b"\x7fELF\x02\x01") && interpreter() == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATIC: &[u8] = b"\x7fELF\x02\x01\x01";

    fn elf(header_type: u8) -> Vec<u8> {
        let mut elf = STATIC.to_vec();
        elf.resize(64, 0);
        (elf[32], elf[54], elf[56]) = (64, 56, 1);
        elf.push(header_type);
        elf.resize(120, 0);
        elf
    }

    #[test]
    fn only_a_static_binary_is_taken() {
        for (case, binary, expected) in [
            ("a loadable segment alone", elf(1), true),
            ("an interpreter", elf(3), false),
            ("cut short", STATIC.to_vec(), false),
            ("a script", b"#!/bin/sh".to_vec(), false),
        ] {
            assert_eq!(Tree::of("program", binary, "").is_ok(), expected, "{case}");
        }
    }

    #[test]
    fn extra_roots_stand_after_mozillas() {
        let own = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n";
        let all = roots(own).unwrap();
        assert!(all.ends_with(own));
        let count = pem::parse_many(&all).unwrap().len();
        assert_eq!(count, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len() + 1);
        assert!(matches!(roots("nothing"), Err(Error::NoCertificate)));
    }
}

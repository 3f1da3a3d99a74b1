//! A layer: the tree as a tar file, packed.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::tree::{Entry, Tree};

/// A layer's two forms; a runtime checks both digests.
pub struct Layer {
    /// gzip of the tar file.
    pub packed: Vec<u8>,
    /// Digest of the tar file itself.
    pub diff_id: String,
}

impl Layer {
    pub fn of(tree: &Tree) -> io::Result<Self> {
        let mut tar = tar::Builder::new(Vec::new());
        for entry in &tree.entries {
            let content = entry.content.as_deref().unwrap_or_default();
            let mut header = header(entry, content.len());
            tar.append_data(&mut header, &entry.path, content)?;
        }
        let plain = tar.into_inner()?;
        // Neither a file name nor a time in the header.
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        gzip.write_all(&plain)?;
        Ok(Self {
            packed: gzip.finish()?,
            diff_id: digest(&plain),
        })
    }
}

fn header(entry: &Entry, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(match entry.content {
        Some(_) => EntryType::Regular,
        None => EntryType::Directory,
    });
    header.set_mode(entry.mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// As OCI writes digests.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

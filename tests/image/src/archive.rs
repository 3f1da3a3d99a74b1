//! The OCI image layout (opencontainers/image-spec 1.1) in one tar file.

use std::fmt::{self, Display};
use std::io;
use std::str::FromStr;

use serde_json::{Value, json};
use tar::Header;

use crate::layer::{Layer, digest};
use crate::tree::Tree;

/// The user of an image that names none: nobody, by number, so that `runAsNonRoot` can be checked.
const USER: &str = "65532:65532";
/// Of everything in an image: the start of time, so that the same input gives the same bytes.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A whole image name: registry, repository and tag.
#[derive(Clone, Debug)]
pub struct Name {
    whole: String,
    tag: usize,
}

/// An image's parts, each a blob.
pub struct Image {
    name: Name,
    config: Vec<u8>,
    manifest: Vec<u8>,
    layer: Layer,
}

impl Image {
    pub fn new(tree: &Tree, binary: &str, architecture: &str, name: Name) -> io::Result<Self> {
        let layer = Layer::of(tree)?;
        let config = bytes(&json!({
            "created": CREATED,
            "architecture": architecture,
            "os": "linux",
            "config": {"User": USER, "Entrypoint": [format!("/{binary}")]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created": CREATED, "created_by": "image"}],
        }));
        let manifest = bytes(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer.packed)],
        }));
        Ok(Self {
            name,
            config,
            manifest,
            layer,
        })
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Digest of the manifest: what an image is pinned by.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// The tar file that `ctr image import`, `skopeo copy oci-archive:` and `podman load` read.
    pub fn archive(&self) -> io::Result<Vec<u8>> {
        let mut manifest = descriptor("application/vnd.oci.image.manifest.v1+json", &self.manifest);
        manifest["annotations"] = json!({
            "io.containerd.image.name": self.name.whole,
            "org.opencontainers.image.ref.name": self.name.tag(),
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        });
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, content: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content)
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", &bytes(&index))?;
        for blob in [&self.config, &self.manifest, &self.layer.packed] {
            add(&format!("blobs/{}", digest(blob).replace(':', "/")), blob)?;
        }
        tar.into_inner()
    }
}

impl Name {
    fn tag(&self) -> &str {
        &self.whole[self.tag..]
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let last = text.rfind('/').map_or(0, |slash| slash + 1);
        let tag = text[last..].find(':').map(|colon| last + colon + 1);
        let registry = text.split('/').next().unwrap_or_default();
        match tag {
            Some(tag) if last > 0 && tag < text.len() && registry.contains(['.', ':']) => {
                Ok(Self {
                    whole: text.to_owned(),
                    tag,
                })
            }
            _ => Err(
                "registry, repository and tag are expected, as ghcr.io/owner/name:1.0.0".to_owned(),
            ),
        }
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole() {
        for (text, tag) in [
            ("ghcr.io/owner/name:1.0.0", Some("1.0.0")),
            ("localhost:5000/name:latest", Some("latest")),
            ("localhost:5000/name", None),
            ("name:1.0.0", None),
            ("ghcr.io/owner/name:", None),
            ("", None),
        ] {
            let name = text.parse::<Name>();
            assert_eq!(name.as_ref().ok().map(Name::tag), tag, "{text}");
        }
    }
}

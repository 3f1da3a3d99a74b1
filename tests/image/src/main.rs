//! `image`: makes the container image of one static binary, with no container engine.
//!
//! ```text
//! binary, roots --tree--> files --layer--> tar.gz --archive--> OCI image layout in one tar file
//!                              \--> a folder, for the Dockerfile
//! ```
//!
//! The same input gives the same bytes: no time, user or path of the machine gets in.

mod archive;
mod layer;
mod tree;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use archive::{Image, Name};
use tree::Tree;

/// Makes a container image of one static binary and Mozilla's trust roots, as an OCI archive.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The static binary, which stands as /NAME in the image and is its entrypoint
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// What it is built for
    #[arg(long, value_parser = ["amd64", "arm64"])]
    architecture: String,
    /// The image's whole name, registry and tag included
    #[arg(long)]
    name: Name,
    /// PEM certificates to trust beside Mozilla's roots: a private cloud's, an outbound proxy's
    #[arg(long, value_name = "FILE")]
    extra_roots: Option<PathBuf>,
    /// Where to write the archive
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Writes the image's files to this new folder too
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let name = args.binary.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("--binary {}: no file name", args.binary.display()))?;
    let extra_roots = args.extra_roots.as_deref().map(fs::read_to_string);
    let extra_roots = extra_roots.transpose().context("--extra-roots")?;
    let binary =
        fs::read(&args.binary).with_context(|| format!("--binary {}", args.binary.display()))?;
    let tree = Tree::of(name, binary, extra_roots.as_deref().unwrap_or_default())?;
    if let Some(folder) = &args.rootfs {
        tree.write(folder)
            .with_context(|| format!("--rootfs {}", folder.display()))?;
    }
    let image = Image::new(&tree, name, &args.architecture, args.name.clone())?;
    let archive = image.archive()?;
    fs::write(&args.output, &archive)
        .with_context(|| format!("--output {}", args.output.display()))?;
    println!(
        "{}: {} for linux/{}, {:.1} MB ({:.1} MB unpacked), {}",
        args.output.display(),
        image.name(),
        args.architecture,
        archive.len() as f64 / 1e6,
        tree.size() as f64 / 1e6,
        image.digest()
    );
    Ok(())
}

//! CPU time and memory of a process, from /proc.

use std::time::Duration;

use anyhow::Context;

/// Ticks of /proc in a second; fixed in the kernel's interface.
const TICKS: u64 = 100;

/// Memory of a process, in MB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All that is resident, the binary's pages too.
    pub resident: f64,
    /// What is not backed by a file.
    pub anonymous: f64,
    /// The most that was ever resident.
    pub peak: f64,
}

/// User and system time of all threads so far.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("stat")?;
    let field = |index: usize| -> anyhow::Result<u64> {
        Ok(fields
            .split(' ')
            .nth(index)
            .context("stat is short")?
            .parse()?)
    };
    Ok(Duration::from_millis(
        (field(11)? + field(12)?) * 1000 / TICKS,
    ))
}

/// Memory now.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |key: &str| -> anyhow::Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes: f64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .with_context(|| key.to_owned())?
            .parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    };
    Ok(Memory {
        resident: field("VmRSS")?,
        anonymous: field("RssAnon")?,
        peak: field("VmHWM")?,
    })
}

//! One line for each figure: what it is, what was measured, what it should be.

use std::time::Duration;

use crate::process::Memory;

/// Prints a figure that has a target; smaller is better.
pub fn judged(name: &str, value: f64, target: f64, unit: &str) {
    let verdict = if value <= target { "met" } else { "MISSED" };
    println!("{name:<58} {value:>10.2} {unit:<6} target {target:>6} {unit:<6} {verdict}");
}

/// Prints a figure that is there to be compared.
pub fn plain(name: &str, value: f64, unit: &str) {
    println!("{name:<58} {value:>10.2} {unit}");
}

/// Prints what is resident, and how it came about.
pub fn resident(name: &str, memory: Memory, target: Option<f64>) {
    match target {
        Some(target) => judged(name, memory.resident, target, "MB"),
        None => plain(name, memory.resident, "MB"),
    }
    plain("  of it not backed by a file", memory.anonymous, "MB");
    plain("  peak", memory.peak, "MB");
}

/// The middle one; of an even number the lower of the two.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The latency that `share` of the requests did not exceed, in milliseconds.
#[must_use]
pub fn quantile(latencies: &mut [Duration], share: f64) -> f64 {
    latencies.sort();
    let rank = (latencies.len() as f64 * share).ceil() as usize;
    latencies
        .get(rank.saturating_sub(1))
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

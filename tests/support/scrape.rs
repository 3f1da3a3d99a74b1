//! What Prometheus reads, as series and their values.

use std::collections::BTreeMap;

/// Series and their values.
pub type Scrape = BTreeMap<String, f64>;

/// The series of an exposition.
pub fn series(text: &str) -> Scrape {
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let series = series.map(|line| line.rsplit_once(' ').unwrap());
    series
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The series that went up by one; nothing else may have moved.
pub fn moved(before: &Scrape, after: &Scrape) -> Vec<String> {
    let change =
        |(name, value): (&String, &f64)| (name.clone(), value - before.get(name).unwrap_or(&0.0));
    let changed: Vec<_> = after
        .iter()
        .map(change)
        .filter(|(_, by)| *by != 0.0)
        .collect();
    assert!(changed.iter().all(|(_, by)| *by == 1.0), "{changed:?}");
    changed.into_iter().map(|(name, _)| name).collect()
}

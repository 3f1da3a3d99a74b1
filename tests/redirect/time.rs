//! What the init container costs a pod's start.

use std::time::{Duration, Instant};

use crate::pod::Pod;

const RUNS: usize = 20;

pub fn median(pod: &Pod) {
    let run = || {
        let start = Instant::now();
        pod.redirect("");
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort();
    let [least, median, most] = [times[0], times[RUNS / 2], times[RUNS - 1]];
    println!("    {RUNS} runs, exec to exit: {median:.1?} (median), {least:.1?} to {most:.1?}");
    assert!(median < Duration::from_secs(1), "{median:?}");
}

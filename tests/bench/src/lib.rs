//! What is measured, by which load and beside which floor. `make bench` runs it.
//!
//! ```text
//! core 1: identity-injector webhook | proxy, or the floor     <- load (closed or open loop), on core 0
//!         (floor: the same server stack answering a constant)    simkube and simazure, idle meanwhile
//! process: CPU time and memory of the server alone, from /proc   -> figure: one line, met or missed
//! ```

pub mod figure;
pub mod floor;
pub mod load;
pub mod process;
pub mod review;
pub mod scene;

#[path = "../../support/mod.rs"]
mod support;

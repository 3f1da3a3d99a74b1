//! Moves pods that ask the instance metadata service (IMDS) for Azure tokens to Workload Identity.
//!
//! The rooms, and the one way their arrows go (`->` reads "is used by"):
//!
//! ```text
//! names, cloud -> inject -> { webhook, offline }
//! names, cloud -> azure  -> { proxy, setup }
//! names        -> redirect
//! reason: errors as people read them, used by all
//! exit, exposition, log, screen, shutdown, kubernetes: the rim, used by the commands
//! cli and main see all; commands never see each other
//!
//! AdmissionReview -webhook::review-> pod --+
//! YAML or JSON    -offline--------> pod ---+-> inject::decide -> Decision -> patch
//! ServiceAccount, Namespace -> annotations-+   (pure, total, synchronous)
//!
//! IMDS or App Service request -proxy::imds-> TokenRequest -azure::{cache, token}-> Token -proxy::imds-> reply
//! redirect::rules (pure)-> messages -redirect::netlink-> kernel, -redirect::witness-> proven
//! file + ARM + cluster -setup::observe-> Observed -setup::plan (pure)-> steps -setup::apply-> ARM, cluster
//! ```

pub mod azure;
pub mod cli;
pub mod cloud;
pub mod exit;
pub mod exposition;
pub mod inject;
pub mod kubernetes;
pub mod log;
pub mod names;
pub mod offline;
pub mod proxy;
pub mod reason;
pub mod redirect;
pub mod screen;
pub mod setup;
pub mod shutdown;
pub mod webhook;

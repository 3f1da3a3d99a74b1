//! Many identities, in simulated time: as fast as Azure's published limits allow, and never faster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use identity_injector::setup::config;
use tokio::time::Instant;

use crate::many::{self, ACCOUNTS};
use crate::peers::{Call, Peer, Reply};
use crate::world::World;
use crate::{CONFIG, run};

const IDENTITIES: usize = 200;

/// A world whose identities take 2 writes a second, each of them one in 4 seconds.
#[derive(Debug)]
struct Limited {
    world: Arc<World>,
    start: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When each identity was written last.
    written: HashMap<String, Duration>,
    /// All writes.
    times: Vec<Duration>,
    too_fast: Vec<String>,
}

impl Peer for Limited {
    fn answer(&self, call: Call) -> Option<Reply> {
        if let Some(("arm PUT", path)) = call.line.split_once(" /")
            && let Some((_, name)) = path.split_once("/userAssignedIdentities/")
        {
            let name = name.split(['/', '?']).next().unwrap().to_owned();
            let now = self.start.elapsed();
            let mut seen = self.seen.lock().unwrap();
            let last = seen.written.insert(name, now);
            let last_but_one = seen.times.iter().rev().nth(1);
            let second = Duration::from_secs(1);
            let of_subscription = last_but_one.is_some_and(|before| now - *before < second);
            let of_identity = last.is_some_and(|last| now - last < 4 * second);
            if of_identity || of_subscription {
                seen.too_fast.push(format!("{} at {now:?}", call.line));
            }
            seen.times.push(now);
        }
        self.world.answer(call)
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_identities_at_the_published_pace() {
    let text = many::identities(CONFIG, "ns", IDENTITIES);
    let desired = config::parse(&text).unwrap();
    let limited = Arc::new(Limited {
        world: World::with_namespace("ns"),
        start: Instant::now(),
        seen: Mutex::default(),
    });
    let plan = run(&desired, limited.clone()).await.unwrap();
    let took = limited.start.elapsed();
    assert_eq!(plan.steps.len(), 1 + IDENTITIES * (1 + 2 * ACCOUNTS));
    let seen = limited.seen.lock().unwrap();
    let writes = seen.times.len();
    assert_eq!(writes, IDENTITIES * (1 + ACCOUNTS));
    assert_eq!(seen.too_fast, Vec::<String>::new());
    let published = Duration::from_millis(500) * u32::try_from(writes).unwrap();
    let times = took.as_secs_f64() / published.as_secs_f64();
    println!("{writes} writes in {took:?}: {times:.3} times the published pace");
    assert!(times <= 1.1, "{took:?}, published {published:?}");
}

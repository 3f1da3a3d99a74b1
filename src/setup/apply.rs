//! Carries a plan out: one step, one call, one line.
//!
//! ```text
//! note what is intended -> the group -> identities, LANES at a time, each one step after the other -> confirm
//! ```
//!
//! The first step that fails stops all lanes before their next step. Every step may be repeated, and the plan is made
//! anew from what is there: a run that was killed anywhere is finished by the next.

use std::pin::pin;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::{Book, BookError};
use super::cluster::Cluster;
use super::desired::Desired;
use super::journal::Journal;
use super::ledger::{Change, Made, State, makes};
use super::pace::{LANES, Pacer, Rates, Turns};
use super::plan::Plan;
use super::step::Step;
use super::write::{MadeIds, Outcome, WriteError, Writer};
use crate::azure::arm::Client;

/// How long what was made may wait to be confirmed. The ledger is written whole: each time would be often.
const CONFIRM_PAUSE: Duration = Duration::from_secs(30);

/// A step that failed; those before it are done, those behind it not begun.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub struct ApplyError {
    /// The step, as its line names it.
    pub step: String,
    /// Why.
    pub cause: WriteError,
}

/// Carries out `plan`, no faster than `rates`. What came of each step is in `journal`, also when this is dropped on the way.
///
/// # Errors
/// The first step that fails.
pub async fn apply(
    plan: &Plan,
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
    rates: Rates,
    journal: &Journal,
) -> Result<(), ApplyError> {
    let mut book = Book::of(cluster);
    let ledger = |error: BookError| ApplyError {
        step: "write the ledger".to_owned(),
        cause: error.into(),
    };
    book.change(&plan.noted).await.map_err(ledger)?;
    let run = Run {
        writer: Writer {
            desired,
            arm,
            cluster,
        },
        noted: &plan.noted,
        journal,
        rates,
        pacer: Pacer::new(rates.subscription),
        stop: CancellationToken::new(),
    };
    let (group, identities): (Vec<_>, Vec<_>) =
        lanes(&plan.steps).partition(|(identity, _)| identity.is_none());
    let group = stream::iter(group).then(|(_, steps)| run.lane(steps));
    let identities = stream::iter(identities).map(|(_, steps)| run.lane(steps));
    let mut ended = pin!(group.chain(identities.buffer_unordered(LANES)));
    let mut outcome = Ok(());
    let mut confirmed = Instant::now();
    let mut done = Change::default();
    while let Some((made, ended)) = ended.next().await {
        done.put.extend(made.put);
        done.strike.extend(made.strike);
        outcome = outcome.and(ended);
        if confirmed.elapsed() >= CONFIRM_PAUSE {
            book.change(&done).await.map_err(ledger)?;
            (confirmed, done) = (Instant::now(), Change::default());
        }
    }
    let confirmed = book.change(&done).await.map_err(ledger);
    outcome.and(confirmed)
}

/// The steps of each identity, and of none.
fn lanes(steps: &[Step]) -> impl Iterator<Item = (Option<&str>, &[Step])> {
    let chunks = steps.chunk_by(|a, b| a.identity() == b.identity());
    chunks.map(|steps| (steps.first().and_then(Step::identity), steps))
}

struct Run<'a> {
    writer: Writer<'a>,
    noted: &'a Change,
    journal: &'a Journal,
    rates: Rates,
    /// Of the subscription's writes.
    pacer: Pacer,
    stop: CancellationToken,
}

/// One identity's way through its steps.
#[derive(Default)]
struct Lane<'a> {
    made: MadeIds<'a>,
    turns: Turns,
}

impl<'a> Run<'a> {
    /// Carries out the steps of one identity; what was made and what surely was not, and the error that ended it.
    async fn lane(&self, steps: &'a [Step]) -> (Change, Result<(), ApplyError>) {
        let mut lane = Lane::default();
        let (mut done, mut outcome) = (Change::default(), Ok(()));
        for step in steps {
            // What has no entry of its own (annotations, of a ServiceAccount that setup made) was not noted.
            let made = makes(step, &self.writer.desired.group);
            let made = made.filter(|made| self.noted.put.contains_key(made));
            if self.stop.is_cancelled() {
                done.strike.extend(made.filter(Made::is_an_object));
                continue;
            }
            let mut id = None;
            match (self.take(step, &mut lane, &mut id).await, made) {
                (Ok(Outcome::Done(_)), Some(made)) => drop(done.put.insert(made, State::made(id))),
                (Ok(Outcome::Adopted(_)), Some(made)) => drop(done.strike.insert(made)),
                (Ok(_), None) => {}
                (Err(error), made) => {
                    self.stop.cancel();
                    // Without a definite answer it may have been made: it stays intended.
                    let made = made.filter(|_| error.cause.is_definite());
                    done.strike.extend(made.filter(Made::is_an_object));
                    outcome = Err(error);
                }
            }
        }
        (done, outcome)
    }

    async fn take(
        &self,
        step: &'a Step,
        lane: &mut Lane<'a>,
        id: &mut Option<String>,
    ) -> Result<Outcome, ApplyError> {
        self.journal.begin(step);
        if step.is_paced() {
            let own = &mut lane.turns;
            self.pacer.turn_of(own, self.rates.identity).await;
        }
        let start = Instant::now();
        let outcome = self.writer.carry_out(step, &mut lane.made, id).await;
        self.journal.end(step, start.elapsed(), &outcome);
        outcome.map_err(|cause| ApplyError {
            step: step.to_string(),
            cause,
        })
    }
}

//! Looks at what the ledger has, and takes back what setup made: one step, one call, one line.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::ApplyError;
use super::book::{Book, BookError};
use super::cluster::Cluster;
use super::desired::Desired;
use super::found::{Found, FoundIdentity};
use super::ledger::{Change, Ledger, Made, Place, Thing};
use super::observe::ObserveError;
use super::pace::{LANES, Pacer, Rates, Turns};
use super::progress::Progress;
use super::removal::{Removal, not_empty};
use super::retry::persist;
use super::roles;
use super::undo::{Act, Undo};
use super::write::WriteError;
use crate::azure::arm::{ArmError, Client, FailureKind, request};

/// How long what is removed may wait to be struck. The ledger is written whole: each time would be often.
const STRIKE_PAUSE: Duration = Duration::from_secs(30);

/// Looks at all that the ledger has of what `desired` names, no faster than `rates`.
///
/// # Errors
/// When Azure or the cluster does not tell.
pub async fn find(
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
    rates: Rates,
) -> Result<Found, ObserveError> {
    let ledger = Book::of(cluster).read().await?.unwrap_or_default();
    let group = persist(async || arm.find(&request::get_group(&desired.group)).await).await?;
    let mut found = Found::default();
    if group.is_some() {
        let list = request::list_resources(&desired.group);
        found.resources = Some(persist(async || arm.list(&list).await).await?);
        let pacer = Pacer::new(rates.lists);
        for identity in &desired.identities {
            pacer.turn().await;
            let scopes = scopes(&ledger, &Place::identity(&desired.group, &identity.name));
            if let Some(there) = find_identity(desired, arm, &identity.name, &scopes).await? {
                found.identities.insert(identity.name.clone(), there);
            }
        }
    }
    for made in ledger.0.keys() {
        if let Thing::ServiceAccount(account) | Thing::Annotations(account) = &made.thing
            && let Some(there) = cluster.find_account(account).await?
        {
            found.accounts.insert(account.clone(), there);
        }
    }
    Ok(Found { ledger, ..found })
}

fn scopes(ledger: &Ledger, place: &Place) -> BTreeSet<String> {
    let things = ledger.0.keys().filter(|made| made.place == *place);
    let scope = |thing: &Thing| match thing {
        Thing::RoleAssignment { scope, .. } => Some(scope.clone()),
        _ => None,
    };
    things.filter_map(|made| scope(&made.thing)).collect()
}

async fn find_identity(
    desired: &Desired,
    arm: &Client,
    name: &str,
    scopes: &BTreeSet<String>,
) -> Result<Option<FoundIdentity>, ArmError> {
    let get = request::get_identity(&desired.group, name);
    let Some(identity) = persist(async || arm.find(&get).await).await? else {
        return Ok(None);
    };
    let list = request::list_credentials(&desired.group, name);
    let scopes = scopes.iter().map(String::as_str);
    Ok(Some(FoundIdentity {
        credentials: persist(async || arm.list(&list).await).await?,
        assignments: roles::assignments(scopes, &identity.principal_id, arm).await?,
        client_id: identity.client_id,
        principal_id: identity.principal_id,
    }))
}

/// Takes the steps back, no faster than `rates`, and strikes them from the ledger. Gives what stays after all.
///
/// # Errors
/// The first step that fails; the ledger still has what is not removed.
pub async fn destroy(
    removal: &Removal,
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
    rates: Rates,
    progress: &Progress,
) -> Result<Vec<String>, ApplyError> {
    let mut book = Book::of(cluster);
    let ledger = |error: BookError| ApplyError {
        step: "write the ledger".to_owned(),
        cause: error.into(),
    };
    let run = Run {
        desired,
        arm,
        cluster,
        rates,
        progress,
        pacer: Pacer::new(rates.subscription),
        stop: CancellationToken::new(),
    };
    let mut lanes: BTreeMap<Option<&str>, Vec<&Undo>> = BTreeMap::new();
    let (mut accounts, mut group) = (Vec::new(), Vec::new());
    for undo in &removal.steps {
        match (&undo.act, undo.identity()) {
            (Act::DeleteResourceGroup(_), _) => group.push(undo),
            (_, None) => accounts.push(undo),
            (_, identity) => lanes.entry(identity).or_default().push(undo),
        }
    }
    let accounts = stream::once(run.lane(accounts));
    let identities = stream::iter(lanes.into_values()).map(|steps| run.lane(steps));
    let identities = identities.buffer_unordered(LANES);
    let mut ended = pin!(
        accounts
            .chain(identities)
            .chain(stream::once(run.lane(group)))
    );
    let (mut left, mut outcome) = (Vec::new(), Ok(()));
    let mut struck = Instant::now();
    let mut done = Change {
        strike: removal.gone.clone(),
        ..Change::default()
    };
    while let Some(lane) = ended.next().await {
        done.strike.extend(lane.done);
        left.extend(lane.left);
        outcome = outcome.and(lane.outcome);
        if struck.elapsed() >= STRIKE_PAUSE {
            book.change(&done).await.map_err(ledger)?;
            (struck, done) = (Instant::now(), Change::default());
        }
    }
    let struck = book.change(&done).await.map_err(ledger);
    outcome.and(struck)?;
    book.remove_if_empty().await.map_err(ledger)?;
    Ok(left)
}

/// What came of some steps, one after the other.
struct Lane {
    done: BTreeSet<Made>,
    left: Vec<String>,
    outcome: Result<(), ApplyError>,
}

/// What came of a step.
enum Outcome {
    /// Done, with ARM's correlation id if ARM was called.
    Done(Option<String>),
    /// Not done, and why.
    Left(String),
}

struct Run<'a> {
    desired: &'a Desired,
    arm: &'a Client,
    cluster: &'a Cluster,
    rates: Rates,
    progress: &'a Progress,
    pacer: Pacer,
    stop: CancellationToken,
}

impl Run<'_> {
    /// Takes steps one after the other, to the first that fails.
    async fn lane(&self, steps: Vec<&Undo>) -> Lane {
        let mut turns = Turns::default();
        let mut lane = Lane {
            done: BTreeSet::new(),
            left: Vec::new(),
            outcome: Ok(()),
        };
        for undo in steps {
            if self.stop.is_cancelled() {
                break;
            }
            self.progress.begin(undo);
            if undo.is_paced() {
                self.pacer.turn_of(&mut turns, self.rates.identity).await;
            }
            match self.take(undo).await {
                Ok(None) => {
                    lane.done.insert(undo.made.clone());
                }
                Ok(Some(why)) => lane.left.push(why),
                Err(error) => {
                    self.stop.cancel();
                    lane.outcome = Err(error);
                    break;
                }
            }
        }
        lane
    }

    async fn take(&self, undo: &Undo) -> Result<Option<String>, ApplyError> {
        let start = Instant::now();
        let outcome = self.carry_out(&undo.act).await;
        let took = start.elapsed();
        match outcome {
            Ok(Outcome::Done(id)) => {
                self.progress.done(undo, took, "done", id.as_deref());
                Ok(None)
            }
            Ok(Outcome::Left(why)) => {
                self.progress.done(undo, took, "left", None);
                Ok(Some(why))
            }
            Err(cause) => {
                self.progress.failed(undo, took, cause.correlation_id());
                let step = undo.to_string();
                Err(ApplyError { step, cause })
            }
        }
    }

    async fn carry_out(&self, act: &Act) -> Result<Outcome, WriteError> {
        let group = &self.desired.group;
        let request = match act {
            Act::Unannotate(account, version, uid) => {
                let (version, uid) = (version.as_deref(), uid.as_deref());
                self.cluster.unannotate(account, version, uid).await?;
                return Ok(Outcome::Done(None));
            }
            Act::DeleteServiceAccount(account, version) => {
                self.cluster
                    .delete_account(account, version.clone())
                    .await?;
                return Ok(Outcome::Done(None));
            }
            Act::Revoke { scope, name, .. } => request::delete_assignment(scope, name),
            Act::DeleteFederatedCredential { identity, name } => {
                request::delete_credential(group, identity, name)
            }
            Act::DeleteIdentity(name) => {
                // Ours are gone by now: what is there another has made since we looked.
                let list = request::list_credentials(group, name);
                let gone = [
                    Some(FailureKind::NotFound),
                    Some(FailureKind::ParentNotFound),
                ];
                let there = match self.arm.list(&list).await {
                    Err(error) if gone.contains(&error.kind()) => Vec::new(),
                    Err(_) => persist(async || self.arm.list(&list).await).await?,
                    Ok(there) => there,
                };
                if !there.is_empty() {
                    let names: Vec<_> = there.iter().map(|it| it.name.as_str()).collect();
                    let names = names.join(", ");
                    return Ok(Outcome::Left(format!(
                        "identity {name}: others trust it by federated credentials that setup did not make: {names}"
                    )));
                }
                request::delete_identity(group, name)
            }
            Act::DeleteResourceGroup(name) => {
                let list = request::list_resources(group);
                let there = persist(async || self.arm.list(&list).await).await?;
                if !there.is_empty() {
                    let stays: Vec<_> = there.iter().map(ToString::to_string).collect();
                    return Ok(Outcome::Left(not_empty(name, &stays)));
                }
                request::delete_group(group)
            }
        };
        let id = persist(async || self.arm.delete(&request).await).await?;
        Ok(Outcome::Done(Some(id)))
    }
}

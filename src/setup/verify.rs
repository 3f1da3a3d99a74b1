//! Proves what `apply` made: a real token of each ServiceAccount, really exchanged at Microsoft Entra.

use std::fmt;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::cluster::Cluster;
use super::desired::{Desired, DesiredIdentity, ServiceAccountId};
use super::retry::persist;
use super::step::IdentityIds;
use crate::azure::aadsts::Class;
use crate::azure::arm::{ArmError, Client, request};
use crate::azure::token::{Entra, Wanted};
use crate::azure::token_error::TokenError;
use crate::names::{CLIENT_ID, TENANT_ID};

/// How many ServiceAccounts are proven at once.
const AT_ONCE: usize = 8;

/// How long to wait for Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Before the first question.
    pub settle: Duration,
    /// From the first question on, for what may still pass.
    pub patience: Duration,
    /// Before it is asked again about what may still be spreading. It keeps its "no" for a while, and each question may
    /// prolong that.
    pub spreading: Duration,
    /// Before it is asked again when it was busy, unless it says.
    pub busy: Duration,
}

impl Waits {
    /// These, and between two questions what Entra asks for.
    #[must_use]
    pub fn new(settle: Duration, patience: Duration) -> Self {
        Self {
            settle,
            patience,
            spreading: Duration::from_secs(30),
            busy: Duration::from_secs(5),
        }
    }

    /// How long before it is worth to ask again; `None` if it is not.
    fn pause(&self, error: &TokenError) -> Option<Duration> {
        match error.class() {
            Class::Permanent | Class::Resource => None,
            Class::Spreading => Some(self.spreading),
            Class::Settling | Class::Transient | Class::Throttled => {
                let asked = error.retry_after();
                let asked = asked.map(|seconds| Duration::from_secs(seconds.max(1)));
                Some(asked.unwrap_or(self.busy))
            }
        }
    }
}

/// What came of one ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The ServiceAccount.
    pub service_account: ServiceAccountId,
    /// The identity it is to have.
    pub identity: String,
    /// Whether it has it.
    pub verdict: Verdict,
    /// Why not, and what to do; empty if it has.
    pub reason: String,
}

/// Whether a ServiceAccount has its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It got a token.
    Ok,
    /// It can't get one.
    Failed,
    /// Nobody can tell now.
    Unknown,
}

/// Proves every ServiceAccount of `desired`, in the config's order; `resource` is what tokens are asked for.
///
/// # Errors
/// When Resource Manager does not tell the identities' ids.
pub async fn verify(
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
    entra: &Entra,
    resource: &str,
    waits: Waits,
) -> Result<Vec<Finding>, ArmError> {
    let mut subjects = Vec::new();
    for identity in &desired.identities {
        let get = request::get_identity(&desired.group, &identity.name);
        let found = persist(async || arm.find(&get).await).await?;
        let ids = found.map(IdentityIds::from);
        let accounts = identity.service_accounts.iter();
        subjects.extend(accounts.map(|account| (identity, account, ids.clone())));
    }
    if !waits.settle.is_zero() {
        let seconds = waits.settle.as_secs();
        tracing::info!(
            "waiting {seconds} s first: Entra keeps for a while that it did not know a new credential (--settle)"
        );
        sleep(waits.settle).await;
    }
    let proof = Proof {
        desired,
        cluster,
        entra,
        resource,
        until: Instant::now() + waits.patience,
        waits,
    };
    let findings = stream::iter(subjects)
        .map(|(identity, account, ids)| proof.finding(identity, account, ids));
    Ok(findings.buffered(AT_ONCE).collect().await)
}

struct Proof<'a> {
    desired: &'a Desired,
    cluster: &'a Cluster,
    entra: &'a Entra,
    resource: &'a str,
    waits: Waits,
    until: Instant,
}

impl Proof<'_> {
    async fn finding(
        &self,
        identity: &DesiredIdentity,
        account: &ServiceAccountId,
        ids: Option<IdentityIds>,
    ) -> Finding {
        let outcome = match ids {
            Some(ids) => self.prove(account, &ids).await,
            None => Err((
                Verdict::Failed,
                "the identity is not there: run `setup apply`".to_owned(),
            )),
        };
        let (verdict, reason) = outcome.err().unwrap_or((Verdict::Ok, String::new()));
        Finding {
            service_account: account.clone(),
            identity: identity.name.clone(),
            verdict,
            reason,
        }
    }

    async fn prove(
        &self,
        account: &ServiceAccountId,
        ids: &IdentityIds,
    ) -> Result<(), (Verdict, String)> {
        let unknown = |error: super::cluster::ClusterError| (Verdict::Unknown, error.to_string());
        let failed = |reason: String| Err((Verdict::Failed, reason));
        let Some(annotations) = self.cluster.annotations(account).await.map_err(unknown)? else {
            return failed("the ServiceAccount is not there: run `setup apply`".to_owned());
        };
        // Pods without a tenant of their own have the webhook's.
        let tenant = annotations.get(TENANT_ID).unwrap_or(&ids.tenant_id);
        let client = annotations.get(CLIENT_ID).map_or("absent", String::as_str);
        let table = [
            (CLIENT_ID, client, &ids.client_id),
            (TENANT_ID, tenant.as_str(), &ids.tenant_id),
        ];
        if let Some((key, has, wanted)) = table.into_iter().find(|(_, has, wanted)| has != wanted) {
            return failed(format!(
                "its annotation {key} is {has}, not {wanted}: run `setup apply`"
            ));
        }
        let audience = &self.desired.audience;
        let wanted = Wanted {
            tenant_id: ids.tenant_id.as_str().into(),
            client_id: ids.client_id.as_str().into(),
            resource: self.resource.to_owned(),
        };
        loop {
            let assertion = self.cluster.token(account, audience).await;
            let assertion = assertion.map_err(unknown)?;
            let request = Uuid::new_v4();
            let exchanged = self
                .entra
                .exchange_assertion(&wanted, &assertion, request)
                .await;
            let Err(error) = exchanged else {
                return Ok(());
            };
            match self.waits.pause(&error) {
                Some(pause) if Instant::now() + pause <= self.until => {
                    let seconds = pause.as_secs();
                    tracing::warn!("{account}: {error} Asking again in {seconds} s.");
                    sleep(pause).await;
                }
                _ => {
                    let verdict = match error.class() {
                        Class::Transient | Class::Throttled => Verdict::Unknown,
                        _ => Verdict::Failed,
                    };
                    return Err((verdict, error.to_string()));
                }
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "failed",
            Verdict::Unknown => "unknown",
        };
        let (account, identity) = (&self.service_account, &self.identity);
        match self.reason.as_str() {
            "" => write!(f, "{verdict:7}  {account} as {identity}"),
            reason => write!(f, "{verdict:7}  {account} as {identity}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::Waits;
    use crate::azure::aadsts::fault;
    use crate::azure::token_error::{Hints, TokenError};

    #[test]
    fn pauses() {
        // code, seconds until it is asked again; none is told at once
        let table = [
            (70021, Some(30)),
            (700211, Some(30)),
            (700213, Some(30)),
            (700016, Some(30)),
            (70025, Some(30)),
            (700024, Some(5)),
            (90033, Some(5)),
            (90061, Some(5)),
            (700212, None),
            (7002138, None),
            (7002131, None),
            (500011, None),
            (53003, None),
        ];
        for (code, seconds) in table {
            let error = TokenError::Refused {
                code,
                class: fault(code).class,
                claims: None,
                description: String::new(),
                correlation_id: None,
                hints: Hints::of(&HeaderMap::new(), 0),
            };
            let expected = seconds.map(Duration::from_secs);
            let waits = Waits::new(Duration::ZERO, Duration::ZERO);
            assert_eq!(waits.pause(&error), expected, "AADSTS{code}");
        }
    }
}

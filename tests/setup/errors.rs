//! Every refusal of Azure that is known (azure-protocols.md 1.2, 1.3, 1.6, 1.8): what passes is waited out within its
//! budget, what does not ends the run before its next write, with a sentence that says what to do.

use std::ops::RangeInclusive;

use serde_json::json;
use tokio::time::Instant;

use crate::peers::{Reply, arm_error, kube_error, reply};
use crate::script::Script;
use crate::{
    Exchange, SUBJECT, absent, apply_account, credential_json, credential_made, desired,
    error_after, get_account, get_group, get_issuer, get_namespace, group_json, identity_path,
    list_credentials, look_at, our_credential, put_credential, put_group, put_identity,
    right_credential, run,
};

/// One that asks to wait.
fn told(error: Reply, seconds: &'static str) -> Reply {
    let headers = [error.headers, vec![("retry-after", seconds)]].concat();
    Reply { headers, ..error }
}

#[tokio::test(start_paused = true)]
async fn waits_out_what_passes() {
    let concurrent = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
    let parent = "The parent user-assigned identity doesn't exist.";
    let busy = "RetryableErrorDueToAnotherOperation";
    let error = arm_error;
    let throttled = || error(429, "TooManyRequests", "slow down");
    // each answer, how often, and the seconds that costs: growing waits by half, others by a quarter
    let table: [(Reply, usize, RangeInclusive<u64>); 14] = [
        (error(409, concurrent, "Too many"), 2, 15..=30),
        (error(400, concurrent, "Too many"), 1, 5..=10),
        (told(throttled(), "17"), 2, 34..=43),
        (throttled(), 1, 10..=20),
        (error(429, busy, "busy"), 1, 10..=20),
        (error(404, "ParentResourceNotFound", "not yet"), 3, 15..=19),
        (error(404, "NotFound", parent), 1, 5..=7),
        (
            error(404, "NotFound", "MS Graph resource not found"),
            2,
            10..=13,
        ),
        (error(500, "InternalServerError", "oops"), 3, 7..=14),
        (error(502, "BadGateway", "oops"), 1, 1..=2),
        (error(503, "ServiceUnavailable", "later"), 3, 7..=14),
        (told(error(503, "ServerBusy", "later"), "20"), 1, 20..=25),
        (reply(504, json!("a gateway's page")), 1, 1..=2),
        (error(408, "RequestTimeout", "late"), 1, 1..=2),
    ];
    for (refusal, times, seconds) in table {
        let case = format!("{} {}", refusal.status, refusal.body);
        let mut exchanges = look_at(&[]);
        let refusals = vec![refusal; times].into_iter();
        let replies = refusals.chain([credential_made()]);
        exchanges.extend(replies.map(|reply| put_credential(&our_credential(), reply)));
        let start = Instant::now();
        assert_eq!(error_after(exchanges).await, "", "{case}");
        let took = start.elapsed().as_secs();
        assert!(seconds.contains(&took), "{case}: {took} s, not {seconds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn gives_up_on_what_never_passes() {
    let concurrent = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
    // the answer, the seconds until the end, and the advice
    let table = [
        (
            arm_error(404, "ParentResourceNotFound", "not there yet"),
            235..=240,
            "the identity is not visible to Azure yet: run again in some minutes",
        ),
        (
            arm_error(409, concurrent, "Too many"),
            540..=600,
            "another writer is at this identity's credentials: run again when it is done",
        ),
        (
            told(arm_error(429, "TooManyRequests", "slow down"), "100"),
            400..=600,
            "others use up the limit: run again later",
        ),
        (
            arm_error(503, "ServiceUnavailable", "later"),
            7..=14,
            "Azure is unwell: run again later",
        ),
        (
            told(arm_error(429, "TooManyRequests", "slow down"), "3600"),
            0..=0,
            "others use up the limit: run again later",
        ),
    ];
    for (refusal, seconds, advice) in table {
        let case = refusal.body.to_string();
        let path = identity_path();
        let peer = crate::endless::Stubborn::new(json!({"value": []}), refusal);
        let start = Instant::now();
        let error = run(&desired(), peer).await.unwrap_err().to_string();
        let took = start.elapsed().as_secs();
        assert!(seconds.contains(&took), "{case}: {took} s, not {seconds:?}");
        assert!(error.contains(&path) && error.contains(advice), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn adopts_what_another_made_meanwhile() {
    let exists = "Issuer and subject combination already exists for this Managed Identity.";
    let other = credential_json("theirs", SUBJECT, "api://other");
    // the status, what the list then has, and what is said
    let table = [
        (409, vec![right_credential("theirs")], ""),
        (400, vec![right_credential("theirs")], ""),
        (409, vec![other], "run again and it is adopted"),
        (409, vec![], "run again and it is adopted"),
    ];
    for (status, there, said) in table {
        let mut exchanges = look_at(&[]);
        let refusal = arm_error(status, "Conflict", exists);
        exchanges.push(put_credential(&our_credential(), refusal));
        exchanges.push(list_credentials(&there));
        let script = Script::new(exchanges);
        let error = run(&desired(), script.clone()).await.err();
        script.finish();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error.is_empty(), said.is_empty(), "{status}: {error}");
        assert!(error.contains(said), "{status}: {error}");
        let ledger = script.ledger();
        // It is another's, or was refused: ours it is not.
        let entries = ledger["data"].to_string().contains(&our_credential());
        assert!(!entries, "{status}: {ledger}");
    }
}

#[tokio::test(start_paused = true)]
async fn stops_at_what_does_not_pass() {
    let name = "Federated identity credential name 'x' is invalid.";
    let table = [
        (400, "BadRequest", "nonsense", "the request is at fault"),
        (
            400,
            "BadRequest",
            "exactly one audience.",
            "the request is at fault",
        ),
        (
            400,
            "BadRequest",
            "has empty properties.",
            "the request is at fault",
        ),
        (400, "BadRequest", name, "the request is at fault"),
        (
            401,
            "InvalidAuthenticationToken",
            "invalid",
            "sign in again",
        ),
        (
            401,
            "ExpiredAuthenticationToken",
            "expired",
            "sign in again",
        ),
        (
            401,
            "InvalidAuthenticationTokenTenant",
            "wrong tenant",
            "sign in again, in the subscription's tenant and cloud",
        ),
        (
            403,
            "AuthorizationFailed",
            "no",
            "Managed Identity Contributor",
        ),
        (
            403,
            "LinkedAuthorizationFailed",
            "no",
            "Managed Identity Contributor",
        ),
        (
            403,
            "RequestDisallowedByPolicy",
            "denied",
            "an Azure Policy forbids it",
        ),
        (
            404,
            "ResourceGroupNotFound",
            "gone",
            "it is not there (any more): run again",
        ),
        (
            404,
            "ResourceNotFound",
            "gone",
            "it is not there (any more): run again",
        ),
        (404, "SubscriptionNotFound", "none", "check `subscription`"),
        (
            405,
            "MethodNotAllowed",
            "not enabled",
            "choose another `resourceGroup.location`",
        ),
        (
            409,
            "Conflict",
            "in a bad state",
            "change what Azure names and run again",
        ),
        (
            409,
            "MissingSubscriptionRegistration",
            "not registered",
            "az provider register --namespace Microsoft.ManagedIdentity",
        ),
        (
            409,
            "ResourceGroupBeingDeleted",
            "going",
            "wait for the deletion",
        ),
        (409, "ScopeLocked", "a lock", "remove the lock"),
        (307, "", "", "check the config and --arm-url"),
        (202, "", "", "has not finished: run again"),
        (204, "", "", "has not finished: run again"),
    ];
    for (status, code, message, advice) in table {
        let mut exchanges = look_at(&[]);
        let last = exchanges.len() - 1;
        // A write that would come after the one that fails.
        exchanges[last] = get_account(absent());
        let refusal = arm_error(status, code, message);
        exchanges.push(put_credential(&our_credential(), refusal));
        let start = Instant::now();
        let error = error_after(exchanges).await;
        assert_eq!(start.elapsed().as_secs(), 0, "{code} was tried again");
        let step = format!(
            "create FederatedCredential identityA/{}: ",
            our_credential()
        );
        for part in [&step, code, message, "correlation id correlation-1", advice] {
            assert!(error.contains(part), "{part:?} not in {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_write_that_fails_is_the_last() {
    let refused = || arm_error(403, "AuthorizationFailed", "no");
    let elsewhere = arm_error(409, "InvalidResourceGroupLocation", "in eastus");
    let forbidden = kube_error(403, "Forbidden", "serviceaccounts \"sa\" is forbidden");
    let failing = |write: Exchange, refusal: Reply| (write.0, refusal);
    let writes = || {
        vec![
            put_group(reply(201, group_json())),
            put_identity(),
            put_credential(&our_credential(), credential_made()),
            apply_account(absent()),
        ]
    };
    // how many writes go well, how the next one fails, and what is said
    let table = [
        (0, refused(), "create ResourceGroup walk: "),
        (0, elsewhere, "run again and it is used as it is"),
        (1, refused(), "create ManagedIdentity identityA: "),
        (2, refused(), "create FederatedCredential identityA/"),
        (3, forbidden, "create ServiceAccount ns/sa: "),
    ];
    for (well, refusal, said) in table {
        let mut exchanges = vec![
            get_group(arm_error(404, "ResourceGroupNotFound", "not there")),
            get_issuer(),
            get_namespace(),
            get_account(absent()),
        ];
        let mut writes = writes().into_iter();
        exchanges.extend(writes.by_ref().take(well));
        exchanges.push(failing(writes.next().unwrap(), refusal));
        let error = error_after(exchanges).await;
        assert!(error.contains(said), "{said:?} not in {error}");
    }
}

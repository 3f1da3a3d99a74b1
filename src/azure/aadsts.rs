//! What Entra's error codes mean to a pod: how to answer, why it happened, what to do.

/// How an error is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Stays until somebody changes something.
    Permanent,
    /// The resource asked for is unknown; stays, and has an error name of its own in IMDS.
    Resource,
    /// As permanent, unless it cures itself in a moment: an assertion that is just being rotated.
    Settling,
    /// As permanent, unless a federated credential or application was just made and is still spreading through Entra.
    Spreading,
    /// Passes by itself.
    Transient,
    /// Too many requests.
    Throttled,
}

/// One known error.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// How to answer it.
    pub class: Class,
    /// Cause and remedy, whole sentences.
    pub sentence: &'static str,
    /// Whether issuer, subject and audience of the assertion help to find the cause.
    pub shows_claims: bool,
}

const NO_MATCH: &str = "no federated credential of this client matches the pod's token. Make one with exactly this \
    issuer, subject and audience, slash at the end and case included; one made just now takes some seconds, at times minutes.";
const NO_APPLICATION: &str = "this tenant has no application or managed identity with this client id. Check the client id \
    (not the object id) and AZURE_TENANT_ID; an identity made just now takes some seconds, at times minutes.";
const NO_RESOURCE: &str = "the tenant does not know the resource asked for. Check its spelling and that the service is in use in this tenant.";
const BAD_REQUEST: &str =
    "Entra does not take the resource as a scope. Ask for one resource, by its URI or GUID.";
const BAD_TENANT: &str = "the tenant is unknown at this authority. Check AZURE_TENANT_ID and that AZURE_AUTHORITY_HOST is the tenant's cloud.";
const BLOCKED: &str =
    "a policy of the tenant blocks this identity. Ask the tenant's administrator for an exception.";
const NO_CREDENTIAL: &str = "the client can't sign in by federated token. Use a managed identity or application with a federated credential.";
const BAD_SIGNATURE: &str = "Entra can't verify the pod's token. Check that the issuer's key set has the cluster's current signing keys.";
const DISABLED: &str = "the application is disabled in the tenant. Enable it.";
const BUSY: &str = "Entra is busy or in trouble. It passes; the request may be repeated.";
const UNKNOWN: &str = "Entra refuses the exchange. Its own words follow.";

/// The fault behind an AADSTS code; one that is not in the table counts as permanent: waiting on an unknown error hides it.
#[must_use]
pub fn fault(code: u32) -> Fault {
    let (class, sentence) = match code {
        70021 | 700_211 | 700_213 => (Class::Spreading, NO_MATCH),
        70025 => (
            Class::Spreading,
            "this client has no federated credential yet. Make one with exactly this issuer, subject and audience; \
             one made just now takes some seconds, at times minutes.",
        ),
        700_212 => (
            Class::Permanent,
            "the audience of the pod's token is not the one of the federated credential. Give both the same, usually \
             api://AzureADTokenExchange; a token for AKS identity bindings can't be sent to Entra itself.",
        ),
        7_002_138 => (
            Class::Permanent,
            "a federated credential matches the pod's token but for upper and lower case. Write its issuer and subject \
             with exactly this case.",
        ),
        7_002_131 => (
            Class::Permanent,
            "neither subject nor expression of any federated credential matches the pod's token. Correct one of them.",
        ),
        700_016 => (Class::Spreading, NO_APPLICATION),
        70001 | 7_000_112 => (Class::Permanent, DISABLED),
        700_024 => (
            Class::Settling,
            "the pod's token is not valid at this time. Check the clocks of node and API server and that the token file is \
             being renewed.",
        ),
        700_027 => (Class::Settling, BAD_SIGNATURE),
        50013 => (Class::Permanent, BAD_SIGNATURE),
        90061 => (
            Class::Transient,
            "Entra could not read the issuer's discovery document. Check that the issuer answers from the Internet.",
        ),
        500_011 | 50001 | 650_052 | 650_054 | 650_057 => (Class::Resource, NO_RESOURCE),
        70011 | 700_022 | 700_023 | 901_002 | 90014 | 900_144 => (Class::Permanent, BAD_REQUEST),
        90002 | 90038 | 900_382 => (Class::Permanent, BAD_TENANT),
        53003 | 530_032 | 50005 | 7_002_381 => (Class::Permanent, BLOCKED),
        700_025 | 700_229 | 7_000_215 | 7_000_218 | 7_000_222 => (Class::Permanent, NO_CREDENTIAL),
        50196 => (
            Class::Permanent,
            "Entra met the same request too often in a short time. Find out who asks in a loop.",
        ),
        90006 | 90012 | 90024 | 90033 | 90055 | 90090 => (Class::Transient, BUSY),
        _ => (Class::Permanent, UNKNOWN),
    };
    Fault {
        class,
        sentence,
        shows_claims: matches!(
            code,
            70021 | 70025 | 700_016 | 700_211 | 700_212 | 700_213 | 7_002_131 | 7_002_138
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, fault};

    #[test]
    fn classes() {
        let table: [(Class, bool, &[u32]); 7] = [
            (
                Class::Spreading,
                true,
                &[70021, 700_211, 700_213, 70025, 700_016],
            ),
            (Class::Settling, false, &[700_024, 700_027]),
            (Class::Permanent, true, &[700_212, 7_002_138, 7_002_131]),
            (
                Class::Permanent,
                false,
                &[
                    7_000_112, 70001, 7_002_381, 50013, 700_229, 700_025, 7_000_215, 7_000_218,
                    7_000_222, 70011, 700_022, 700_023, 901_002, 90014, 900_144, 90002, 90038,
                    900_382, 53003, 530_032, 50005, 50196, 0, 1,
                ],
            ),
            (
                Class::Resource,
                false,
                &[500_011, 50001, 650_052, 650_054, 650_057],
            ),
            (Class::Transient, false, &[90061]),
            (
                Class::Transient,
                false,
                &[90006, 90012, 90024, 90033, 90055, 90090],
            ),
        ];
        for (class, shows_claims, codes) in table {
            for code in codes {
                let fault = fault(*code);
                assert_eq!(
                    (fault.class, fault.shows_claims),
                    (class, shows_claims),
                    "{code}"
                );
                // Words that SDKs search error bodies for, to conclude that there is no IMDS here.
                for trap in ["unreachable", "Identity not found"] {
                    assert!(!fault.sentence.contains(trap), "{code}");
                }
            }
        }
    }
}

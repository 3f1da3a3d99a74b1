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

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::Permanent,
        Self::Resource,
        Self::Settling,
        Self::Spreading,
        Self::Transient,
        Self::Throttled,
    ];

    /// The class in a word; never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Resource => "resource",
            Self::Settling => "settling",
            Self::Spreading => "spreading",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
        }
    }
}

/// What is known of some codes.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The codes.
    pub codes: &'static [u32],
    /// How it is to be answered.
    pub class: Class,
    /// Whether issuer, subject and audience of the assertion help to find the cause.
    pub shows_claims: bool,
    /// Cause and remedy, whole sentences.
    pub sentence: &'static str,
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

/// Every code that is known (azure-protocols.md 2.3).
pub const FAULTS: &[Fault] = &[
    Fault {
        codes: &[70021, 700_211, 700_213],
        class: Class::Spreading,
        shows_claims: true,
        sentence: NO_MATCH,
    },
    Fault {
        codes: &[70025],
        class: Class::Spreading,
        shows_claims: true,
        sentence: "this client has no federated credential yet. Make one with exactly this issuer, subject and audience; \
            one made just now takes some seconds, at times minutes.",
    },
    Fault {
        codes: &[700_016],
        class: Class::Spreading,
        shows_claims: true,
        sentence: NO_APPLICATION,
    },
    Fault {
        codes: &[700_212],
        class: Class::Permanent,
        shows_claims: true,
        sentence: "the audience of the pod's token is not the one of the federated credential. Give both the same, usually \
            api://AzureADTokenExchange; a token for AKS identity bindings can't be sent to Entra itself.",
    },
    Fault {
        codes: &[7_002_138],
        class: Class::Permanent,
        shows_claims: true,
        sentence: "a federated credential matches the pod's token but for upper and lower case. Write its issuer and subject \
            with exactly this case.",
    },
    Fault {
        codes: &[7_002_131],
        class: Class::Permanent,
        shows_claims: true,
        sentence: "neither subject nor expression of any federated credential matches the pod's token. Correct one of them.",
    },
    Fault {
        codes: &[700_024],
        class: Class::Settling,
        shows_claims: false,
        sentence: "the pod's token is not valid at this time. Check the clocks of node and API server and that the token file is \
            being renewed.",
    },
    Fault {
        codes: &[700_027],
        class: Class::Settling,
        shows_claims: false,
        sentence: BAD_SIGNATURE,
    },
    Fault {
        codes: &[50013],
        class: Class::Permanent,
        shows_claims: false,
        sentence: BAD_SIGNATURE,
    },
    Fault {
        codes: &[500_011, 50001, 650_052, 650_054, 650_057],
        class: Class::Resource,
        shows_claims: false,
        sentence: NO_RESOURCE,
    },
    Fault {
        codes: &[70011, 700_022, 700_023, 901_002, 90014, 900_144],
        class: Class::Permanent,
        shows_claims: false,
        sentence: BAD_REQUEST,
    },
    Fault {
        codes: &[90002, 90038, 900_382],
        class: Class::Permanent,
        shows_claims: false,
        sentence: BAD_TENANT,
    },
    Fault {
        codes: &[53003, 530_032, 50005, 7_002_381],
        class: Class::Permanent,
        shows_claims: false,
        sentence: BLOCKED,
    },
    Fault {
        codes: &[700_025, 700_229, 7_000_215, 7_000_218, 7_000_222],
        class: Class::Permanent,
        shows_claims: false,
        sentence: NO_CREDENTIAL,
    },
    Fault {
        codes: &[70001, 7_000_112],
        class: Class::Permanent,
        shows_claims: false,
        sentence: DISABLED,
    },
    Fault {
        codes: &[50196],
        class: Class::Permanent,
        shows_claims: false,
        sentence: "Entra met the same request too often in a short time. Find out who asks in a loop.",
    },
    Fault {
        codes: &[90061],
        class: Class::Transient,
        shows_claims: false,
        sentence: "Entra could not read the issuer's discovery document. Check that the issuer answers from the Internet.",
    },
    Fault {
        codes: &[90006, 90012, 90024, 90033, 90055, 90090],
        class: Class::Transient,
        shows_claims: false,
        sentence: BUSY,
    },
];

/// Any other code. It counts as permanent, as waiting on an unknown error hides it.
const OTHER: &Fault = &Fault {
    codes: &[],
    class: Class::Permanent,
    shows_claims: false,
    sentence: UNKNOWN,
};

/// The fault behind an AADSTS code.
#[must_use]
pub fn fault(code: u32) -> &'static Fault {
    let mut faults = FAULTS.iter();
    faults
        .find(|fault| fault.codes.contains(&code))
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{FAULTS, OTHER};

    #[test]
    fn each_code_stands_once() {
        let mut seen = HashSet::new();
        for code in FAULTS.iter().flat_map(|fault| fault.codes) {
            assert!(seen.insert(code), "{code}");
        }
    }

    /// Words that SDKs search error bodies for, to conclude that there is no IMDS here.
    #[test]
    fn no_sentence_is_a_trap() {
        for fault in FAULTS.iter().chain([OTHER]) {
            for trap in ["unreachable", "Identity not found"] {
                assert!(!fault.sentence.contains(trap), "{:?}", fault.codes);
            }
        }
    }
}

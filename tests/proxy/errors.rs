//! Entra's errors as the SDKs get to see them: one row for each code that is known, and for each kind of answer without.

use std::collections::BTreeSet;

use identity_injector::azure::aadsts::FAULTS;

use crate::peers::{Answer, Peer};
use crate::running::{Running, assertion};

const CLAIMS: &str = r#"issuer "https://issuer.example/", subject "system:serviceaccount:ns:sa", audience "api://AzureADTokenExchange""#;

#[tokio::test]
async fn codes() {
    const BAD: (u16, &str, Option<&str>) = (400, "invalid_request", None);
    const RESOURCE: (u16, &str, Option<&str>) = (400, "invalid_resource", None);
    const PASSES: (u16, &str, Option<&str>) = (503, "temporarily_unavailable", Some("1"));
    // codes; status, error and Retry-After; the remedy; whether the claims are shown
    let table: [(&[u32], _, &str, bool); 19] = [
        (
            &[70021, 700_211, 700_213],
            BAD,
            "Make one with exactly this issuer, subject and audience",
            true,
        ),
        (
            &[70025],
            BAD,
            "has no federated credential yet. Make one",
            true,
        ),
        (
            &[700_016],
            BAD,
            "Check the client id (not the object id) and AZURE_TENANT_ID",
            true,
        ),
        (
            &[700_212],
            BAD,
            "Give both the same, usually api://AzureADTokenExchange",
            true,
        ),
        (
            &[7_002_138],
            BAD,
            "Write its issuer and subject with exactly this case",
            true,
        ),
        (
            &[7_002_131],
            BAD,
            "neither subject nor expression of any federated credential",
            true,
        ),
        (
            &[700_024],
            BAD,
            "Check the clocks of node and API server",
            false,
        ),
        (
            &[700_027, 50013],
            BAD,
            "key set has the cluster's current signing keys",
            false,
        ),
        (
            &[500_011, 50001, 650_052, 650_054, 650_057],
            RESOURCE,
            "does not know the resource asked for. Check its spelling",
            false,
        ),
        (
            &[70011, 700_022, 700_023, 901_002, 90014, 900_144],
            BAD,
            "Ask for one resource, by its URI or GUID",
            false,
        ),
        (
            &[90002, 90038, 900_382],
            BAD,
            "Check AZURE_TENANT_ID and that AZURE_AUTHORITY_HOST is the tenant's cloud",
            false,
        ),
        (
            &[53003, 530_032, 50005, 7_002_381],
            BAD,
            "Ask the tenant's administrator",
            false,
        ),
        (
            &[700_025, 700_229],
            BAD,
            "Use a managed identity or application with a federated credential",
            false,
        ),
        (
            &[7_000_215, 7_000_218, 7_000_222],
            BAD,
            "can't sign in by federated token",
            false,
        ),
        (&[70001, 7_000_112], BAD, "Enable it", false),
        (&[50196], BAD, "Find out who asks in a loop", false),
        (
            &[90061],
            PASSES,
            "Check that the issuer answers from the Internet",
            false,
        ),
        (
            &[90006, 90012, 90024, 90033, 90055, 90090],
            PASSES,
            "It passes",
            false,
        ),
        (&[99], BAD, "Its own words follow", false),
    ];
    let entra = Peer::start([]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    for (codes, (status, error, retry_after), remedy, claims) in table {
        for (code, entras) in codes.iter().flat_map(|code| [(*code, 400), (*code, 401)]) {
            entra.answers([Answer::denied(entras, code)]);
            let reply = proxy.token(&format!("{code}-{entras}")).await;
            assert_eq!(reply.status, status, "{code}: {}", reply.text);
            assert_eq!(reply.header("retry-after"), retry_after, "{code}");
            let body = reply.json();
            assert_eq!(body["error"], error, "{code}");
            assert_eq!(body["statusCode"], status, "{code}");
            assert_eq!(body["message"], body["error_description"], "{code}");
            assert_eq!(body["correlationId"], "id-of-entra", "{code}");
            let sentence = body["message"].as_str().unwrap();
            assert!(
                sentence.starts_with(&format!("AADSTS{code}: ")),
                "{sentence}"
            );
            for part in [remedy, "words of Entra"] {
                assert!(sentence.contains(part), "{part} is not in {sentence}");
            }
            assert_eq!(sentence.contains(CLAIMS), claims, "{sentence}");
            assert!(!reply.text.contains(&assertion("sa")), "{code}");
        }
    }
    let known: BTreeSet<u32> = FAULTS
        .iter()
        .flat_map(|fault| fault.codes)
        .copied()
        .collect();
    let mut rows: BTreeSet<u32> = table
        .iter()
        .flat_map(|(codes, ..)| *codes)
        .copied()
        .collect();
    rows.remove(&99);
    assert_eq!(
        rows, known,
        "a code has no row here, or is not known any more"
    );
}

#[tokio::test]
async fn answers_of_other_kinds() {
    const BAD: (u16, &str) = (400, "invalid_request");
    const PASSES: (u16, &str) = (503, "temporarily_unavailable");
    const THROTTLED: (u16, &str) = (429, "too_many_requests");
    let endless = format!(
        r#"{{"access_token":"{}","expires_in":60}}"#,
        "x".repeat(2 << 20)
    );
    let no_list = r#"{"error_codes":null,"error_description":"AADSTS700213: words"}"#;
    let text_in_list = r#"{"error_codes":["700212"]}"#;
    let oauth_only = r#"{"error":"temporarily_unavailable"}"#;
    let table = [
        (
            "throttled",
            Answer::denied(429, 90055).header("retry-after", "7"),
            THROTTLED,
            Some("7"),
            "AADSTS90055",
        ),
        (
            "throttled, no wait named",
            Answer::new(429, ""),
            THROTTLED,
            Some("5"),
            "429",
        ),
        (
            "a permanent code in an outage",
            Answer::denied(503, 700_016),
            PASSES,
            Some("1"),
            "AADSTS700016",
        ),
        ("down", Answer::new(500, ""), PASSES, Some("1"), "HTTP 500"),
        (
            "down for a known time",
            Answer::new(503, "<html>").header("retry-after", "3"),
            PASSES,
            Some("3"),
            "HTTP 503",
        ),
        (
            "a gateway",
            Answer::new(502, "<html>"),
            PASSES,
            Some("1"),
            "HTTP 502",
        ),
        (
            "a gateway out of patience",
            Answer::new(504, ""),
            PASSES,
            Some("1"),
            "HTTP 504",
        ),
        (
            "out of patience",
            Answer::new(408, ""),
            PASSES,
            Some("1"),
            "HTTP 408",
        ),
        (
            "a firewall",
            Answer::new(403, "<html>blocked"),
            BAD,
            None,
            "is AZURE_AUTHORITY_HOST right, does a firewall",
        ),
        (
            "another server",
            Answer::new(404, "no such page"),
            BAD,
            None,
            "HTTP 404",
        ),
        (
            "a redirect",
            Answer::new(302, "").header("location", "http://127.0.0.1:1/"),
            BAD,
            None,
            "HTTP 302",
        ),
        (
            "codes that are null",
            Answer::new(400, no_list),
            BAD,
            None,
            CLAIMS,
        ),
        (
            "codes as text",
            Answer::new(401, text_in_list),
            BAD,
            None,
            CLAIMS,
        ),
        (
            "unavailable without a code",
            Answer::new(400, oauth_only).header("retry-after", "9"),
            PASSES,
            Some("9"),
            "temporarily_unavailable",
        ),
        (
            "an empty token",
            Answer::token("", 3600),
            PASSES,
            Some("1"),
            "no token that can be read: is AZURE_AUTHORITY_HOST right",
        ),
        (
            "a dead token",
            Answer::token("t", 0),
            PASSES,
            Some("1"),
            "no token that can be read: is AZURE_AUTHORITY_HOST right",
        ),
        (
            "a reply without end",
            Answer::new(200, endless),
            PASSES,
            Some("1"),
            "no token that can be read: is AZURE_AUTHORITY_HOST right",
        ),
        (
            "no token in it",
            Answer::new(200, "{}"),
            PASSES,
            Some("1"),
            "no token that can be read: is AZURE_AUTHORITY_HOST right",
        ),
    ];
    let entra = Peer::start([]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    for (name, answer, (status, error), retry_after, part) in table {
        entra.answers([answer]);
        let reply = proxy.token(&name.replace(' ', "-")).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text);
        assert_eq!(reply.header("retry-after"), retry_after, "{name}");
        let body = reply.json();
        assert_eq!(body["error"], error, "{name}");
        let sentence = body["error_description"].as_str().unwrap();
        assert!(sentence.contains(part), "{name}: {sentence}");
        assert!(!reply.text.contains(&assertion("sa")), "{name}");
    }
}

//! Sign-in through our transport, against an Entra in process.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use identity_injector::azure::sign_in::{SignIn, credential, token};
use serde_json::{Value, json};
use uuid::Uuid;

/// Answers every call alike and keeps the last.
#[derive(Debug)]
struct Entra {
    status: u16,
    body: Value,
    last: Mutex<(String, String)>,
}

type Answered<'a> = Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'a>>;

impl HttpClient for Entra {
    fn execute_request<'a, 'b, 'c>(&'a self, request: &'b Request) -> Answered<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let Body::Bytes(body) = request.body() else {
            panic!("a stream to Entra");
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        *self.last.lock().unwrap() = (request.url().to_string(), body);
        let body = self.body.to_string();
        let reply = AsyncRawResponse::from_bytes(self.status.into(), Headers::new(), body);
        Box::pin(std::future::ready(Ok(reply)))
    }
}

#[tokio::test]
async fn by_token_file_and_by_secret() {
    let file = std::env::temp_dir().join(format!("sign-in-{}", std::process::id()));
    std::fs::write(&file, "the-assertion").unwrap();
    let good = json!({"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": "t0k"});
    let bad = json!({"error": "invalid_client", "error_codes": [700213],
        "error_description": "AADSTS700213: No matching federated identity record found.\r\nTrace ID: x"});
    // method, what the body must hold, Entra's status and body, and the token or the error's words
    let table = [
        (
            SignIn::WorkloadIdentity,
            "client_assertion=the-assertion",
            200,
            &good,
            Ok("t0k"),
        ),
        (
            SignIn::ClientSecret,
            "client_secret=s3cret",
            200,
            &good,
            Ok("t0k"),
        ),
        (
            SignIn::WorkloadIdentity,
            "client_assertion=the-assertion",
            401,
            &bad,
            Err("AADSTS700213: No matching federated identity record found. Trace ID: x"),
        ),
        (
            SignIn::ClientSecret,
            "client_secret=s3cret",
            401,
            &bad,
            Err("AADSTS700213"),
        ),
    ];
    for (sign_in, holds, status, body, expected) in table {
        let entra = Arc::new(Entra {
            status,
            body: body.clone(),
            last: Mutex::default(),
        });
        let method = sign_in.method(|name| match name {
            "AZURE_FEDERATED_TOKEN_FILE" => file.to_str().map(str::to_owned),
            "AZURE_CLIENT_SECRET" => Some("s3cret".to_owned()),
            "AZURE_TENANT_ID" => Some("the-tenant".to_owned()),
            "AZURE_CLIENT_ID" => Some("the-client".to_owned()),
            _ => None,
        });
        let authority = "https://login.test:8443/".parse().unwrap();
        let credential =
            credential(method.unwrap(), &authority, Uuid::nil(), entra.clone()).unwrap();
        let outcome = token(&*credential, "https://management.azure.com/.default").await;
        let (url, sent) = entra.last.lock().unwrap().clone();
        assert_eq!(url, "https://login.test:8443/the-tenant/oauth2/v2.0/token");
        assert!(
            sent.contains(holds) && sent.contains("client_id=the-client"),
            "{sent}"
        );
        assert!(
            sent.contains("scope=https%3A%2F%2Fmanagement.azure.com%2F.default"),
            "{sent}"
        );
        match (outcome, expected) {
            (Ok(token), Ok(expected)) => assert_eq!(token.token.secret(), expected),
            (Err(error), Err(part)) => {
                let said = error.to_string();
                assert!(said.contains(part) && !said.contains('\n'), "{said}");
                assert!(
                    !said.contains("s3cret") && !said.contains("the-assertion"),
                    "{said}"
                );
            }
            (outcome, expected) => panic!("{outcome:?} instead of {expected:?}"),
        }
    }
    std::fs::remove_file(&file).unwrap();
}

/// A log that can be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn says_that_an_entra_in_trouble_is_waited_for() {
    let entra = Arc::new(Entra {
        status: 500,
        body: json!({}),
        last: Mutex::default(),
    });
    let method = SignIn::ClientSecret.method(|_| Some("x".to_owned()));
    let authority = "https://login.test/".parse().unwrap();
    let credential = credential(method.unwrap(), &authority, Uuid::nil(), entra).unwrap();
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer({
        let log = log.clone();
        move || log.clone()
    });
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    assert!(token(&*credential, "scope").await.is_err());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("sign-in: https://login.test answered 500"),
        "{log}"
    );
}

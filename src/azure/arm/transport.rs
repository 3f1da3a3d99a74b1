//! Our HTTP client as the transport that azure_core speaks through; sign-in and ARM share it.

use std::pin::Pin;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};

use crate::reason::reason;

/// An [`HttpClient`] on reqwest.
#[derive(Clone, Debug)]
pub struct Transport(reqwest::Client);

type Reply<'a> = Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'a>>;

impl Transport {
    /// A transport on `client`.
    #[must_use]
    pub fn new(client: reqwest::Client) -> Self {
        Self(client)
    }

    /// A transport that ignores the environment's proxies: the machine's own token endpoint is never behind one.
    ///
    /// # Errors
    /// When the trust roots can't be loaded.
    pub fn direct() -> Result<Self, reqwest::Error> {
        reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map(Self)
    }

    async fn execute(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
            .map_err(|error| azure_core::Error::new(ErrorKind::Other, error))?;
        let mut builder = self.0.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            builder = builder.header(name.as_str(), value.as_str());
        }
        builder = match request.body() {
            Body::Bytes(bytes) => builder.body(bytes.clone()),
            Body::SeekableStream(stream) => {
                builder.body(reqwest::Body::wrap_stream(stream.clone()))
            }
        };
        let response = builder.send().await.map_err(|error| {
            let kind = if error.is_connect() {
                ErrorKind::Connection
            } else {
                ErrorKind::Io
            };
            failed(kind, error)
        })?;
        let status = response.status().as_u16().into();
        let headers = headers(response.headers());
        let body = response
            .bytes()
            .await
            .map_err(|error| failed(ErrorKind::Io, error))?;
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

// The trait is written with async_trait; this is the signature it stands for.
impl HttpClient for Transport {
    fn execute_request<'a, 'b, 'c>(&'a self, request: &'b Request) -> Reply<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.execute(request))
    }
}

fn headers(map: &reqwest::header::HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        if let Ok(value) = value.to_str() {
            headers.insert(
                HeaderName::from(name.as_str().to_owned()),
                HeaderValue::from(value.to_owned()),
            );
        }
    }
    headers
}

// reqwest says only "error sending request"; the cause a person needs is further down the chain.
fn failed(kind: ErrorKind, error: reqwest::Error) -> azure_core::Error {
    let reason = reason(&error);
    azure_core::Error::with_error(kind, error, reason)
}

//! The way to the node's own instance metadata service, for everything that is no identity.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use tracing::debug;

use crate::proxy::path;
use crate::reason::reason;

/// Marks what the proxy forwards, so that it knows its own request should the redirect bring it back.
const MARK: HeaderName = HeaderName::from_static("x-identity-injector-forwarded");

/// Headers of one connection, those that are meant for the proxy alone, and those that some servers take for the path or
/// method of the request line, which is all that was looked at.
const KEPT_BACK: [HeaderName; 17] = [
    CONNECTION,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("secret"),
    HeaderName::from_static("x-identity-header"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// The node's IMDS.
#[derive(Debug)]
pub struct Passthrough {
    http: reqwest::Client,
    /// Scheme and host, no slash at the end.
    address: String,
}

/// Why the node did not answer a request.
#[derive(Debug)]
pub enum Unanswered {
    /// It is a forwarded one that came back.
    Loop,
    /// It could not be reached, or was silent; why.
    NoAnswer(String),
}

impl Unanswered {
    /// Every value of [`Unanswered::as_str`].
    pub const WORDS: [&str; 2] = ["loop", "no_answer"];

    /// Why in a word; never changes.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::NoAnswer(_) => "no_answer",
        }
    }
}

impl Passthrough {
    /// A way to `address`, as in `http://169.254.169.254`. No proxy of the environment stands in this way, and
    /// redirects are the caller's to follow. Connecting may take 2 s, and a pause in the answer 10 s.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(address: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(2))
                .read_timeout(Duration::from_secs(10))
                .pool_max_idle_per_host(1)
                // IMDS speaks plain HTTP: no trust root needs to be loaded.
                .tls_certs_only([])
                .build()?,
            address: address.trim_end_matches('/').to_owned(),
        })
    }

    /// Hands `request` on and its answer back, both as they stream.
    ///
    /// # Errors
    /// When the node does not get it, or does not answer.
    pub async fn forward(&self, request: Request) -> Result<Response, Unanswered> {
        if request.headers().contains_key(MARK) {
            return Err(Unanswered::Loop);
        }
        let (parts, body) = request.into_parts();
        let path = path::collapsed(parts.uri.path());
        let query = parts.uri.query();
        let url = format!(
            "{}{path}{}{}",
            self.address,
            query.map_or("", |_| "?"),
            query.unwrap_or_default()
        );
        let mut headers = parts.headers;
        keep_back(&mut headers);
        headers.insert(MARK, HeaderValue::from_static("1"));
        let mut onward = self.http.request(parts.method, url).headers(headers);
        if !body.is_end_stream() {
            onward = onward.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        match onward.send().await {
            Ok(answer) => Ok(handed_back(answer)),
            Err(error) => {
                let reason = format!(
                    "the node's instance metadata service at {} did not answer: {}",
                    self.address,
                    reason(&error.without_url())
                );
                debug!(path, reason, "passthrough failed");
                Err(Unanswered::NoAnswer(reason))
            }
        }
    }
}

fn handed_back(answer: reqwest::Response) -> Response {
    let status = answer.status();
    let mut headers = answer.headers().clone();
    keep_back(&mut headers);
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Takes out what must not be handed on, and what `Connection` names beside.
fn keep_back(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&KEPT_BACK) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::keep_back;

    #[test]
    fn headers_of_the_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("metadata", "true"),
            ("connection", "keep-alive, X-Private"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("host", "localhost:8000"),
            ("x-identity-header", "secret"),
            ("secret", "secret"),
            ("content-length", "3"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        keep_back(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "metadata"]);
    }
}

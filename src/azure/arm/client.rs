//! The one client of ARM.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{HttpClient, Method, RawResponse, Request as HttpRequest};
use azure_core::time::OffsetDateTime;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use url::Url;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use super::answer::{Answer, Deleted, ErrorDetail, Page};
use super::error::{ArmError, Failure, FailureKind};
use super::request::Request;
use crate::azure::address::Address;
use crate::azure::sign_in;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const RETRY_AFTER: HeaderName = HeaderName::from_static("retry-after");
const LOCATION: HeaderName = HeaderName::from_static("location");
/// How long until a deletion is asked about again, unless Azure says.
const POLL_PAUSE: Duration = Duration::from_secs(10);
/// The longest that Azure may say.
const LONGEST_POLL_PAUSE: Duration = Duration::from_secs(60);
/// How long a deletion may take.
const LONGEST_DELETION: Duration = Duration::from_secs(1800);
/// How many pages a list may have.
const PAGES: usize = 100;
/// A token nearer to its end than this is replaced before it is used.
const TOKEN_MARGIN: Duration = Duration::from_secs(300);

/// Sends requests to ARM, signed in.
#[derive(Debug)]
pub struct Client {
    endpoint: Address,
    credential: Arc<dyn TokenCredential>,
    scope: String,
    transport: Arc<dyn HttpClient>,
    // Kept here because the az CLI's credential keeps none: each token costs a second there.
    token: Mutex<Option<AccessToken>>,
}

impl Client {
    /// A client of the ARM at `endpoint`, with tokens of `credential` for `audience` (no slash at the end).
    #[must_use]
    pub fn new(
        endpoint: Address,
        audience: &str,
        credential: Arc<dyn TokenCredential>,
        transport: Arc<dyn HttpClient>,
    ) -> Self {
        Self {
            endpoint,
            credential,
            scope: format!("{audience}/.default"),
            transport,
            token: Mutex::new(None),
        }
    }

    /// Sends one request, once.
    ///
    /// # Errors
    /// When there is no token, no answer, a refusal, or an answer that does not read as `T`.
    pub async fn send<T: DeserializeOwned>(
        &self,
        request: &Request<T>,
    ) -> Result<Answer<T>, ArmError> {
        let mut http = HttpRequest::new(self.url(request), request.method);
        if let Some(body) = &request.body {
            http.insert_header("content-type", "application/json");
            http.set_body(body.to_string());
        }
        self.exchange(request.to_string(), http).await
    }

    /// Reads a resource; one that is not there is `None`.
    ///
    /// # Errors
    /// As [`Client::send`], but for an absent resource.
    pub async fn find<T: DeserializeOwned>(
        &self,
        request: &Request<T>,
    ) -> Result<Option<T>, ArmError> {
        match self.send(request).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(error) if error.kind() == Some(FailureKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a list, page after page, as long as the pages are on ARM's own host.
    ///
    /// # Errors
    /// As [`Client::send`], when a page is elsewhere, and when they do not end.
    pub async fn list<T: DeserializeOwned>(
        &self,
        request: &Request<Page<T>>,
    ) -> Result<Vec<T>, ArmError> {
        let mut page = self.send(request).await?.value;
        let mut items = page.value;
        let mut pages = 1;
        while let Some(next) = page.next_link.filter(|next| !next.is_empty()) {
            if pages == PAGES {
                let operation = request.to_string();
                return Err(ArmError::EndlessList { operation, pages });
            }
            pages += 1;
            let url = self.page_url(&next).ok_or_else(|| ArmError::ForeignPage {
                operation: request.to_string(),
                next_link: next,
            })?;
            let http = HttpRequest::new(url, Method::Get);
            page = self.exchange(request.to_string(), http).await?.value;
            items.append(&mut page.value);
        }
        Ok(items)
    }

    /// Deletes a resource and waits until it is gone; one that is not there is gone. Gives the call's correlation id.
    ///
    /// # Errors
    /// As [`Client::send`], and when it takes longer than half an hour.
    pub async fn delete(&self, request: &Request<Deleted>) -> Result<String, ArmError> {
        let operation = request.to_string();
        let mut url = self.url(request);
        let mut method = request.method;
        let mut first = None;
        let start = Instant::now();
        loop {
            let http = HttpRequest::new(url.clone(), method);
            let (response, own) = self.raw(&operation, http).await?;
            let id = correlation_id(response.headers(), own);
            let id = first.get_or_insert(id).clone();
            match u16::from(response.status()) {
                200 | 204 => return Ok(id),
                202 => {}
                _ => {
                    let failure = failure(operation, &response, id.clone());
                    return match failure.kind {
                        FailureKind::NotFound => Ok(id),
                        _ => Err(ArmError::Refused(Box::new(failure))),
                    };
                }
            }
            let unfinished = |operation: String, response: &RawResponse| {
                let failure = failure(operation, response, id.clone());
                ArmError::Refused(Box::new(failure))
            };
            match response.headers().get_optional_string(&LOCATION) {
                Some(location) => {
                    url = self
                        .page_url(&location)
                        .ok_or_else(|| ArmError::ForeignPage {
                            operation: operation.clone(),
                            next_link: location,
                        })?;
                }
                None if method == Method::Get => {}
                None => return Err(unfinished(operation, &response)),
            }
            method = Method::Get;
            let pause = retry_after(response.headers()).unwrap_or(POLL_PAUSE);
            let pause = pause.clamp(Duration::from_secs(1), LONGEST_POLL_PAUSE);
            if start.elapsed() + pause > LONGEST_DELETION {
                return Err(unfinished(operation, &response));
            }
            sleep(pause).await;
        }
    }

    fn url<T>(&self, request: &Request<T>) -> Url {
        let mut url = self.endpoint.url().clone();
        // Only a URL that can't have a path (mailto:) refuses; an endpoint has a host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&request.path);
        }
        let mut query = format!("api-version={}", request.api_version);
        if let Some(filter) = &request.filter {
            // Spaces as %20: not every provider reads a plus.
            let filter: String = byte_serialize(filter.as_bytes()).collect();
            query = format!("$filter={}&{query}", filter.replace('+', "%20"));
        }
        url.set_query(Some(&query));
        url
    }

    fn page_url(&self, next_link: &str) -> Option<Url> {
        let url = Url::parse(next_link).ok()?;
        (url.origin() == self.endpoint.url().origin()).then_some(url)
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        operation: String,
        http: HttpRequest,
    ) -> Result<Answer<T>, ArmError> {
        let (response, client_request_id) = self.raw(&operation, http).await?;
        read(operation, &response, client_request_id)
    }

    /// The answer whatever its status, and our own id of the call.
    async fn raw(
        &self,
        operation: &str,
        mut http: HttpRequest,
    ) -> Result<(RawResponse, String), ArmError> {
        let token = self.token().await?;
        let client_request_id = Uuid::new_v4().to_string();
        http.insert_header("authorization", format!("Bearer {}", token.secret()));
        http.insert_header("accept", "application/json");
        http.insert_header("x-ms-client-request-id", client_request_id.clone());
        let no_answer = |error: azure_core::Error| ArmError::NoAnswer {
            operation: operation.to_owned(),
            reason: error.to_string(),
        };
        let response = self
            .transport
            .execute_request(&http)
            .await
            .map_err(no_answer)?
            .try_into_raw_response()
            .await
            .map_err(no_answer)?;
        Ok((response, client_request_id))
    }

    async fn token(&self) -> Result<Secret, ArmError> {
        let mut kept = self.token.lock().await;
        if let Some(token) = &*kept
            && token.expires_on > OffsetDateTime::now_utc() + TOKEN_MARGIN
        {
            return Ok(token.token.clone());
        }
        let token = sign_in::token(&*self.credential, &self.scope).await?;
        Ok(kept.insert(token).token.clone())
    }
}

fn read<T: DeserializeOwned>(
    operation: String,
    response: &RawResponse,
    client_request_id: String,
) -> Result<Answer<T>, ArmError> {
    let correlation_id = correlation_id(response.headers(), client_request_id);
    if !matches!(u16::from(response.status()), 200 | 201) {
        let failure = failure(operation, response, correlation_id);
        return Err(ArmError::Refused(Box::new(failure)));
    }
    match serde_json::from_slice(response.body()) {
        Ok(value) => Ok(Answer {
            value,
            correlation_id,
        }),
        Err(error) => Err(ArmError::Unreadable {
            operation,
            reason: error.to_string(),
            correlation_id,
        }),
    }
}

fn correlation_id(headers: &Headers, own: String) -> String {
    [CORRELATION_ID, REQUEST_ID]
        .iter()
        .find_map(|name| headers.get_optional_string(name))
        .unwrap_or(own)
}

fn failure(operation: String, response: &RawResponse, correlation_id: String) -> Failure {
    let status = u16::from(response.status());
    let detail = ErrorDetail::read(response.body());
    let wait = retry_after(response.headers());
    Failure::new(operation, status, detail, correlation_id, wait)
}

// Resource providers send whole seconds, never a date.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let seconds = headers
        .get_optional_str(&RETRY_AFTER)?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

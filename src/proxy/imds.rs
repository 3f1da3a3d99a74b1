//! What a request asks for: IMDS and App Service read into one answer, without I/O.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use crate::azure::token::Wanted;
use crate::proxy::path::{self, Place};
use crate::proxy::refusal::Refusal;
use crate::proxy::resource_ids::ResourceIds;

/// How long a client id may be, in bytes; a GUID has 36.
const LONGEST_CLIENT_ID: usize = 128;
/// How long a resource may be, in bytes. Each is kept and logged.
const LONGEST_RESOURCE: usize = 2048;

/// Whom the proxy serves.
#[derive(Debug)]
pub struct Rules {
    /// Tenant of every identity.
    pub tenant_id: Arc<str>,
    /// The identity of requests that name none.
    pub client_id: Option<Arc<str>>,
    /// Values a secret header may have.
    pub identity_headers: Vec<SecretString>,
    /// Identities named otherwise than by client id.
    pub resource_ids: ResourceIds,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// To the token exchange.
    Token(TokenRequest),
    /// Answered with the tenant.
    Info,
    /// Answered with the proxy's readiness.
    Ready,
    /// To the node's IMDS, if that is allowed.
    Passthrough,
    /// Nowhere.
    Refuse(Refusal),
}

/// A request for a token.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The token.
    pub wanted: Wanted,
    /// Whether it must be new.
    pub bypass_cache: bool,
    /// How it was asked for.
    pub protocol: Protocol,
}

/// The ways to ask for a token, by the header that admits the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `Metadata: true`.
    Imds,
    /// `X-IDENTITY-HEADER`, App Service 2019-08-01.
    AppService,
    /// `secret`, App Service 2017-09-01.
    AppService2017,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Imds, Self::AppService, Self::AppService2017];

    /// The protocol in a word; never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imds => "imds",
            Self::AppService => "app_service",
            Self::AppService2017 => "app_service_2017",
        }
    }
}

/// The parameters of a token request, each as it stands in the query.
#[derive(Default)]
struct Parameters<'a> {
    resource: Option<Cow<'a, str>>,
    identity: Option<(Selector, Cow<'a, str>)>,
    bypass_cache: bool,
}

/// A way to name an identity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Selector {
    /// By client id.
    ClientId(&'static str),
    /// By an id that the map resolves.
    Mapped(&'static str),
}

/// Where a request goes.
#[must_use]
pub fn route(method: &Method, uri: &Uri, headers: &HeaderMap, rules: &Rules) -> Route {
    let routed = match path::place(uri.path()) {
        Place::Odd => Err(Refusal::OddPath),
        // Before any look at headers: MSAL probes these without, and takes a 400 for a yes.
        Place::Identity => Err(Refusal::NotServed),
        Place::Ready if method == Method::GET => Ok(Route::Ready),
        Place::Ready => Err(Refusal::Method),
        Place::Elsewhere if headers.contains_key("x-forwarded-for") => Err(Refusal::Forwarded),
        Place::Elsewhere => Ok(Route::Passthrough),
        Place::Info => admit(method, headers, rules).map(|_| Route::Info),
        Place::Token => admit(method, headers, rules)
            .and_then(|protocol| token_request(uri.query().unwrap_or_default(), protocol, rules))
            .map(Route::Token),
    };
    routed.unwrap_or_else(Route::Refuse)
}

/// The guards against requests that an application was tricked into.
fn admit(method: &Method, headers: &HeaderMap, rules: &Rules) -> Result<Protocol, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if headers.contains_key("x-forwarded-for") {
        return Err(Refusal::Forwarded);
    }
    // SDKs send Metadata beside the secret, which doesn't heal a wrong one.
    let secret = [
        ("x-identity-header", Protocol::AppService),
        ("secret", Protocol::AppService2017),
    ];
    let secret = secret
        .into_iter()
        .find_map(|(name, protocol)| Some((headers.get(name)?, protocol)));
    if let Some((secret, protocol)) = secret {
        return if accepted(secret.as_bytes(), &rules.identity_headers) {
            Ok(protocol)
        } else {
            Err(Refusal::WrongHeader)
        };
    }
    match headers.get("metadata") {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"true") => Ok(Protocol::Imds),
        _ => Err(Refusal::NoHeader),
    }
}

/// Whether `given` is one of `values`, in a time that tells at most their lengths.
fn accepted(given: &[u8], values: &[SecretString]) -> bool {
    values.iter().fold(false, |found, value| {
        let value = value.expose_secret().as_bytes();
        let difference = value
            .iter()
            .zip(given)
            .fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
        found | (value.len() == given.len() && difference == 0)
    })
}

fn token_request(query: &str, protocol: Protocol, rules: &Rules) -> Result<TokenRequest, Refusal> {
    let parameters = parameters(query)?;
    let client_id = match parameters.identity {
        None => rules.client_id.clone().ok_or(Refusal::NoClientId)?,
        Some((Selector::ClientId(_), value)) => Arc::from(value.as_ref()),
        Some((Selector::Mapped(parameter), value)) => rules
            .resource_ids
            .client_id(&value)
            .ok_or_else(|| Refusal::UnknownIdentity {
                parameter,
                value: value.into_owned(),
            })?,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if client_id.len() > LONGEST_CLIENT_ID || !client_id.bytes().all(plain) {
        return Err(Refusal::ClientId);
    }
    let resource = parameters.resource.ok_or(Refusal::NoResource)?.into_owned();
    if resource.len() > LONGEST_RESOURCE {
        return Err(Refusal::LongResource);
    }
    Ok(TokenRequest {
        wanted: Wanted {
            tenant_id: Arc::clone(&rules.tenant_id),
            client_id,
            resource,
        },
        bypass_cache: parameters.bypass_cache,
        protocol,
    })
}

/// Empty parameters count as absent, but for the ids that the map resolves: an unset variable in one of those must not
/// become the default identity. Names have no case, so that a misspelt selector is not passed over.
fn parameters(query: &str) -> Result<Parameters<'_>, Refusal> {
    let mut found = Parameters::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = name.to_ascii_lowercase();
        let selector = selector(&name);
        if value.is_empty() {
            match selector {
                Some(Selector::Mapped(name)) => return Err(Refusal::EmptyId(name)),
                _ => continue,
            }
        }
        if let Some(selector) = selector {
            found.name_identity(selector, value)?;
            continue;
        }
        match name.as_str() {
            "resource" if found.resource.is_some() => return Err(Refusal::Twice("resource")),
            "resource" => found.resource = Some(value),
            "api-version" if !version(&value) => {
                return Err(Refusal::ApiVersion(value.into_owned()));
            }
            "bypass_cache" => found.bypass_cache |= value.eq_ignore_ascii_case("true"),
            // The caller was refused the token it had: another one is wanted.
            "token_sha256_to_refresh" | "claims" => found.bypass_cache = true,
            _ => {}
        }
    }
    Ok(found)
}

fn selector(name: &str) -> Option<Selector> {
    Some(match name {
        "client_id" => Selector::ClientId("client_id"),
        "clientid" => Selector::ClientId("clientid"),
        "object_id" => Selector::Mapped("object_id"),
        "principal_id" => Selector::Mapped("principal_id"),
        "mi_res_id" => Selector::Mapped("mi_res_id"),
        "msi_res_id" => Selector::Mapped("msi_res_id"),
        "msi-res-id" => Selector::Mapped("msi-res-id"),
        _ => return None,
    })
}

/// Any date, a suffix allowed: 2018-02-01, 2019-07-01-preview.
fn version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    date.len() == 10
        && date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

impl<'a> Parameters<'a> {
    fn name_identity(&mut self, selector: Selector, value: Cow<'a, str>) -> Result<(), Refusal> {
        match &self.identity {
            None => self.identity = Some((selector, value)),
            Some((before, _)) if *before == selector => {
                return Err(Refusal::Twice(selector.name()));
            }
            Some((before, _)) => {
                return Err(Refusal::SeveralIdentities(before.name(), selector.name()));
            }
        }
        Ok(())
    }
}

impl Selector {
    fn name(self) -> &'static str {
        match self {
            Self::ClientId(name) | Self::Mapped(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

    use super::{Protocol, Route, Rules, TokenRequest, route};
    use crate::azure::token::Wanted;
    use crate::proxy::refusal::Refusal;

    const TOKEN: &str = "/metadata/identity/oauth2/token";
    type Headers<'a> = &'a [(&'a str, &'a str)];

    const METADATA: Headers<'static> = &[("metadata", "true")];

    fn rules(client_id: Option<&str>) -> Rules {
        Rules {
            tenant_id: Arc::from("tenant"),
            client_id: client_id.map(Arc::from),
            identity_headers: ["pod-uid", "true"].map(Into::into).into(),
            resource_ids: r#"{"/subscriptions/s/x":"by-resource","object":"by-object"}"#
                .parse()
                .unwrap(),
        }
    }

    fn routed(
        method: &Method,
        target: &str,
        headers: Headers<'_>,
        client_id: Option<&str>,
    ) -> Route {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect();
        route(
            method,
            &target.parse::<Uri>().unwrap(),
            &headers,
            &rules(client_id),
        )
    }

    fn token(client_id: &str, resource: &str, bypass_cache: bool) -> Route {
        Route::Token(TokenRequest {
            wanted: Wanted {
                tenant_id: Arc::from("tenant"),
                client_id: Arc::from(client_id),
                resource: resource.to_owned(),
            },
            bypass_cache,
            protocol: Protocol::Imds,
        })
    }

    #[test]
    fn headers() {
        let served = |protocol| {
            Route::Token(TokenRequest {
                wanted: Wanted {
                    tenant_id: Arc::from("tenant"),
                    client_id: Arc::from("default"),
                    resource: "r".to_owned(),
                },
                bypass_cache: false,
                protocol,
            })
        };
        let table: [(&str, Headers<'_>, Route); 14] = [
            ("IMDS", METADATA, served(Protocol::Imds)),
            (
                "IMDS, other case",
                &[("Metadata", "True")],
                served(Protocol::Imds),
            ),
            (
                "2019-08-01",
                &[("X-IDENTITY-HEADER", "pod-uid")],
                served(Protocol::AppService),
            ),
            (
                "2019-08-01, the app's own value",
                &[("x-identity-header", "true")],
                served(Protocol::AppService),
            ),
            (
                "2017-09-01",
                &[("secret", "pod-uid")],
                served(Protocol::AppService2017),
            ),
            (
                "both, as Python sends",
                &[("x-identity-header", "true"), ("metadata", "true")],
                served(Protocol::AppService),
            ),
            ("none", &[], Route::Refuse(Refusal::NoHeader)),
            (
                "Metadata: false",
                &[("metadata", "false")],
                Route::Refuse(Refusal::NoHeader),
            ),
            (
                "wrong value",
                &[("x-identity-header", "pod-uic")],
                Route::Refuse(Refusal::WrongHeader),
            ),
            (
                "start of a value",
                &[("x-identity-header", "pod")],
                Route::Refuse(Refusal::WrongHeader),
            ),
            (
                "empty value",
                &[("x-identity-header", "")],
                Route::Refuse(Refusal::WrongHeader),
            ),
            (
                "wrong secret",
                &[("secret", "x")],
                Route::Refuse(Refusal::WrongHeader),
            ),
            (
                "wrong value beside Metadata",
                &[("metadata", "true"), ("x-identity-header", "x")],
                Route::Refuse(Refusal::WrongHeader),
            ),
            (
                "forwarded",
                &[("metadata", "true"), ("x-forwarded-for", "10.0.0.1")],
                Route::Refuse(Refusal::Forwarded),
            ),
        ];
        for (name, headers, expected) in table {
            let target = format!("{TOKEN}?resource=r");
            assert_eq!(
                routed(&Method::GET, &target, headers, Some("default")),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn places_and_methods() {
        let forwarded = &[("x-forwarded-for", "10.0.0.1")];
        let table: [(Method, &str, Headers<'_>, Route); 14] = [
            (
                Method::POST,
                TOKEN,
                METADATA,
                Route::Refuse(Refusal::Method),
            ),
            (
                Method::HEAD,
                TOKEN,
                METADATA,
                Route::Refuse(Refusal::Method),
            ),
            (
                Method::GET,
                "/metadata/identity/info",
                METADATA,
                Route::Info,
            ),
            (
                Method::GET,
                "/metadata/identity/info",
                &[],
                Route::Refuse(Refusal::NoHeader),
            ),
            (
                Method::GET,
                "/metadata/identity/getplatformmetadata?cred-api-version=2.0",
                &[],
                Route::Refuse(Refusal::NotServed),
            ),
            (
                Method::POST,
                "/metadata/identity/IssueCredential",
                METADATA,
                Route::Refuse(Refusal::NotServed),
            ),
            (
                Method::POST,
                "/metadata/identity/credential?cred-api-version=1.0",
                forwarded,
                Route::Refuse(Refusal::NotServed),
            ),
            (
                Method::GET,
                "/metadata/identity%2foauth2/token?resource=r",
                METADATA,
                Route::Refuse(Refusal::OddPath),
            ),
            (
                Method::GET,
                "/metadata/instance?api-version=2021-02-01",
                METADATA,
                Route::Passthrough,
            ),
            (Method::GET, "/metadata/instance", &[], Route::Passthrough),
            (
                Method::GET,
                "/metadata/instance",
                forwarded,
                Route::Refuse(Refusal::Forwarded),
            ),
            (Method::GET, "/readyz", &[], Route::Ready),
            (Method::PUT, "/readyz", &[], Route::Refuse(Refusal::Method)),
            (
                Method::GET,
                "http://169.254.169.254/metadata/identity/info",
                METADATA,
                Route::Info,
            ),
        ];
        for (method, target, headers, expected) in table {
            assert_eq!(
                routed(&method, target, headers, None),
                expected,
                "{method} {target}"
            );
        }
    }

    #[test]
    fn queries() {
        let unknown = |parameter, value: &str| {
            Route::Refuse(Refusal::UnknownIdentity {
                parameter,
                value: value.to_owned(),
            })
        };
        let refuse = Route::Refuse;
        let table = [
            (
                "resource=https://vault.azure.net",
                token("default", "https://vault.azure.net", false),
            ),
            (
                "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F",
                token("default", "https://management.azure.com/", false),
            ),
            ("resource=r&client_id=c", token("c", "r", false)),
            ("resource=r&CLIENT_ID=c", token("c", "r", false)),
            (
                "resource=r&clientid=c&api-version=2017-09-01",
                token("c", "r", false),
            ),
            ("resource=r&client_id=", token("default", "r", false)),
            (
                "resource=r&object_id=OBJECT",
                token("by-object", "r", false),
            ),
            (
                "resource=r&principal_id=object",
                token("by-object", "r", false),
            ),
            (
                "resource=r&mi_res_id=/Subscriptions/S/X",
                token("by-resource", "r", false),
            ),
            (
                "resource=r&msi_res_id=%2Fsubscriptions%2Fs%2Fx",
                token("by-resource", "r", false),
            ),
            (
                "resource=r&msi-res-id=/subscriptions/s/x",
                token("by-resource", "r", false),
            ),
            ("resource=r&bypass_cache=true", token("default", "r", true)),
            (
                "resource=r&bypass_cache=false",
                token("default", "r", false),
            ),
            (
                "resource=r&token_sha256_to_refresh=00&xms_cc=cp1",
                token("default", "r", true),
            ),
            (
                "resource=r&mi_res_id=",
                refuse(Refusal::EmptyId("mi_res_id")),
            ),
            (
                "resource=r&object_id=&client_id=c",
                refuse(Refusal::EmptyId("object_id")),
            ),
            ("resource=r&client_id=a%0ab", refuse(Refusal::ClientId)),
            ("resource=r&client_id=a/../b", refuse(Refusal::ClientId)),
            ("resource=r&object_id=other", unknown("object_id", "other")),
            (
                "resource=r&mi_res_id=/other",
                unknown("mi_res_id", "/other"),
            ),
            (
                "resource=r&client_id=c&object_id=object",
                refuse(Refusal::SeveralIdentities("client_id", "object_id")),
            ),
            (
                "resource=r&mi_res_id=/subscriptions/s/x&msi_res_id=/subscriptions/s/x",
                refuse(Refusal::SeveralIdentities("mi_res_id", "msi_res_id")),
            ),
            (
                "resource=r&client_id=c&client_id=d",
                refuse(Refusal::Twice("client_id")),
            ),
            ("resource=r&resource=s", refuse(Refusal::Twice("resource"))),
            ("", refuse(Refusal::NoResource)),
            ("resource=", refuse(Refusal::NoResource)),
            (
                "resource=r&api-version=2019-07-01-preview",
                token("default", "r", false),
            ),
            (
                "resource=r&api-version=latest",
                refuse(Refusal::ApiVersion("latest".to_owned())),
            ),
        ];
        for (query, expected) in table {
            let target = format!("{TOKEN}?{query}");
            assert_eq!(
                routed(&Method::GET, &target, METADATA, Some("default")),
                expected,
                "{query}"
            );
        }
        let limits = [
            ("client_id", 128, Refusal::ClientId),
            ("resource", 2048, Refusal::LongResource),
        ];
        for (parameter, limit, refusal) in limits {
            let rest = if parameter == "resource" {
                ""
            } else {
                "&resource=r"
            };
            let asked = |length: usize| {
                let target = format!("{TOKEN}?{parameter}={}{rest}", "a".repeat(length));
                routed(&Method::GET, &target, METADATA, Some("default"))
            };
            assert!(matches!(asked(limit), Route::Token(_)), "{parameter}");
            assert_eq!(asked(limit + 1), Route::Refuse(refusal), "{parameter}");
        }
        // The reference checks the identity first.
        assert_eq!(
            routed(&Method::GET, TOKEN, METADATA, None),
            refuse(Refusal::NoClientId)
        );
        let named = format!("{TOKEN}?resource=r&client_id=c");
        assert_eq!(
            routed(&Method::GET, &named, METADATA, None),
            token("c", "r", false)
        );
    }

    #[test]
    fn without_configured_values_no_secret_is_right() {
        let mut rules = rules(Some("default"));
        rules.identity_headers.clear();
        let headers: HeaderMap = [(
            HeaderName::from_static("x-identity-header"),
            HeaderValue::from_static(""),
        )]
        .into_iter()
        .collect();
        let uri = Uri::from_static("/metadata/identity/oauth2/token?resource=r");
        assert_eq!(
            route(&Method::GET, &uri, &headers, &rules),
            Route::Refuse(Refusal::WrongHeader)
        );
    }
}

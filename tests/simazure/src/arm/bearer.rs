//! Who asks: the bearer token, proven to be this simulation's and meant for the service asked.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::error::Refusal;
use crate::azure::Azure;
use crate::jwt::Jwt;
use crate::principal;

/// Audiences whose tokens Resource Manager takes, with or without slashes at the end.
pub(crate) const AUDIENCES: [&str; 2] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
];

/// The caller of a request.
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) object_id: String,
}

impl Caller {
    /// Reads the `Authorization` header of a request for one of these audiences.
    pub(crate) fn of(
        azure: &Azure,
        headers: &HeaderMap,
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let invalid = |why: &str| Refusal::InvalidToken(why.to_owned());
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| invalid("the 'Authorization' header with a bearer token is missing"))?;
        let token = Jwt::parse(token).map_err(|error| invalid(&error.to_string()))?;
        token
            .verify(&azure.key.jwks())
            .map_err(|error| invalid(&error.to_string()))?;
        if token.text("iss") != principal::issuer(&azure.origin) {
            return Err(invalid("wrong issuer"));
        }
        if !token
            .audiences()
            .iter()
            .any(|audience| audiences.contains(&audience.trim_end_matches('/')))
        {
            return Err(invalid(&format!(
                "its audience is '{}', not {}",
                token.text("aud"),
                audiences.join(" or ")
            )));
        }
        if token
            .seconds("exp")
            .is_none_or(|until| until <= now.as_second())
        {
            return Err(Refusal::ExpiredToken);
        }
        Ok(Self {
            client_id: token.text("appid").to_owned(),
            object_id: token.text("oid").to_owned(),
        })
    }
}

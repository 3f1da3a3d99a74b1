//! JSON Web Tokens, RS256 only: made, taken apart, verified.
//!
//! Entra takes nothing else from a federated issuer, and signs its own tokens so.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use getrandom::SysRng;
use rsa::sha2::{Digest, Sha256};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PrivateKey, PublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Why a token can't be read, made or trusted. No variant carries the token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not three dot-separated base64url parts with JSON objects in the first two.
    #[error("a JWT is three base64url parts, the first two of them JSON objects")]
    Malformed,
    /// The header names another algorithm, or none.
    #[error("algorithm {0:?} is not RS256")]
    Algorithm(String),
    /// No RSA signing key of the set has the header's key id.
    #[error("no RSA signing key with id {0:?}")]
    UnknownKey(String),
    /// The signature is not the key's.
    #[error("the signature does not verify with key {0:?}")]
    Signature(String),
    /// The key pair could not be made or used.
    #[error("RSA: {0}")]
    Rsa(#[from] rsa::Error),
}

/// An RSA key pair, and the id its public half is published under.
pub struct SigningKey {
    private: PrivateKey,
    kid: String,
}

impl SigningKey {
    /// Makes a fresh pair of 2048 bits, as Entra's and a cluster's are.
    ///
    /// # Errors
    /// [`Error::Rsa`] when the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        let private = PrivateKey::new(&mut SysRng, 2048)?;
        let kid = BASE64.encode(Sha256::digest(private.n_bytes()));
        Ok(Self { private, kid })
    }

    /// The key set to publish: the public half alone.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        Jwks {
            keys: vec![Jwk {
                kty: "RSA".to_owned(),
                key_use: Some("sig".to_owned()),
                alg: Some("RS256".to_owned()),
                kid: Some(self.kid.clone()),
                n: Some(BASE64.encode(self.private.n_bytes())),
                e: Some(BASE64.encode(self.private.e_bytes())),
            }],
        }
    }

    /// Signs claims, a JSON object, into a compact token.
    ///
    /// # Errors
    /// [`Error::Rsa`] when the key can't sign.
    pub fn sign(&self, claims: &Value) -> Result<String, Error> {
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": self.kid});
        let message = format!(
            "{}.{}",
            BASE64.encode(header.to_string()),
            BASE64.encode(claims.to_string())
        );
        let signature = self.private.pkcs1v15_sign::<Sha256>(message.as_bytes())?;
        Ok(format!("{message}.{}", BASE64.encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A JSON Web Key Set (RFC 7517), as an issuer publishes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Jwks {
    /// The keys, of any kind.
    pub keys: Vec<Jwk>,
}

/// One key of a set. Only RSA keys have `n` and `e`; the others are skipped, not refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Jwk {
    /// Kind of key, `RSA` for the ones used here.
    pub kty: String,
    /// `sig` or `enc`.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub key_use: Option<String>,
    /// Algorithm the key is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// Key id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Modulus, big-endian, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent, big-endian, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

impl Jwks {
    /// Whether a key has this id.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    fn rsa_key(&self, kid: &str) -> Option<PublicKey> {
        self.keys
            .iter()
            .filter(|key| key.kid.as_deref() == Some(kid) && key.kty == "RSA")
            .filter(|key| {
                key.key_use
                    .as_deref()
                    .is_none_or(|key_use| key_use == "sig")
            })
            .find_map(|key| {
                let number = |text: &Option<String>| {
                    let bytes = BASE64.decode(text.as_deref()?).ok()?;
                    Some(BoxedUint::from_be_slice_vartime(&bytes))
                };
                PublicKey::new(number(&key.n)?, number(&key.e)?).ok()
            })
    }
}

/// A token taken apart, not yet trusted.
pub struct Jwt {
    algorithm: String,
    /// Key id of the header, empty when it has none.
    pub kid: String,
    claims: Value,
    message: String,
    signature: Vec<u8>,
}

impl Jwt {
    /// Takes a compact token apart.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(token: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = token.split('.').collect();
        let &[header, claims, signature] = parts.as_slice() else {
            return Err(Error::Malformed);
        };
        let bytes = |part: &str| BASE64.decode(part).map_err(|_| Error::Malformed);
        let object = |part: &str| match serde_json::from_slice(&bytes(part)?) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(Error::Malformed),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let header_claims = object(header)?;
        Ok(Self {
            algorithm: text(&header_claims["alg"]),
            kid: text(&header_claims["kid"]),
            claims: object(claims)?,
            message: format!("{header}.{claims}"),
            signature: bytes(signature)?,
        })
    }

    /// A claim's text, empty when it is absent or no string.
    #[must_use]
    pub fn text(&self, claim: &str) -> &str {
        self.claims[claim].as_str().unwrap_or_default()
    }

    /// A time claim in Unix seconds.
    #[must_use]
    pub fn seconds(&self, claim: &str) -> Option<i64> {
        let value = &self.claims[claim];
        // NumericDate may carry a fraction (RFC 7519 section 2).
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a fraction of a second is of no use, and the cast saturates"
        )]
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds as i64))
    }

    /// The audiences, one or several.
    #[must_use]
    pub fn audiences(&self) -> Vec<&str> {
        match &self.claims["aud"] {
            Value::String(audience) => vec![audience],
            Value::Array(audiences) => audiences.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Checks algorithm, key id and signature; the claims are the caller's affair.
    ///
    /// # Errors
    /// [`Error::Algorithm`], [`Error::UnknownKey`] or [`Error::Signature`].
    pub fn verify(&self, keys: &Jwks) -> Result<(), Error> {
        if self.algorithm != "RS256" {
            return Err(Error::Algorithm(self.algorithm.clone()));
        }
        keys.rsa_key(&self.kid)
            .ok_or_else(|| Error::UnknownKey(self.kid.clone()))?
            .pkcs1v15_verify::<Sha256>(self.message.as_bytes(), &self.signature)
            .map_err(|_| Error::Signature(self.kid.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BASE64, Error, Jwt, SigningKey};
    use base64::Engine;

    #[test]
    fn what_verifies() {
        let (own, other) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let token = own.sign(&json!({"sub": "me", "aud": ["a", "b"]})).unwrap();
        let (header, rest) = token.split_once('.').unwrap();
        let forged = format!(
            "{header}.{}.{}",
            BASE64.encode(r#"{"sub":"you"}"#),
            rest.split_once('.').unwrap().1
        );
        let unsigned = format!("{}.{rest}", BASE64.encode(r#"{"alg":"none"}"#));
        let kid = own.kid.clone();
        let table = [
            ("own", &token, &own, Ok(())),
            (
                "foreign set",
                &token,
                &other,
                Err(Error::UnknownKey(kid.clone())),
            ),
            ("changed claims", &forged, &own, Err(Error::Signature(kid))),
            (
                "alg none",
                &unsigned,
                &own,
                Err(Error::Algorithm("none".to_owned())),
            ),
        ];
        for (name, token, keys, expected) in table {
            assert_eq!(
                Jwt::parse(token).unwrap().verify(&keys.jwks()),
                expected,
                "{name}"
            );
        }
        assert_eq!(Jwt::parse(&token).unwrap().audiences(), ["a", "b"]);
    }

    #[test]
    fn what_parses() {
        let table = [
            "",
            "a.b",
            "a.b.c",
            "e30.e30.e30.e30",
            "e30.W10.e30",
            "!!.e30.e30",
        ];
        for token in table {
            assert_eq!(Jwt::parse(token).err(), Some(Error::Malformed), "{token}");
        }
    }
}

//! The issuer of ServiceAccount tokens: RS256 key, JWKS and the tokens' claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use getrandom::SysRng;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
use serde_json::{Value, json};

use crate::refusal::Refusal;

/// Why no signing key could be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Generation failed.
    #[error("can't generate an RSA key: {0}")]
    Generate(#[from] rsa::Error),
    /// The private key has no PKCS#8 form.
    #[error("can't encode the RSA key: {0}")]
    Private(#[from] rsa::pkcs8::Error),
    /// The public key has no SPKI form.
    #[error("can't encode the RSA public key: {0}")]
    Public(#[from] rsa::pkcs8::spki::Error),
    /// The signer does not take the key.
    #[error("can't use the RSA key: {0}")]
    Rejected(#[from] ring::error::KeyRejected),
}

/// Who a token speaks for, for whom, and when (seconds since 1970).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The ServiceAccount's uid.
    pub(crate) uid: &'a str,
    pub(crate) audiences: &'a [String],
    pub(crate) issued: i64,
    pub(crate) expires: i64,
    /// The token's own id.
    pub(crate) id: &'a str,
}

/// The key and the name it signs under.
pub(crate) struct Issuer {
    url: String,
    key_id: String,
    key: RsaKeyPair,
}

impl Issuer {
    /// # Errors
    /// When no key can be made.
    pub(crate) fn generate(url: String) -> Result<Self, KeyError> {
        let private = rsa::PrivateKey::new(&mut SysRng, 2048)?;
        let public = private.to_public_key().to_public_key_der()?;
        let digest = ring::digest::digest(&ring::digest::SHA256, public.as_bytes());
        Ok(Self {
            url,
            key_id: URL_SAFE_NO_PAD.encode(digest),
            key: RsaKeyPair::from_pkcs8(private.to_pkcs8_der()?.as_bytes())?,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The discovery document. The keys are served at `server`, whatever the issuer's name.
    pub(crate) fn discovery(&self, server: &str) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{server}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }

    pub(crate) fn jwks(&self) -> Value {
        let public: PublicKeyComponents<Vec<u8>> = self.key.public().into();
        json!({"keys": [{
            "use": "sig", "kty": "RSA", "kid": self.key_id, "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(public.n),
            "e": URL_SAFE_NO_PAD.encode(public.e),
        }]})
    }

    /// # Errors
    /// [`Refusal::Signing`].
    pub(crate) fn sign(&self, grant: Grant<'_>) -> Result<String, Refusal> {
        let header = json!({"alg": "RS256", "kid": self.key_id});
        let claims = claims(&self.url, grant);
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Refusal::Signing)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn claims(issuer: &str, grant: Grant<'_>) -> Value {
    let Grant {
        namespace,
        name,
        uid,
        audiences,
        issued,
        expires,
        id,
    } = grant;
    json!({
        "aud": audiences, "exp": expires, "iat": issued, "iss": issuer, "jti": id,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        "nbf": issued, "sub": format!("system:serviceaccount:{namespace}:{name}"),
    })
}

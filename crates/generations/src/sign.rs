//! Who vouches for a generation: ed25519 signatures over what is served and on top of what.
//!
//! Keys are what `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write. Only that one form of
//! PKCS #8 (RFC 8410) is read, which has a fixed head of bytes and needs no ASN.1 parser.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{GenerationId, Manifest, Proposal, TreeId};

/// DER up to the 32 bytes of the secret key (RFC 8410 section 7).
const PRIVATE_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// DER up to the 32 bytes of the public key (RFC 8410 section 4).
const PUBLIC_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// A key file is far smaller.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// A key or signature that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is in no form that is read.
    #[error(
        "no ed25519 {0} key in PEM or base64; `openssl genpkey -algorithm ed25519` makes a private one, `openssl pkey -pubout` the public one to it"
    )]
    Form(&'static str),
    /// Bytes that are no point of the curve, or one of its weak points.
    #[error("{0} is no usable ed25519 public key")]
    Weak(String),
}

/// A key that signs. It prints as redacted.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// A key that signatures are checked with; written in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PrivateKey {
    /// The public key to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The key with this seed of 32 secret, random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
}

/// Reads PEM (PKCS #8) or base64 of the 32 bytes.
impl FromStr for PrivateKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let seed =
            key_bytes(text, "PRIVATE KEY", &PRIVATE_HEAD).ok_or(KeyError::Form("private"))?;
        Ok(Self::from_seed(&seed))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(redacted, public {})", self.public())
    }
}

/// Reads PEM (SubjectPublicKeyInfo) or base64 of the 32 bytes.
impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = key_bytes(text, "PUBLIC KEY", &PUBLIC_HEAD).ok_or(KeyError::Form("public"))?;
        let weak = || KeyError::Weak(STANDARD.encode(bytes));
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| weak())?;
        // Anything verifies under some points of small order.
        if key.is_weak() {
            Err(weak())
        } else {
            Ok(Self(key))
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A signature of a proposal's tree, parent, author and reason.
///
/// With the parent it can't be replayed later: it holds for one step of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key that signed.
    pub key: PublicKey,
    /// 64 bytes in base64.
    pub signature: String,
}

impl Signature {
    /// The key's signature of this proposal; what `signature` holds already plays no part.
    pub fn sign(key: &PrivateKey, proposal: &Proposal) -> Self {
        let text = signed_text(
            proposal.parent,
            proposal.tree(),
            &proposal.author,
            &proposal.reason,
        );
        Self {
            key: key.public(),
            signature: STANDARD.encode(key.0.sign(text.as_bytes()).to_bytes()),
        }
    }

    /// Whether its key signed this manifest. Says nothing about whether the key is trusted.
    pub fn is_of(&self, manifest: &Manifest) -> bool {
        let Manifest {
            parent,
            tree,
            author,
            reason,
            ..
        } = manifest;
        let text = signed_text(*parent, *tree, author, reason);
        let bytes = STANDARD.decode(&self.signature).ok();
        let bytes: Option<[u8; 64]> = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.is_some_and(|bytes| {
            let signature = ed25519_dalek::Signature::from_bytes(&bytes);
            self.key
                .0
                .verify_strict(text.as_bytes(), &signature)
                .is_ok()
        })
    }
}

/// What is signed. Lengths keep an author from reaching into the reason.
fn signed_text(parent: Option<GenerationId>, tree: TreeId, author: &str, reason: &str) -> String {
    let parent = parent.map_or_else(|| "none".to_owned(), |id| id.to_string());
    format!(
        "dalbi generation v1\nparent {parent}\ntree {tree}\nauthor {} {author}\nreason {} {reason}\n",
        author.len(),
        reason.len()
    )
}

/// The 32 bytes in `text`: PEM with this label whose DER begins with `head`, or base64 of nothing else.
fn key_bytes(text: &str, label: &str, head: &[u8]) -> Option<[u8; 32]> {
    if text.len() > MAX_KEY_BYTES {
        return None;
    }
    let text = text.trim();
    let Some(rest) = text.strip_prefix(&format!("-----BEGIN {label}-----")) else {
        return STANDARD.decode(text).ok()?.try_into().ok();
    };
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    der.strip_prefix(head)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with OpenSSL 3: genpkey -algorithm ed25519, pkey -pubout, from RFC 8410's example key.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    fn proposal() -> Proposal {
        Proposal {
            author: "ann".to_owned(),
            reason: "canary for checkout".to_owned(),
            ..Proposal::default()
        }
    }

    #[test]
    fn keys_are_read_as_openssl_writes_them() {
        let private: PrivateKey = PRIVATE.parse().unwrap();
        let public: PublicKey = PUBLIC.parse().unwrap();
        assert_eq!(private.public(), public);
        assert_eq!(public.to_string().parse(), Ok(public));
        assert!(!format!("{private:?}").contains("1O5y2"), "{private:?}");
        assert_eq!(
            PUBLIC.parse::<PrivateKey>().unwrap_err(),
            KeyError::Form("private")
        );
        // The curve's neutral element.
        let mut weak = [0; 32];
        weak[0] = 1;
        let error = STANDARD.encode(weak).parse::<PublicKey>().unwrap_err();
        assert!(matches!(error, KeyError::Weak(_)), "{error}");
    }

    #[test]
    fn a_signature_holds_for_one_step_of_the_history() {
        let key: PrivateKey = PRIVATE.parse().unwrap();
        let signed = |proposal: &Proposal| Manifest::new(proposal, 1, 0).0;
        let signature = Signature::sign(&key, &proposal());
        assert!(signature.is_of(&signed(&proposal())));

        let mut later = proposal();
        later.parent = Some(GenerationId::from_bytes([7; 32]));
        assert!(!signature.is_of(&signed(&later)));
        let mut other = proposal();
        other.options.insert("bind".to_owned(), "::".to_owned());
        assert!(!signature.is_of(&signed(&other)));
        let mut shifted = proposal();
        shifted.author = "an".to_owned();
        assert!(!signature.is_of(&signed(&shifted)));
        let cut = Signature {
            signature: "AAAA".to_owned(),
            ..signature
        };
        assert!(!cut.is_of(&signed(&proposal())));
    }
}

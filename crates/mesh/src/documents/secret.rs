//! Kubernetes `Secret`, as far as `credentialName` uses it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::decode::{Context, Fields, boolean, map_of, string};
use crate::yaml::Node;

/// Keys and values. Values are never printed.
pub(crate) struct Secret {
    data: BTreeMap<String, Arc<[u8]>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("keys", &self.data.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// The certificate chain, under either of the names that Istio takes.
    pub(crate) fn certificate(&self) -> Option<Arc<[u8]>> {
        self.value(&["tls.crt", "cert"])
    }

    /// The private key.
    pub(crate) fn key(&self) -> Option<Arc<[u8]>> {
        self.value(&["tls.key", "key"])
    }

    /// The CA bundle.
    pub(crate) fn ca(&self) -> Option<Arc<[u8]>> {
        self.value(&["ca.crt", "cacert"])
    }

    fn value(&self, names: &[&str]) -> Option<Arc<[u8]>> {
        names
            .iter()
            .find_map(|name| self.data.get(*name))
            .filter(|value| !value.is_empty())
            .map(Arc::clone)
    }
}

/// `kind: Secret`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Secret> {
    let encoded = object.optional("data", map_of(base64)).unwrap_or_default();
    let plain = object
        .optional("stringData", map_of(string))
        .unwrap_or_default();
    object.optional("immutable", boolean);
    object.accept(&["type"]);
    let mut data: BTreeMap<String, Arc<[u8]>> = encoded
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    data.extend(
        plain
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.as_bytes().into())),
    );
    Some(Secret { data })
}

fn base64<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Vec<u8>> {
    let text = string(node, context)?;
    let decoded = decode_base64(text);
    if decoded.is_none() {
        // Never the value: it may be the key itself, pasted without encoding.
        context.error(
            node.place,
            "is not base64; put plain text under `stringData`",
        );
    }
    decoded
}

/// Standard alphabet with padding (RFC 4648, section 4); white space is skipped.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits, mut padding, mut length) = (0_u32, 0, 0, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        length += 1;
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        word = (word << 6) | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    (length % 4 == 0 && padding <= 2).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (text, plain) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9v\nYmFy", "foobar"),
        ] {
            assert_eq!(decode_base64(text).unwrap(), plain.as_bytes());
        }
        for text in ["Zg", "Zg=", "Z===", "Zm=v", "Zm9!"] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Secret {
            data: BTreeMap::from([("tls.key".to_owned(), b"hunter2".as_slice().into())]),
        };
        let printed = format!("{secret:?}");
        assert!(
            printed.contains("tls.key") && !printed.contains("hunter2") && !printed.contains("104"),
            "{printed}"
        );
    }
}

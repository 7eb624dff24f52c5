//! BLAKE3 hashes as names: of a manifest, of what is served, of an object, of a log record.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that is no 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no BLAKE3 hash: 64 hexadecimal digits are expected")]
pub struct HashError(String);

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The name with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the hash.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 12 of the 64 hexadecimal digits, for people.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(12);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = HashError;

            fn from_str(text: &str) -> Result<Self, HashError> {
                let hash = blake3::Hash::from_hex(text);
                let hash = hash.map_err(|_| HashError(text.chars().take(80).collect()))?;
                Ok(Self(*hash.as_bytes()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

hashes! {
    /// A generation's name: the BLAKE3 hash of its manifest's bytes. Two stagings of the same documents are
    /// two generations, since number, time and reason are part of the manifest.
    GenerationId;
    /// The name of what is served, whoever made it and when: paths, texts and options of a generation.
    TreeId;
    /// The name of an object: the BLAKE3 hash of a document's text.
    ObjectId;
    /// The hash of a log record's text, which the next record repeats.
    RecordHash;
}

impl RecordHash {
    /// What the first record of a log gives as its predecessor's hash.
    pub const NONE: Self = Self([0; 32]);
}

impl ObjectId {
    /// The name of this text.
    pub fn of(text: &[u8]) -> Self {
        Self(*blake3::hash(text).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_and_read_as_hex() {
        let id = ObjectId::of(b"abc");
        // BLAKE3's published test value for "abc".
        let hex = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(id.to_string(), hex);
        assert_eq!(id.short(), "6437b3ac3846");
        assert_eq!(hex.parse(), Ok(id));
        let error = "6437".parse::<TreeId>().unwrap_err();
        assert!(error.to_string().contains("64 hexadecimal"), "{error}");
    }
}

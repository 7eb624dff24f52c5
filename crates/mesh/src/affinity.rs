//! Which requests belong together: the keys that consistent hashing goes by.

use std::net::IpAddr;
use std::time::Duration;

use crate::route::{RequestHead, query_value};

/// What of a request is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header's value, by its lower-case name.
    Header(String),
    /// A cookie's value.
    Cookie {
        /// Its name.
        name: String,
        /// How one is made for a request without it; `None` makes none.
        template: Option<CookieTemplate>,
    },
    /// The address that the connection comes from, without its port.
    SourceIp,
    /// A query parameter's value as it stands in the URL, by its name.
    QueryParameter(String),
}

/// A cookie that the dispatcher makes, so that a client's next requests belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieTemplate {
    /// How long the client keeps it; zero is until the browser is closed.
    pub ttl: Duration,
    /// Its `Path`.
    pub path: Option<String>,
    /// Further attributes, such as `SameSite` with `Lax`; those without a value have an empty one.
    pub attributes: Vec<(String, String)>,
}

/// What comes of looking for a request's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity<'k> {
    /// The request has none of the keys: it may go anywhere.
    None,
    /// The hash of the first key that the request has.
    Hash(u64),
    /// The request lacks this cookie, and is to get one: see [`HashKey::new_cookie`].
    NewCookie(&'k HashKey),
}

/// The first of `keys` that the request has decides, or the first cookie that is to be made.
///
/// The same request hashes the same in every dispatcher and version.
pub fn affinity<'k>(
    keys: &'k [HashKey],
    head: &impl RequestHead,
    source: Option<IpAddr>,
) -> Affinity<'k> {
    for key in keys {
        let hash = match key {
            HashKey::Header(name) => head.header(name).map(|value| stable_hash(&value)),
            HashKey::Cookie { name, template } => {
                let cookies = head.header("cookie");
                let value = cookies.as_deref().and_then(|all| cookie(all, name));
                match value {
                    None if template.is_some() => return Affinity::NewCookie(key),
                    value => value.map(stable_hash),
                }
            }
            HashKey::SourceIp => source.map(|address| match address.to_canonical() {
                IpAddr::V4(address) => stable_hash(&address.octets()),
                IpAddr::V6(address) => stable_hash(&address.octets()),
            }),
            HashKey::QueryParameter(name) => {
                query_value(head.path_and_query(), name).map(|value| stable_hash(value.as_bytes()))
            }
        };
        if let Some(hash) = hash {
            return Affinity::Hash(hash);
        }
    }
    Affinity::None
}

impl HashKey {
    /// A new cookie from a random number: the hash that requests with it will have, and the value of its
    /// `Set-Cookie`. Envoy makes its value from the client's address; a random one tells nothing, and keeps the
    /// users behind one address apart. `None` if this key makes no cookies.
    pub fn new_cookie(&self, random: u64) -> Option<(u64, String)> {
        let Self::Cookie {
            name,
            template: Some(template),
        } = self
        else {
            return None;
        };
        let value = format!("{random:016x}");
        let mut text = format!("{name}=\"{value}\"");
        if !template.ttl.is_zero() {
            text += &format!("; Max-Age={}", template.ttl.as_secs().max(1));
        }
        if let Some(path) = &template.path {
            text += &format!("; Path={path}");
        }
        for (name, value) in &template.attributes {
            text += &format!("; {name}");
            if !value.is_empty() {
                text += &format!("={value}");
            }
        }
        text += "; HttpOnly";
        Some((stable_hash(value.as_bytes()), text))
    }
}

/// The value of the first cookie of that name, without quotes. Lines of `cookie` fields come joined with `,`,
/// which no cookie has in it (RFC 6265, 4.1.1).
fn cookie<'v>(cookies: &'v [u8], name: &str) -> Option<&'v [u8]> {
    let mut pairs = cookies.split(|byte| matches!(byte, b';' | b','));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        let value = value.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"");
        Some(
            quoted
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value),
        )
    })
}

/// A hash that is the same in every dispatcher and version.
///
/// FNV-1a over the bytes, then the finisher of SplitMix64, which FNV's weak high bits need: short keys that differ
/// in their last byte land far apart.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Where a request's user is, if a policy names something that tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserLocality {
    /// A header with `region/zone/sub-zone`, by its lower-case name. Whatever sets it has to be trusted.
    Header(String),
    /// A MaxMind-format database that has the client's address: the continent's code is the region, the country's
    /// the zone, that of its first subdivision the sub-zone.
    MaxMind(std::path::PathBuf),
}

/// Reads `region/zone/sub-zone`, where the parts after the first may be missing. `*` and nothing stand for any.
pub fn locality(text: &str) -> alba::Locality {
    let part = |part: &str| match part.trim() {
        "*" => String::new(),
        part => part.to_owned(),
    };
    let mut parts = text.splitn(3, '/').map(part);
    let mut next = || parts.next().unwrap_or_default();
    alba::Locality {
        region: next(),
        zone: next(),
        sub_zone: next(),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    struct Head(&'static [(&'static str, &'static str)], &'static str);

    impl RequestHead for Head {
        fn method(&self) -> &str {
            "GET"
        }
        fn scheme(&self) -> &str {
            "http"
        }
        fn authority(&self) -> &str {
            "a.example.com"
        }
        fn path_and_query(&self) -> &str {
            self.1
        }
        fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
            let lines: Vec<_> = self.0.iter().filter(|(key, _)| *key == name).collect();
            let values: Vec<_> = lines.iter().map(|(_, value)| *value).collect();
            (!values.is_empty()).then(|| Cow::Owned(values.join(",").into_bytes()))
        }
    }

    fn header() -> HashKey {
        HashKey::Header("x-user".to_owned())
    }

    fn session(template: Option<CookieTemplate>) -> HashKey {
        let name = "session".to_owned();
        HashKey::Cookie { name, template }
    }

    #[test]
    fn the_first_key_that_a_request_has_decides() {
        let keys = [
            header(),
            HashKey::QueryParameter("u".into()),
            HashKey::SourceIp,
        ];
        let at =
            |head: &Head, source: Option<[u8; 4]>| affinity(&keys, head, source.map(IpAddr::from));
        let by_header = at(&Head(&[("x-user", "7")], "/?u=8"), Some([10, 0, 0, 1]));
        assert_eq!(by_header, Affinity::Hash(stable_hash(b"7")));
        let by_query = at(&Head(&[], "/?v=1&u=8"), Some([10, 0, 0, 1]));
        assert_eq!(by_query, Affinity::Hash(stable_hash(b"8")));
        let by_source = at(&Head(&[], "/"), Some([10, 0, 0, 1]));
        assert_eq!(by_source, Affinity::Hash(stable_hash(&[10, 0, 0, 1])));
        assert_eq!(at(&Head(&[], "/"), None), Affinity::None);
    }

    #[test]
    fn a_mapped_address_is_the_same_client() {
        let at = |address: &str| {
            affinity(
                &[HashKey::SourceIp],
                &Head(&[], "/"),
                Some(address.parse().unwrap()),
            )
        };
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.2"), at("10.0.0.1"));
    }

    #[test]
    fn cookies_are_found_wherever_they_stand() {
        for (lines, expected) in [
            (&[("cookie", "session=a")][..], Some("a")),
            (&[("cookie", "x=1; session=\"a b\"; y=2")], Some("a b")),
            (&[("cookie", "x=1"), ("cookie", "session=a")], Some("a")),
            (&[("cookie", "mysession=a; session2=b; session")], None),
            (&[], None),
        ] {
            let head = Head(lines, "/");
            let expected = expected.map_or(Affinity::None, |value| {
                Affinity::Hash(stable_hash(value.as_bytes()))
            });
            assert_eq!(
                affinity(&[session(None)], &head, None),
                expected,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_cookie_that_was_made_brings_its_client_back() {
        let template = CookieTemplate {
            ttl: Duration::from_secs(60),
            path: Some("/shop".to_owned()),
            attributes: vec![
                ("SameSite".into(), "Lax".into()),
                ("Secure".into(), String::new()),
            ],
        };
        let keys = [session(Some(template)), HashKey::SourceIp];
        let first = affinity(&keys, &Head(&[], "/"), Some([10, 0, 0, 1].into()));
        let Affinity::NewCookie(key) = first else {
            panic!("{first:?}")
        };
        let (hash, text) = key.new_cookie(0xabc).unwrap();
        assert_eq!(
            text,
            "session=\"0000000000000abc\"; Max-Age=60; Path=/shop; SameSite=Lax; Secure; HttpOnly"
        );
        let back = Head(&[("cookie", "session=\"0000000000000abc\"")], "/");
        assert_eq!(affinity(&keys, &back, None), Affinity::Hash(hash));
    }

    #[test]
    fn hashes_stay_as_they_are() {
        // Dispatchers of two versions must agree on where a session is.
        assert_eq!(stable_hash(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(stable_hash(b"user-1"), 0xc499_b5f8_a721_df58);
    }

    #[test]
    fn localities_may_leave_parts_open() {
        let parts = |text| {
            let place = locality(text);
            [place.region, place.zone, place.sub_zone]
        };
        assert_eq!(parts("eu/a/r1"), ["eu", "a", "r1"]);
        assert_eq!(parts("eu"), ["eu", "", ""]);
        assert_eq!(parts("*/a/*"), ["", "a", ""]);
        assert_eq!(parts("eu/a/r1/x"), ["eu", "a", "r1/x"]);
    }
}

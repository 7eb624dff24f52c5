//! Cross-origin requests (the Fetch standard's CORS protocol), answered as Envoy's filter does.

use mesh::{Cors, RequestHead};

use super::fields::FieldSink;
use super::reply::Reply;

/// What a route's rules say of one request.
pub(crate) enum Verdict<'m> {
    /// It is none, or comes from an origin that has no grant: it goes on as it is.
    Unaffected,
    /// A preflight, and the answer.
    Preflight(Reply),
    /// It goes on, and its answer says that the origin may read it.
    Granted(Box<Granted<'m>>),
}

/// An origin that may read an answer.
#[derive(Debug)]
pub(crate) struct Granted<'m> {
    rules: &'m Cors,
    origin: Box<[u8]>,
}

/// Judges a request.
pub(crate) fn judge<'m>(rules: &'m Cors, head: &impl RequestHead) -> Verdict<'m> {
    let field = |name| head.header(name).filter(|value| !value.is_empty());
    let Some(origin) = field("origin") else {
        return Verdict::Unaffected;
    };
    let granted = allows(rules, &origin).then(|| {
        Box::new(Granted {
            rules,
            origin: origin.into_owned().into(),
        })
    });
    let asked = field("access-control-request-method").filter(|_| head.method() == "OPTIONS");
    match (granted, asked) {
        (Some(granted), None) => Verdict::Granted(granted),
        (Some(granted), Some(method)) => {
            let mut reply = empty();
            granted.rights(&mut reply.headers);
            let headers = field("access-control-request-headers");
            granted.preflight(&method, headers.as_deref(), &mut reply);
            Verdict::Preflight(reply)
        }
        (None, Some(_)) if !rules.forwards_unmatched => Verdict::Preflight(empty()),
        (None, _) => Verdict::Unaffected,
    }
}

/// An origin fits by itself, or because any would.
fn allows(rules: &Cors, origin: &[u8]) -> bool {
    let mut allowed = rules.allow_origins.iter();
    allowed.any(|allowed| allowed.is_match(b"*") || allowed.is_match(origin))
}

fn empty() -> Reply {
    Reply::direct(200, std::sync::Arc::from([]))
}

impl Granted<'_> {
    /// Whether a field of that name is this rule's to write, whoever else may have.
    pub(crate) fn writes(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(ALLOW_ORIGIN)
            || (self.rules.allow_credentials && name.eq_ignore_ascii_case(ALLOW_CREDENTIALS))
            || (!self.rules.expose_headers.is_empty() && name.eq_ignore_ascii_case(EXPOSE_HEADERS))
    }

    /// Writes what lets the origin read an answer.
    pub(crate) fn write(&self, sink: &mut impl FieldSink) {
        let mut fields = Vec::new();
        self.rights(&mut fields);
        for (name, value) in fields {
            sink.put(name, value.as_bytes());
        }
    }

    /// The same, on an answer of our own.
    pub(crate) fn rights(&self, fields: &mut Vec<(&'static str, String)>) {
        let origin = String::from_utf8_lossy(&self.origin).into_owned();
        fields.push((ALLOW_ORIGIN, origin));
        if self.rules.allow_credentials {
            fields.push((ALLOW_CREDENTIALS, "true".to_owned()));
        }
        if !self.rules.expose_headers.is_empty() {
            fields.push((EXPOSE_HEADERS, self.rules.expose_headers.join(",")));
        }
        // Caches have to keep the answers for different origins apart (Fetch standard, "CORS protocol and HTTP
        // caches"); Envoy leaves that out.
        fields.push(("vary", "Origin".to_owned()));
    }

    /// What a preflight wants to know besides: `*` is said by repeating what was asked for, since with
    /// credentials `*` would only be a name.
    fn preflight(&self, method: &[u8], headers: Option<&[u8]>, reply: &mut Reply) {
        let said = |allowed: &[String], asked: Option<&[u8]>| match allowed {
            [] => None,
            [any] if any == "*" => asked.map(|asked| String::from_utf8_lossy(asked).into_owned()),
            allowed => Some(allowed.join(",")),
        };
        let rules = self.rules;
        let fields = &mut reply.headers;
        let methods = said(&rules.allow_methods, Some(method));
        fields.extend(methods.map(|methods| ("access-control-allow-methods", methods)));
        let headers = said(&rules.allow_headers, headers);
        fields.extend(headers.map(|headers| ("access-control-allow-headers", headers)));
        if let Some(max_age) = rules.max_age {
            fields.push(("access-control-max-age", max_age.as_secs().to_string()));
        }
    }
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use mesh::StringMatch;

    use super::*;

    struct Head {
        method: &'static str,
        fields: Vec<(&'static str, &'static str)>,
    }

    impl RequestHead for Head {
        fn method(&self) -> &str {
            self.method
        }
        fn scheme(&self) -> &str {
            "https"
        }
        fn authority(&self) -> &str {
            "api.example.com"
        }
        fn path_and_query(&self) -> &str {
            "/"
        }
        fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
            let found = self.fields.iter().find(|(field, _)| *field == name);
            found.map(|(_, value)| Cow::Borrowed(value.as_bytes()))
        }
    }

    const OTHER: &str = "https://app.example.org";

    fn preflight(origin: &'static str) -> Head {
        Head {
            method: "OPTIONS",
            fields: vec![
                ("origin", origin),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-a, x-b"),
            ],
        }
    }

    fn rules(origin: &str) -> Cors {
        Cors {
            allow_origins: vec![StringMatch::Exact(origin.into())],
            ..Cors::default()
        }
    }

    fn answered(rules: &Cors, head: &Head) -> Option<Reply> {
        match judge(rules, head) {
            Verdict::Preflight(reply) => Some(reply),
            Verdict::Unaffected | Verdict::Granted(_) => None,
        }
    }

    fn field<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
        let found = reply.headers.iter().find(|(field, _)| *field == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_preflight_is_answered_with_what_is_allowed() {
        let rules = Cors {
            allow_methods: vec!["GET".to_owned(), "PUT".to_owned()],
            allow_headers: vec!["x-a".to_owned()],
            max_age: Some(Duration::from_secs(86_400)),
            allow_credentials: true,
            ..rules(OTHER)
        };
        let reply = answered(&rules, &preflight(OTHER)).expect("a preflight");
        assert_eq!((reply.status, reply.bytes().len()), (200, 0));
        assert_eq!(field(&reply, ALLOW_ORIGIN), Some(OTHER));
        assert_eq!(field(&reply, ALLOW_CREDENTIALS), Some("true"));
        let allowed = field(&reply, "access-control-allow-methods");
        assert_eq!(allowed, Some("GET,PUT"));
        assert_eq!(field(&reply, "access-control-allow-headers"), Some("x-a"));
        assert_eq!(field(&reply, "access-control-max-age"), Some("86400"));
        assert_eq!(field(&reply, "vary"), Some("Origin"));
    }

    #[test]
    fn any_is_said_by_repeating_what_was_asked_for() {
        let rules = Cors {
            allow_methods: vec!["*".to_owned()],
            allow_headers: vec!["*".to_owned()],
            ..rules("*")
        };
        let reply = answered(&rules, &preflight(OTHER)).expect("a preflight");
        assert_eq!(field(&reply, ALLOW_ORIGIN), Some(OTHER));
        assert_eq!(field(&reply, "access-control-allow-methods"), Some("PUT"));
        let headers = field(&reply, "access-control-allow-headers");
        assert_eq!(headers, Some("x-a, x-b"));
        assert_eq!(field(&reply, ALLOW_CREDENTIALS), None);
    }

    #[test]
    fn a_foreign_origins_preflight_goes_on_or_gets_nothing() {
        let head = preflight("https://elsewhere.example");
        let forwards = Cors {
            forwards_unmatched: true,
            ..rules(OTHER)
        };
        assert!(matches!(judge(&forwards, &head), Verdict::Unaffected));
        let reply = answered(&rules(OTHER), &head).expect("answered without the endpoint");
        assert_eq!((reply.status, reply.headers.len()), (200, 0));
    }

    #[test]
    fn what_is_no_preflight_goes_on() {
        let rules = rules(OTHER);
        let mut head = preflight(OTHER);
        head.method = "PUT";
        assert!(matches!(judge(&rules, &head), Verdict::Granted(_)));
        head.method = "OPTIONS";
        head.fields.remove(1);
        assert!(matches!(judge(&rules, &head), Verdict::Granted(_)));
        head.fields.remove(0);
        assert!(matches!(judge(&rules, &head), Verdict::Unaffected));
    }

    #[test]
    fn a_grant_overrides_what_the_endpoint_says() {
        let rules = Cors {
            expose_headers: vec!["x-c".to_owned(), "x-d".to_owned()],
            ..rules(OTHER)
        };
        let head = Head {
            method: "GET",
            fields: vec![("origin", OTHER)],
        };
        let Verdict::Granted(grant) = judge(&rules, &head) else {
            panic!("an allowed origin");
        };
        assert!(grant.writes("Access-Control-Allow-Origin") && grant.writes(EXPOSE_HEADERS));
        assert!(!grant.writes(ALLOW_CREDENTIALS) && !grant.writes("vary"));
        let mut out = Vec::new();
        grant.write(&mut out);
        let expected =
            format!("{ALLOW_ORIGIN}: {OTHER}\r\n{EXPOSE_HEADERS}: x-c,x-d\r\nvary: Origin\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

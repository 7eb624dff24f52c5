//! What may stand where a host, a label or a list of namespaces is expected.

use crate::decode::{Context, non_empty};
use crate::yaml::Node;

/// A host name, lower case and without the root's dot. Whether it may hold a wildcard is for the caller to check.
pub(crate) fn host<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = non_empty(node, context)?;
    let text = text
        .strip_suffix('.')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&text);
    Some(text.to_ascii_lowercase())
}

/// One part of a DNS name, as Istio checks it (capitals are let in).
pub(crate) fn check_label(label: &str) -> Result<(), String> {
    let inner = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if label.is_empty()
        || label.len() > 63
        || !inner
        || label.starts_with('-')
        || label.ends_with('-')
    {
        return Err(format!(
            "`{label}` is not a DNS label: 1 to 63 letters, digits and inner `-`"
        ));
    }
    Ok(())
}

/// A DNS name without a wildcard.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.len() > 255 {
        return Err(format!(
            "name has {} characters, the limit is 255",
            name.len()
        ));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name.split('.').try_for_each(|label| {
        check_label(label).map_err(|why| format!("`{name}` is not a host name: {why}"))
    })?;
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.contains('.') && last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{name}` is not a host name: its last label is a number"
        ));
    }
    Ok(())
}

/// A DNS name that may begin with a wildcard, or an IP address.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    let Some(suffix) = pattern.strip_prefix('*') else {
        return check_name(pattern);
    };
    let rest = suffix.strip_prefix(['.', '-']).unwrap_or(suffix);
    match rest {
        "" if suffix.is_empty() => Ok(()),
        rest if rest.contains('*') => Err(format!(
            "`{pattern}` has more than one wildcard; only the first character can be one"
        )),
        rest => check_name(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for good in [
            "*",
            "*.example.com",
            "*x",
            "*-a.example.com",
            "reviews",
            "ISTIOD-HOST.DOMAIN",
            "1.2.3.4",
            "::1",
            "a.b.",
        ] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "*.*.com",
            "a.*.com",
            "-a.com",
            "a_b.com",
            "a..b",
            "a.1",
            "http://a.com",
            "a.com:80",
            "*.",
        ] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
    }
}

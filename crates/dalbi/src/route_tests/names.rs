//! Destinations as people write them.

use mesh::{ClusterId, DestinationName, Mesh, NoCluster};

use crate::describe;

/// A service, or part of one: `reviews`, `reviews:9080`, `reviews.default/v1`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    /// In full, or as short as Kubernetes lets a service's name be.
    pub(crate) host: String,
    /// `None` is any.
    pub(crate) port: Option<u16>,
    /// Empty for the whole service.
    pub(crate) subset: String,
}

impl Name {
    /// From `HOST[:PORT][/SUBSET]`; `None` if it is not that.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (service, subset) = text.split_once('/').unwrap_or((text, ""));
        let (host, port) = match service.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (service, None),
        };
        (!host.is_empty()).then(|| Self {
            host: host.to_owned(),
            port,
            subset: subset.to_owned(),
        })
    }

    /// Whether this is what is meant.
    pub(crate) fn means(&self, actual: &DestinationName) -> bool {
        let port = match (self.port, actual.port) {
            (Some(wanted), Some(port)) => wanted == port,
            (Some(_), None) => false,
            (None, _) => true,
        };
        port && self.subset == actual.subset && is_host(&self.host, &actual.host)
    }
}

/// `reviews`, `reviews.default` and `reviews.default.svc` are `reviews.default.svc.cluster.local`.
fn is_host(written: &str, full: &str) -> bool {
    if written.eq_ignore_ascii_case(full) {
        return true;
    }
    let Some((service, domain)) = full.split_once(".svc.") else {
        return false;
    };
    let name = service.split_once('.').map_or(service, |(name, _)| name);
    let with_svc = || format!("{service}.svc");
    !domain.is_empty()
        && (written.eq_ignore_ascii_case(name)
            || written.eq_ignore_ascii_case(service)
            || written.eq_ignore_ascii_case(&with_svc()))
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.subset.is_empty() {
            write!(f, "/{}", self.subset)?;
        }
        Ok(())
    }
}

/// What a destination of a mesh is called, whether it is there or not; `None` if its document did not say.
pub(super) fn actual(
    mesh: &Mesh,
    cluster: &Result<ClusterId, NoCluster>,
) -> Option<DestinationName> {
    match cluster {
        Ok(id) => {
            let cluster = mesh.cluster(*id);
            Some(DestinationName {
                host: cluster.host.clone(),
                port: Some(cluster.port),
                subset: cluster.subset.clone(),
            })
        }
        Err(missing) => missing.wanted.as_deref().cloned(),
    }
}

/// The same in words.
pub(super) fn shown(mesh: &Mesh, cluster: &Result<ClusterId, NoCluster>) -> String {
    match actual(mesh, cluster) {
        Some(DestinationName { host, port, subset }) => Name { host, port, subset }.to_string(),
        None => describe::destination(mesh, cluster),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_understood() {
        let actual = DestinationName {
            host: "reviews.prod.svc.cluster.local".to_owned(),
            port: Some(9080),
            subset: "v1".to_owned(),
        };
        for (text, expected) in [
            ("reviews/v1", true),
            ("reviews.prod/v1", true),
            ("Reviews.prod.svc:9080/v1", true),
            ("reviews.prod.svc.cluster.local/v1", true),
            ("reviews", false),
            ("reviews/v2", false),
            ("reviews:80/v1", false),
            ("reviews.default/v1", false),
            ("prod/v1", false),
        ] {
            assert_eq!(
                Name::parse(text).unwrap().means(&actual),
                expected,
                "{text}"
            );
        }
        let outside = DestinationName {
            host: "api.example.com".to_owned(),
            port: None,
            subset: String::new(),
        };
        assert!(Name::parse("api.example.com").unwrap().means(&outside));
        assert!(!Name::parse("api").unwrap().means(&outside));
        assert!(!Name::parse("api.example.com:443").unwrap().means(&outside));
        assert_eq!(Name::parse("a:b"), None);
        assert_eq!(Name::parse("/v1"), None);
    }
}

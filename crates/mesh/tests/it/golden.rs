//! Golden pairs: `golden/CASE/*.yaml` and `requests.txt` in, `expected.txt` out.
//!
//! `UPDATE_GOLDEN=1 cargo test -p mesh --test golden` writes what comes out; read the difference before you keep
//! it. A request line is `[?] LISTENER METHOD URL [name=value ...]`, where the listener is a port or `mesh` and `?`
//! asks why earlier rules did not match.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mesh::{Action, Cluster, Decision, Loaded, Mesh, Options, SourceFile, TlsAction, load};

use crate::request::Request;

/// The document files of a case.
pub(crate) fn files(folder: &Path) -> Vec<SourceFile> {
    let mut paths: Vec<PathBuf> = folder
        .read_dir()
        .expect("the case")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "txt"));
    paths.sort();
    let file = |path: PathBuf| SourceFile {
        text: std::fs::read_to_string(&path).expect("a document file"),
        path: path.file_name().expect("a name").into(),
    };
    paths.into_iter().map(file).collect()
}

pub(crate) fn describe(loaded: &Loaded, requests: &str) -> String {
    let mut out = String::new();
    for diagnostic in &loaded.diagnostics {
        writeln!(out, "{diagnostic}").expect("a string takes everything");
    }
    for (kind, ignored) in &loaded.summary.ignored {
        writeln!(
            out,
            "ignored {} {kind} from {}",
            ignored.count, ignored.first
        )
        .expect("a string");
    }
    let Some(mesh) = &loaded.mesh else {
        return out + "no mesh\n";
    };
    out += "\n";
    for listener in &mesh.listeners {
        let tls = listener.tls.iter().flat_map(|tls| &tls.servers);
        let tls: Vec<_> = tls.map(|server| describe_server(mesh, server)).collect();
        writeln!(
            out,
            "listener {} {:?}{}",
            listener.name,
            listener.address,
            tls.concat()
        )
        .expect("a string");
        for route in &listener.tcp {
            writeln!(out, "  {}", describe_connections(mesh, route)).expect("a string");
        }
    }
    out += "\n";
    for line in requests
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        writeln!(
            out,
            "{line}\n{}",
            decide(
                mesh,
                &Request::parse(line.trim_start_matches("? ")),
                line.starts_with('?')
            )
        )
        .expect("a string");
    }
    out += "\n";
    for cluster in &mesh.clusters {
        out += &describe_cluster(cluster);
    }
    out
}

fn describe_server(mesh: &Mesh, server: &mesh::TlsServer) -> String {
    let (how, route) = match &server.action {
        TlsAction::Http => return format!("\n  {server:?}"),
        TlsAction::Tcp(route) => (format!("{:?}", server.client_auth), route),
        TlsAction::Passthrough(route) => ("passed through".to_owned(), route),
        TlsAction::Refuse => return format!("\n  {:?} refused", server.hosts),
    };
    let to = describe_connections(mesh, route);
    format!("\n  TLS {:?} {how}: {to}", server.hosts)
}

fn describe_connections(mesh: &Mesh, route: &mesh::TcpRoute) -> String {
    let to = route.destinations.iter();
    let to = to.map(|destination| match &destination.cluster {
        Ok(id) => format!("{} {}", destination.weight, mesh.cluster(*id).name),
        Err(missing) => format!("{} nobody ({})", destination.weight, missing.reason),
    });
    format!("{}: {}", route.name, to.collect::<Vec<_>>().join(", "))
}

fn decide(mesh: &Mesh, request: &Request, tell: bool) -> String {
    let Some(listener) = request.listener_in(mesh) else {
        return "  no such listener".to_owned();
    };
    let told = mesh.explain(listener, request, 0);
    let mut out = String::new();
    for rejected in told.rejected.iter().filter(|_| tell) {
        writeln!(
            out,
            "  not {}: {}",
            rejected.route.name,
            rejected.reasons.join("; ")
        )
        .expect("a string");
    }
    out += &match &told.decision {
        Decision::NotFound => "  404".to_owned(),
        Decision::Misdirected => "  421".to_owned(),
        Decision::Redirect {
            route,
            status,
            location,
        } => {
            format!("  {}: {status} {location}", route.name)
        }
        Decision::DirectResponse { route } => {
            let Action::DirectResponse { status, body } = &route.action else {
                panic!("another action")
            };
            format!(
                "  {}: {status} {:?}",
                route.name,
                String::from_utf8_lossy(body)
            )
        }
        Decision::Forward { route, .. } => {
            let shares = told.shares.iter().map(|share| match &share.cluster {
                Ok(cluster) => format!("{cluster} {:.0}%", share.share * 100.0),
                Err(missing) => format!("503 ({missing}) {:.0}%", share.share * 100.0),
            });
            let shares: Vec<_> = shares.collect();
            format!("  {}: {}", route.name, shares.join(", "))
        }
    };
    if let Some(path) = &told.path_and_query {
        write!(out, " path={path}").expect("a string");
    }
    if let Some(authority) = &told.authority {
        write!(out, " authority={authority}").expect("a string");
    }
    if let Decision::Forward {
        route, destination, ..
    } = &told.decision
    {
        let defaults = (None, 2);
        if (route.timeout, route.retries.attempts) != defaults {
            write!(
                out,
                " timeout={:?} retries={:?}",
                route.timeout, route.retries
            )
            .expect("a string");
        }
        for headers in [&route.headers, &destination.headers] {
            if *headers != mesh::HeaderEdits::default() {
                write!(out, " {headers:?}").expect("a string");
            }
        }
    }
    if let Decision::Forward { route, .. }
    | Decision::Redirect { route, .. }
    | Decision::DirectResponse { route } = &told.decision
    {
        out += &describe_extras(mesh, route);
    }
    // The live path must say the same as the telling one.
    let live = mesh.route(listener, request, 0);
    assert_eq!(
        std::mem::discriminant(&live),
        std::mem::discriminant(&told.decision),
        "{}",
        request.target
    );
    out
}

/// What few routes have: faults, mirrors, CORS.
fn describe_extras(mesh: &Mesh, route: &mesh::Route) -> String {
    let mut out = String::new();
    if let Some(fault) = &route.fault {
        if let Some((share, delay)) = fault.delay {
            write!(out, "\n    {}% wait {delay:?}", share.percent()).expect("a string");
        }
        if let Some((share, abort)) = fault.abort {
            write!(out, "\n    {}% get {abort:?}", share.percent()).expect("a string");
        }
    }
    for mirror in &route.mirrors {
        let to = match &mirror.cluster {
            Ok(id) => mesh.cluster(*id).name.clone(),
            Err(missing) => format!("nobody ({})", missing.reason),
        };
        write!(out, "\n    {}% copied to {to}", mirror.share.percent()).expect("a string");
    }
    if let Some(cors) = &route.cors {
        let origins: Vec<_> = cors.allow_origins.iter().map(ToString::to_string).collect();
        let rest = mesh::Cors {
            allow_origins: Vec::new(),
            ..mesh::Cors::clone(cors)
        };
        write!(out, "\n    origins {origins:?} {rest:?}").expect("a string");
    }
    out
}

fn describe_cluster(cluster: &Cluster) -> String {
    let Cluster {
        name,
        protocol,
        endpoints,
        balancing,
        hash,
        user_locality,
        probe_path,
        admission,
        connection_pool,
        tls,
        health_check,
        ..
    } = cluster;
    let mut out = format!("{name} {protocol:?}\n");
    for endpoint in endpoints {
        let place = &endpoint.locality;
        let place = [&place.region, &place.zone, &place.sub_zone]
            .map(String::as_str)
            .join("/");
        writeln!(
            out,
            "  {:?} weight {} at {place}{}",
            endpoint.address,
            endpoint.weight,
            match endpoint.priority {
                0 => String::new(),
                priority => format!(" level {priority}"),
            }
        )
        .expect("a string");
    }
    // What is default is left out, so that new settings change nothing here.
    let defaults = alba::Settings::default();
    let parts = [
        (balancing.policy != defaults.policy).then(|| format!("{:?}", balancing.policy)),
        (balancing.outlier_detection != defaults.outlier_detection)
            .then(|| format!("{:?}", balancing.outlier_detection)),
        (balancing.slow_start != defaults.slow_start)
            .then(|| format!("{:?}", balancing.slow_start)),
        (balancing.subset != defaults.subset).then(|| format!("{:?}", balancing.subset)),
        (balancing.locality != defaults.locality).then(|| format!("{:?}", balancing.locality)),
        (!hash.is_empty()).then(|| format!("hash {hash:?}")),
        user_locality
            .as_ref()
            .map(|place| format!("user {place:?}")),
        probe_path.as_ref().map(|path| format!("probes {path}")),
        admission.as_ref().map(|admission| format!("{admission:?}")),
    ];
    // Nor do new options that are not set.
    let parts = parts.into_iter().flatten();
    for part in parts.map(|part| without_nones(&part)) {
        writeln!(out, "  {part}").expect("a string");
    }
    if *connection_pool != mesh::ConnectionPool::default() {
        writeln!(out, "  {connection_pool:?}").expect("a string");
    }
    let tls = tls.as_ref().map(|tls| format!("{tls:?}"));
    let check = health_check.as_ref().map(|check| format!("{check:?}"));
    for part in [tls, check].into_iter().flatten() {
        writeln!(out, "  {part}").expect("a string");
    }
    out
}

fn without_nones(text: &str) -> String {
    let parts = text.split_inclusive(',');
    let mut out: String = parts
        .filter(|part| !part.trim_end_matches(',').ends_with(": None"))
        .collect();
    let last = out.rfind(": None }").and_then(|at| out[..at].rfind(','));
    if let Some(start) = last {
        let end = out[start..].find(" }").map_or(out.len(), |end| start + end);
        out.replace_range(start..end, "");
    }
    out
}

/// The folders of all cases.
pub(crate) fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = root.read_dir().expect("the cases");
    let mut cases: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 10, "cases are missing: {cases:?}");
    cases
}

/// The request lines of a case.
pub(crate) fn requests(case: &Path) -> String {
    std::fs::read_to_string(case.join("requests.txt")).unwrap_or_default()
}

#[test]
fn every_case_comes_out_as_written() {
    let mut wrong = Vec::new();
    for case in cases() {
        let actual = describe(&load(&files(&case), &Options::default()), &requests(&case));
        let expected_file = case.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected_file, &actual).expect("the expected file can be written");
        }
        let expected = std::fs::read_to_string(&expected_file).unwrap_or_default();
        if actual != expected {
            let differing = actual
                .lines()
                .zip(expected.lines())
                .find(|(actual, expected)| actual != expected);
            wrong.push(format!(
                "{}: first difference {differing:#?}\nactual:\n{actual}",
                case.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

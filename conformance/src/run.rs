//! Serves a folder and sends the requests of its checks.

use crate::check::Check;
use crate::known;
use crate::manifests::Manifests;
use crate::probe::Prober;
use crate::report::{Outcome, Row};
use crate::site::{Site, World};

/// Runs checks that share their documents, in their order.
pub(crate) async fn run_checks(world: &World, manifests: &Manifests, checks: &[Check]) -> Vec<Row> {
    let mut rows = Vec::new();
    // A client's namespace is an option of the binary, so that each needs a start of its own.
    let mut rest: Vec<&Check> = checks.iter().collect();
    while let Some(first) = rest.first() {
        let namespace = first.namespace.clone();
        let (these, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|check| check.namespace == namespace);
        rest = others;
        rows.extend(serve_and_run(world, manifests, namespace.as_deref(), &these).await);
    }
    rows
}

async fn serve_and_run(
    world: &World,
    manifests: &Manifests,
    namespace: Option<&str>,
    checks: &[&Check],
) -> Vec<Row> {
    let can_be_asked = checks.iter().any(|check| check.probe.is_ok());
    let mut site = match can_be_asked {
        true => Site::start(world, manifests.clone(), namespace)
            .await
            .map_err(|error| format!("{error:#}")),
        false => Err("nothing of it can be asked".to_owned()),
    };
    let mut rows = Vec::new();
    for check in checks {
        let outcome = match (&check.probe, &mut site) {
            (Err(why), _) => Outcome::Unsupported(why.clone()),
            (Ok(_), Err(why)) => known::judged(&check.id, Err(why.clone())),
            (Ok(probe), Ok(site)) => {
                let ready = match check.without {
                    Some(kind) => site.remove(kind).await,
                    None => Ok(()),
                };
                let verdict = match ready {
                    Ok(()) => Prober { site, world }.judge(probe).await,
                    Err(why) => Err(format!("{why:#}")),
                };
                known::judged(&check.id, verdict)
            }
        };
        rows.push(Row {
            id: check.id.clone(),
            title: check.title.clone(),
            outcome,
        });
    }
    rows
}

//! `admission`: tenants' shares while there is too much to do.

use std::time::Duration;

use super::learned::at_most;
use crate::decode::{Context, Fields, decimal, integer, map_of, positive_duration};
use crate::documents::consistent_hash::header_name;
use crate::model::Admission;
use crate::yaml::Node;

/// What waits longer is nobody's admission control any more, but a queue.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Reads `admission`. The defaults are those of [`alba::AdmissionSettings`], which gives the reasons.
pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Admission> {
    let mut fields = Fields::of(node, context)?;
    let tenant_header = fields.required("tenantHeader", header_name);
    let mut settings = alba::AdmissionSettings::default();
    let weights = fields.optional("weights", map_of(decimal(0.001..=1000.0)));
    for (name, weight) in weights.unwrap_or_default() {
        let tenant = Admission::tenant(name.as_bytes());
        settings.weights.insert(tenant, weight);
    }
    let share = fields.optional("deadlineShare", decimal(0.001..=1.0));
    settings.deadline_share = share.unwrap_or(settings.deadline_share);
    let wait = fields.optional("maxWait", |node, context| {
        at_most(positive_duration(node, context)?, MAX_WAIT, node, context)
    });
    settings.max_wait = wait.unwrap_or(settings.max_wait);
    let waiting = fields.optional("maxWaiting", integer(0..=1_000_000));
    settings.max_waiting = waiting.unwrap_or(settings.max_waiting);
    fields.finish();
    Some(Admission {
        tenant_header: tenant_header?,
        settings,
    })
}

//! A pick, from the moment it was made until the balancer is told what came of it.

use std::rc::Rc;

use alba::{Completion, LoadReport, Outcome, Pick};

use crate::clock;
use crate::snapshot::LocalCluster;

/// A pick that is completed exactly once, at the latest when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    cluster: Rc<LocalCluster>,
    pick: Option<Pick>,
    first_byte: Option<alba::Time>,
    /// What the endpoint said of its load.
    pub(crate) report: Option<LoadReport>,
    /// What the balancer is told; cancelled until something else is known.
    pub(crate) outcome: Outcome,
}

impl InFlight {
    pub(crate) fn new(cluster: Rc<LocalCluster>, pick: Pick) -> Self {
        Self {
            cluster,
            pick: Some(pick),
            first_byte: None,
            report: None,
            outcome: Outcome::Cancelled,
        }
    }

    /// The answer's head came.
    pub(crate) fn answered(&mut self, at: alba::Time) {
        self.first_byte = Some(at);
        if let Some(pick) = &mut self.pick {
            pick.answered(at);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(pick) = self.pick.take() {
            let mut completion = Completion::new(self.outcome, clock::now());
            if let Some(first_byte) = self.first_byte {
                completion = completion.with_first_byte(first_byte);
            }
            if let Some(report) = self.report {
                completion = completion.with_report(report);
            }
            self.cluster.shared.complete(pick, completion);
        }
    }
}

//! What goes from one process's balancer to the next one's.

use std::sync::atomic::Ordering;

use super::{Balancer, lock};
use crate::learned::seconds;
use crate::{EndpointId, Learned, LearnedEndpoint, OutlierDetection, Time};

impl Balancer {
    /// What another process that balances the same endpoints would have to learn again, as of `now`.
    pub fn learned(&self, now: Time) -> Learned {
        let states = self.by_id.iter().map(|position| {
            let state = &self.slots[*position as usize].state;
            state.recall(now)
        });
        let mut endpoints: Vec<_> = states.collect();
        // One that has two positions.
        endpoints.dedup_by_key(|endpoint| endpoint.id);
        Learned {
            pool: self.lineage.learned.learned(),
            endpoints,
            cursor: self.lineage.cursor.load(Ordering::Relaxed),
        }
    }

    /// Takes what another process learned, as of `now`: for a balancer that has not served yet. Ids that are not in
    /// the list are ignored, and so is whatever is absurd. Times before the epoch of `now` are taken as the epoch:
    /// let that be some time ago.
    pub fn restore(&self, learned: &Learned, now: Time) {
        self.lineage.learned.restore(&learned.pool);
        self.lineage.cursor.store(learned.cursor, Ordering::Relaxed);
        for endpoint in &learned.endpoints {
            if let Some(state) = self.state(EndpointId(endpoint.id)) {
                state.restore(endpoint, now);
            }
        }
        if let Some(outlier) = &self.settings.outlier_detection {
            self.restore_ejections(&learned.endpoints, outlier, now);
        }
        if let Some(slow_start) = self.settings.eases() {
            self.lineage.ease(slow_start, now);
        }
        self.lineage.changed();
    }

    fn restore_ejections(
        &self,
        endpoints: &[LearnedEndpoint],
        outlier: &OutlierDetection,
        now: Time,
    ) {
        let _ejecting = lock(&self.lineage.ejecting);
        for endpoint in endpoints {
            if let Some(state) = self.state(EndpointId(endpoint.id)) {
                let left = endpoint.ejected_for_s.and_then(seconds);
                let left = left.filter(|_| self.may_eject(outlier));
                let in_row = endpoint.ejections_in_row;
                let base = outlier.base_ejection_time;
                state.outlier.relearn(left, in_row, base, now);
            }
        }
    }
}

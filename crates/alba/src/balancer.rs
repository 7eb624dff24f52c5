//! The balancer: one immutable list of endpoints over shared state.

mod deadlines;
mod memory;
mod picking;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use self::deadlines::{MIN_INTERVAL, NEVER};
use crate::division::Division;
use crate::endpoint::EndpointState;
use crate::policy;
use crate::policy::alba::pool::PoolLearned;
use crate::policy::alba::probing::Probing;
use crate::policy::alba::ring::Ring;
use crate::policy::alba::{self, Shared};
use crate::pool::{Pool, Slot};
use crate::subset::Ranking;
use crate::{
    Completion, Endpoint, EndpointId, EndpointView, LoadReport, LocalityPolicy, Observation,
    Outcome, Pick, Policy, Probe, Settings, SlowStart, Time,
};

/// Picks endpoints. All threads of a process share one; a change of documents or of discovered endpoints
/// makes a successor with [`Balancer::apply`] that keeps what was learned.
///
/// [`pick`](Self::pick) and [`complete`](Self::complete) take no lock and allocate nothing, except that the
/// first pick after a change of health or ejection packs the available endpoints anew.
#[derive(Debug)]
pub struct Balancer {
    settings: Settings,
    endpoints: Box<[Endpoint]>,
    slots: Box<[Slot]>,
    /// Positions in order of id.
    by_id: Box<[u32]>,
    /// Priority levels or weighted localities, if there are any.
    division: Option<Division>,
    /// The order in which a subset is chosen, if there is one.
    ranking: Option<Ranking>,
    lineage: Arc<Lineage>,
    pool: ArcSwap<Pool>,
    /// Held while `pool` is packed anew.
    packing: Mutex<()>,
    /// The learned policy's newest reports.
    ring: Ring,
    /// Whom the learned policy wants to ask.
    probing: Probing,
}

/// What a balancer shares with its successors, besides the endpoints' own states.
#[derive(Debug)]
struct Lineage {
    /// Counts changes of health and ejection; a pool of another epoch is stale. The changes themselves are
    /// made before the count goes up (release) and read after it is read (acquire).
    epoch: AtomicU64,
    /// When the next sweep is due, in [`Time`]'s nanoseconds. Shared, so that frequent reloads cannot put
    /// it off for ever.
    next_sweep: AtomicU64,
    /// When slow start wants weights laid out again; none is being eased in at [`NEVER`].
    next_easing: AtomicU64,
    /// As of when slow start's weights are laid out.
    weighed_at: AtomicU64,
    /// Round robin's turn.
    cursor: AtomicU64,
    /// All picks in flight that were made under a [`LoadBound`](crate::LoadBound). Others leave it alone: every
    /// thread would write it twice a request.
    in_flight: Arc<AtomicU32>,
    /// Held while endpoints are ejected or brought back.
    ejecting: Mutex<()>,
    /// What the learned policy knows of all endpoints together.
    learned: PoolLearned,
}

impl Lineage {
    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Someone is eased in from `now` on.
    fn ease(&self, slow_start: &SlowStart, now: Time) {
        self.weighed_at.fetch_max(now.as_nanos(), Ordering::Relaxed);
        let next = (now + slow_start.step()).as_nanos();
        self.next_easing.fetch_min(next, Ordering::Relaxed);
    }

    fn weighed_at(&self) -> Time {
        Time::from_nanos(self.weighed_at.load(Ordering::Relaxed))
    }
}

impl Balancer {
    /// A balancer that has learned nothing yet. Endpoints start healthy.
    ///
    /// An id that appears twice is one endpoint with two positions.
    pub fn new(settings: Settings, endpoints: &[Endpoint], now: Time) -> Self {
        let lineage = Lineage {
            epoch: AtomicU64::new(0),
            next_sweep: AtomicU64::new(NEVER),
            next_easing: AtomicU64::new(NEVER),
            weighed_at: AtomicU64::new(now.as_nanos()),
            cursor: AtomicU64::new(0),
            in_flight: Arc::default(),
            ejecting: Mutex::new(()),
            learned: PoolLearned::new(),
        };
        Self::build(settings, endpoints, now, Arc::new(lineage), None)
    }

    /// A successor for a new list: endpoints whose id is in both keep their in-flight counts, estimates,
    /// health and ejection. Switching outlier detection off brings ejected endpoints back. Health that
    /// active checks set stays until [`set_health`](Self::set_health) says otherwise.
    pub fn apply(&self, settings: Settings, endpoints: &[Endpoint], now: Time) -> Self {
        let lineage = Arc::clone(&self.lineage);
        Self::build(settings, endpoints, now, lineage, Some(self))
    }

    fn build(
        settings: Settings,
        endpoints: &[Endpoint],
        now: Time,
        lineage: Arc<Lineage>,
        ancestor: Option<&Self>,
    ) -> Self {
        let mut slots: Box<[Slot]> = endpoints
            .iter()
            .map(|endpoint| {
                let known = ancestor.and_then(|ancestor| ancestor.state(endpoint.id));
                let state = known.map_or_else(
                    || {
                        let state = EndpointState::new(endpoint.id, now);
                        if ancestor.is_some_and(|ancestor| !ancestor.is_empty()) {
                            state.joined.set(now);
                        }
                        Arc::new(state)
                    },
                    Arc::clone,
                );
                Slot {
                    state,
                    weight: endpoint.weight.max(1),
                    price_s: match (&settings.policy, &settings.locality) {
                        (Policy::Alba(parameters), LocalityPolicy::Prices) => {
                            alba::price_s(parameters, &settings.origin, &endpoint.locality)
                        }
                        _ => 0.0,
                    },
                }
            })
            .collect();
        let by_id = sort_by_id(&mut slots);
        match &settings.outlier_detection {
            Some(outlier) => {
                let due = now + outlier.interval.max(MIN_INTERVAL);
                lineage
                    .next_sweep
                    .fetch_min(due.as_nanos(), Ordering::Relaxed);
            }
            None => {
                let _ejecting = lock(&lineage.ejecting);
                let restored = slots
                    .iter()
                    .filter(|slot| slot.state.outlier.restore())
                    .count();
                if restored > 0 {
                    lineage.changed();
                }
                lineage.next_sweep.store(NEVER, Ordering::Relaxed);
            }
        }
        if let Some(slow_start) = settings.eases() {
            lineage.ease(slow_start, now);
        }
        let division = Division::new(&settings, endpoints);
        let ranking = settings
            .subset
            .as_ref()
            .map(|subset| Ranking::new(subset, &settings.origin, endpoints, &slots));
        let epoch = lineage.epoch.load(Ordering::Acquire);
        let weighed_at = lineage.weighed_at();
        let (divided, ranked) = (division.as_ref(), ranking.as_ref());
        let pool = Pool::build(&slots, divided, ranked, &settings, epoch, weighed_at);
        Self {
            settings,
            endpoints: endpoints.into(),
            slots,
            by_id,
            division,
            ranking,
            lineage,
            pool: ArcSwap::from_pointee(pool),
            packing: Mutex::new(()),
            ring: Ring::default(),
            probing: Probing::default(),
        }
    }

    /// Ends an attempt. Any balancer of the same lineage may be told, older or newer than the one that
    /// picked; it goes by its own settings.
    pub fn complete(&self, pick: Pick, done: Completion) {
        let state = &*pick.state;
        if let Policy::Alba(parameters) = &self.settings.policy {
            let position = self.position(state, pick.index());
            let sent = (pick.sent(), pick.queue);
            alba::complete(state, position, parameters, self.shared(), sent, &done);
        }
        let decay = self.decay();
        match done.outcome {
            Outcome::Cancelled => {}
            Outcome::Success => {
                state.count_success();
                let latency = done.first_byte.unwrap_or(done.at).since(pick.sent());
                state.latency.record(latency.as_secs_f64(), done.at, decay);
            }
            _ => {
                state.count_failure();
                policy::record_failure(state, done.at, decay);
            }
        }
        if let Some(outlier) = &self.settings.outlier_detection
            && state.outlier.observe(done.outcome, outlier)
        {
            self.eject(state, outlier, done.at);
        }
        drop(pick);
    }

    /// The endpoint to ask for a report now, if any: its own is old and the budget allows it. To be asked
    /// after every pick, where endpoints answer such questions.
    pub fn probe(&self, now: Time) -> Option<Probe> {
        let Policy::Alba(parameters) = &self.settings.policy else {
            return None;
        };
        if parameters.without.probes {
            return None;
        }
        let index = self.probing.next(parameters, now)?;
        let state = &self.slots[index as usize].state;
        state.learned.begin_probe().then(|| Probe {
            state: Arc::clone(state),
            index,
        })
    }

    /// What came of a probe at `at`: the report, or `None` if there was no answer that could be read.
    pub fn probed(&self, probe: Probe, report: Option<&LoadReport>, at: Time) {
        if let Some(report) = report {
            self.take_report(&probe.state, probe.index, report, true, at);
        }
        drop(probe);
    }

    /// Takes a report that an endpoint sent by itself, at `at`. Ids that are not in the list are ignored.
    pub fn observe(&self, id: EndpointId, report: &LoadReport, at: Time) {
        if let Some(position) = self.find(id) {
            let state = &self.slots[position as usize].state;
            self.take_report(state, position, report, false, at);
        }
    }

    /// What to tell other dispatchers, an entry per endpoint. Successes and failures are those since the last
    /// call, by whichever balancer of the lineage.
    pub fn observations(&self, now: Time) -> Vec<Observation> {
        let mut told = Vec::with_capacity(self.slots.len());
        for &position in &self.by_id {
            let state = &self.slots[position as usize].state;
            let mut observation = Observation::none(state.id);
            observation.in_flight = state.in_flight();
            observation.ejections = u32::from(state.outlier.is_ejected());
            let (outcomes, awaited) = (state.outcomes(), state.awaited());
            state.learned.tell(&mut observation, outcomes, awaited, now);
            told.push(observation);
        }
        told
    }

    /// Takes what all other dispatchers told, put together by endpoint. An endpoint that is missing was not
    /// seen by any; ids that are not in the list are ignored.
    pub fn learn(&self, others: &[Observation], now: Time) {
        let Policy::Alba(parameters) = &self.settings.policy else {
            return;
        };
        if parameters.without.shared {
            return;
        }
        for told in others {
            if let Some(position) = self.find(told.id) {
                self.slots[position as usize].state.learned.learn(told, now);
            }
        }
    }

    /// Takes the verdict of active checks. Ids that are not in the list are ignored. A good check does not
    /// end an ejection: an endpoint can pass its check and still fail its users. One that is well again at
    /// `now` is eased in like a new one ([`SlowStart`](crate::SlowStart)).
    pub fn set_health(&self, id: EndpointId, healthy: bool, now: Time) {
        let Some(state) = self.state(id) else {
            return;
        };
        if state.set_healthy(healthy) {
            if healthy {
                state.joined.set(now);
                if let Some(slow_start) = self.settings.eases() {
                    self.lineage.ease(slow_start, now);
                }
            }
            self.lineage.changed();
        }
    }

    /// Every endpoint as it is at `now`, in the order of the list.
    pub fn endpoints(&self, now: Time) -> impl Iterator<Item = EndpointView<'_>> {
        let slow_start = self.settings.eases();
        let pool = Guard::into_inner(self.fresh_pool());
        (0_u32..).zip(self.endpoints.iter().zip(&self.slots)).map(
            move |(index, (endpoint, slot))| {
                let used = pool.has(index);
                let effective_weight = if used {
                    f64::from(slot.weight) * slot.fraction(slow_start, now)
                } else {
                    0.0
                };
                let mut view = slot.state.view(index, endpoint, effective_weight);
                if let Policy::Alba(parameters) = &self.settings.policy {
                    let (slowness, report_age) =
                        alba::view(&slot.state, parameters, &self.lineage.learned, now);
                    (view.slowness, view.report_age) = (slowness, report_age);
                }
                view
            },
        )
    }

    /// Endpoints in the list.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Endpoints that are healthy and not ejected.
    pub fn available(&self) -> usize {
        self.fresh_pool().available() as usize
    }

    /// Whether so few endpoints are available, at least in one priority level, that health and ejection are
    /// ignored there (`min_health_percent`).
    pub fn is_panicking(&self) -> bool {
        self.fresh_pool().is_panicking()
    }

    /// What it goes by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn shared(&self) -> Shared<'_> {
        Shared {
            pool: &self.lineage.learned,
            ring: &self.ring,
            probing: &self.probing,
        }
    }

    fn take_report(
        &self,
        state: &EndpointState,
        index: u32,
        report: &LoadReport,
        asked: bool,
        at: Time,
    ) {
        if let Policy::Alba(parameters) = &self.settings.policy
            && let Some(position) = self.position(state, index)
        {
            alba::reported(
                state,
                position,
                parameters,
                self.shared(),
                report,
                asked,
                at,
            );
        }
    }

    /// Where `state` stands in this list; `index` is where it stood in the one that picked.
    fn position(&self, state: &EndpointState, index: u32) -> Option<u32> {
        let at_index = self.slots.get(index as usize);
        match at_index {
            Some(slot) if slot.state.id == state.id => Some(index),
            _ => self.find(state.id),
        }
    }

    fn find(&self, id: EndpointId) -> Option<u32> {
        let id_at = |position: u32| self.slots[position as usize].state.id;
        let found = self
            .by_id
            .binary_search_by_key(&id, |&position| id_at(position))
            .ok()?;
        Some(self.by_id[found])
    }

    fn state(&self, id: EndpointId) -> Option<&Arc<EndpointState>> {
        self.find(id)
            .map(|position| &self.slots[position as usize].state)
    }

    /// The pool for a pick: if it is stale and another thread is already packing it, the stale one will do.
    fn pool(&self) -> Guard<Arc<Pool>> {
        let pool = self.pool.load();
        if pool.epoch() == self.lineage.epoch.load(Ordering::Acquire) {
            return pool;
        }
        match self.packing.try_lock() {
            Ok(packing) => self.pack(&packing),
            Err(_) => pool,
        }
    }

    /// The pool as of now.
    fn fresh_pool(&self) -> Guard<Arc<Pool>> {
        self.pack(&lock(&self.packing))
    }

    fn pack(&self, _packing: &MutexGuard<'_, ()>) -> Guard<Arc<Pool>> {
        let epoch = self.lineage.epoch.load(Ordering::Acquire);
        let pool = self.pool.load();
        if pool.epoch() == epoch {
            return pool;
        }
        let pool = Pool::build(
            &self.slots,
            self.division.as_ref(),
            self.ranking.as_ref(),
            &self.settings,
            epoch,
            self.lineage.weighed_at(),
        );
        self.pool.store(Arc::new(pool));
        self.pool.load()
    }

    fn decay(&self) -> Duration {
        match self.settings.policy {
            Policy::PeakEwma { decay, .. } => decay,
            _ => policy::DEFAULT_DECAY,
        }
    }
}

/// Positions in order of id; positions of the same id are made to share one state.
fn sort_by_id(slots: &mut [Slot]) -> Box<[u32]> {
    let mut by_id: Box<[u32]> = (0..slots.len() as u32).collect();
    by_id.sort_unstable_by_key(|&position| (slots[position as usize].state.id, position));
    for pair in by_id.windows(2) {
        let [first, second] = [pair[0] as usize, pair[1] as usize];
        if slots[first].state.id == slots[second].state.id {
            slots[second].state = Arc::clone(&slots[first].state);
        }
    }
    by_id
}

/// Nothing is left half-done under these locks, so one that a panicking thread held is still good.
fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

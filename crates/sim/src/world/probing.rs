//! Probes, and reports that come by themselves.
//!
//! A server answers a probe apart from its requests, within the network's round trip.

use alba::LoadReport;

use super::agenda::Event;
use super::{World, seconds};
use crate::scenario::{FailingReports, ReportsBy};

/// A probe without an answer is given up.
const PROBE_TIMEOUT_S: f64 = 1.0;

/// Probes under way, and reports that come by themselves.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    probes: Vec<Probe>,
    free: Vec<u32>,
    wanted: Vec<u32>,
    sent: Vec<(u32, LoadReport)>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    dispatcher: u32,
    server: u32,
    sent: u64,
    report: Option<LoadReport>,
}

impl World<'_> {
    /// Sends the probes that a dispatcher wants now.
    pub(super) fn ask_for_probes(&mut self, number: u32) {
        let time = self.time();
        let mut wanted = std::mem::take(&mut self.probing.wanted);
        wanted.clear();
        let dispatcher = &mut self.dispatchers[number as usize];
        dispatcher
            .policy
            .probes(time, &mut dispatcher.rng, &mut wanted);
        for &server in &wanted {
            let probe = Probe {
                dispatcher: number,
                server,
                sent: self.now,
                report: None,
            };
            let slot = match self.probing.free.pop() {
                Some(slot) => {
                    self.probing.probes[slot as usize] = probe;
                    slot
                }
                None => {
                    self.probing.probes.push(probe);
                    self.probing.probes.len() as u32 - 1
                }
            };
            self.recorder.probes += u64::from(self.is_measured());
            let way = self.way(number, server);
            let at = self.now + self.delays[way as usize];
            self.agenda.send(at, way, Event::Probe { probe: slot });
        }
        self.probing.wanted = wanted;
    }

    pub(super) fn probe_reaches(&mut self, slot: u32) {
        let probe = self.probing.probes[slot as usize];
        let server = &self.servers[probe.server as usize];
        let refused = server.crashed || server.left;
        let mute = server.failing_reports == Some(FailingReports::None);
        let report = match server.is_serving() && !mute && self.scenario.reports.probes {
            true => self.report(probe.server),
            false => None,
        };
        // One that was lost is missed as late as one that hangs.
        let answered = report.is_some() || refused || mute || !self.scenario.reports.probes;
        self.probing.probes[slot as usize].report = report;
        let event = Event::Probed { probe: slot };
        if answered && !self.servers[probe.server as usize].hung {
            let way = self.way(probe.dispatcher, probe.server);
            let at = self.now + self.delays[way as usize];
            self.agenda.send(at, way, event);
        } else {
            let at = probe.sent + seconds(PROBE_TIMEOUT_S);
            self.agenda.add(at.max(self.now), event);
        }
    }

    pub(super) fn probe_returns(&mut self, slot: u32) {
        let probe = self.probing.probes[slot as usize];
        self.probing.free.push(slot);
        let time = self.time();
        let dispatcher = &mut self.dispatchers[probe.dispatcher as usize];
        dispatcher
            .policy
            .probed(time, probe.server, probe.report.as_ref());
    }

    pub(super) fn send_reports(&mut self) {
        let interval = seconds(self.scenario.reports.interval_s);
        self.agenda.add(self.now + interval, Event::SendReports);
        self.agenda
            .add(self.now + self.delays[0], Event::DeliverReports);
        self.probing.sent.clear();
        for number in 0..self.servers.len() as u32 {
            if self.servers[number as usize].is_serving()
                && let Some(report) = self.report(number)
            {
                self.probing.sent.push((number, report));
            }
        }
    }

    pub(super) fn deliver_reports(&mut self) {
        let time = self.time();
        let reports = (self.probing.sent.len() * self.dispatchers.len()) as u64;
        self.recorder.reports += if self.is_measured() { reports } else { 0 };
        for dispatcher in &mut self.dispatchers {
            for (server, report) in &self.probing.sent {
                dispatcher.policy.reported(time, *server, report);
            }
        }
    }

    /// Whether servers send reports by themselves.
    pub(super) fn reports_by_themselves(&self) -> bool {
        self.scenario.reports.by == ReportsBy::OutOfBand
    }
}

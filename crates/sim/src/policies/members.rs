//! The servers that a baseline may use, with what it remembers of each.

use std::ops::{Index, IndexMut};

use alba::{Locality, Rng};

use crate::policy::Server;

/// Servers in use, and a state per server that outlives its absence: numbers are never used again.
#[derive(Debug, Default)]
pub(super) struct Members<S> {
    list: Vec<Server>,
    /// By server number.
    states: Vec<S>,
    /// By server number.
    in_use: Vec<bool>,
}

impl<S: Default> Members<S> {
    /// Replaces the servers in use, and returns those that were not in use before. States stay.
    pub(super) fn set(&mut self, servers: &[(Server, Locality)]) -> Vec<Server> {
        let before = std::mem::take(&mut self.in_use);
        self.list.clear();
        for &(server, _) in servers {
            let end = server as usize + 1;
            if self.states.len() < end {
                self.states.resize_with(end, S::default);
            }
            self.list.push(server);
        }
        self.in_use = vec![false; self.states.len()];
        for &server in &self.list {
            self.in_use[server as usize] = true;
        }
        let newcomer = |server: &Server| before.get(*server as usize) != Some(&true);
        self.list.iter().copied().filter(newcomer).collect()
    }

    /// Servers in use, in the order they were given.
    pub(super) fn list(&self) -> &[Server] {
        &self.list
    }

    /// Whether a server is in use.
    pub(super) fn contains(&self, server: Server) -> bool {
        self.in_use.get(server as usize) == Some(&true)
    }

    /// The servers in use that were not tried; all of them if all were.
    pub(super) fn untried<'a>(
        &'a self,
        tried: &'a [Server],
    ) -> impl Iterator<Item = Server> + Clone + 'a {
        let all = self.list.iter().all(|server| tried.contains(server));
        self.list
            .iter()
            .copied()
            .filter(move |server| all || !tried.contains(server))
    }

    /// Uniformly one of [`untried`](Self::untried); `None` without servers.
    pub(super) fn random(&self, tried: &[Server], rng: &mut Rng) -> Option<Server> {
        if tried.is_empty() {
            return self.nth(rng.below(self.list.len() as u32));
        }
        let untried = self.untried(tried);
        let count = untried.clone().count() as u32;
        untried.clone().nth(rng.below(count) as usize)
    }

    /// Two different ones of [`untried`](Self::untried), uniformly; the same twice if there is only one.
    pub(super) fn random_pair(&self, tried: &[Server], rng: &mut Rng) -> Option<(Server, Server)> {
        let mut untried = self.untried(tried);
        let count = untried.clone().count() as u32;
        let first = rng.below(count);
        let mut second = rng.below(count.saturating_sub(1));
        if second >= first && count > 1 {
            second += 1;
        }
        let first = untried.clone().nth(first as usize)?;
        Some((first, untried.nth(second as usize)?))
    }

    /// The one of [`untried`](Self::untried) with the least cost, a random one of several; `None` without
    /// servers.
    pub(super) fn cheapest(
        &self,
        tried: &[Server],
        rng: &mut Rng,
        cost: impl Fn(Server, &S) -> f64,
    ) -> Option<Server> {
        let costs = self.untried(tried);
        least(
            costs.map(|server| (server, cost(server, &self.states[server as usize]))),
            rng,
        )
    }

    fn nth(&self, position: u32) -> Option<Server> {
        self.list.get(position as usize).copied()
    }
}

/// The server with the least cost, a random one of several; `None` of none.
pub(super) fn least(costs: impl Iterator<Item = (Server, f64)>, rng: &mut Rng) -> Option<Server> {
    let (mut best, mut least, mut ties) = (None, f64::INFINITY, 0);
    for (server, cost) in costs {
        if best.is_none() || cost < least {
            (best, least, ties) = (Some(server), cost, 1);
        } else if cost == least {
            ties += 1;
            if rng.below(ties) == 0 {
                best = Some(server);
            }
        }
    }
    best
}

impl<S> Index<Server> for Members<S> {
    type Output = S;

    fn index(&self, server: Server) -> &S {
        &self.states[server as usize]
    }
}

impl<S> IndexMut<Server> for Members<S> {
    fn index_mut(&mut self, server: Server) -> &mut S {
        &mut self.states[server as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(servers: &[Server]) -> Members<u32> {
        let mut members = Members::default();
        set(&mut members, servers);
        members
    }

    fn set(members: &mut Members<u32>, servers: &[Server]) -> Vec<Server> {
        let servers: Vec<_> = servers.iter().map(|s| (*s, Locality::default())).collect();
        members.set(&servers)
    }

    #[test]
    fn states_outlive_a_servers_absence() {
        let mut members = members(&[0, 4]);
        members[4] = 7;
        assert!(set(&mut members, &[0]).is_empty());
        assert!(!members.contains(4) && !members.contains(9));
        assert_eq!(set(&mut members, &[4, 5]), [4, 5]);
        assert!(members.contains(4) && members.contains(5) && !members.contains(0));
        assert_eq!((members[4], members[5]), (7, 0));
    }

    #[test]
    fn tried_servers_come_again_only_when_nothing_else_is_left() {
        let members = members(&[3, 5, 8]);
        let mut rng = Rng::seeded(1);
        for _ in 0..100 {
            assert_eq!(members.random(&[3, 8], &mut rng), Some(5));
            assert_eq!(
                members.random_pair(&[5], &mut rng).map(|(a, b)| a + b),
                Some(11)
            );
            assert_eq!(
                members.cheapest(&[3], &mut rng, |s, _| f64::from(s)),
                Some(5)
            );
        }
        assert!(members.random(&[3, 5, 8], &mut rng).is_some());
        assert_eq!(Members::<u32>::default().random(&[], &mut rng), None);
        assert_eq!(Members::<u32>::default().random_pair(&[], &mut rng), None);
    }

    #[test]
    fn draws_and_ties_are_uniform() {
        let members = members(&[0, 1, 2, 3]);
        let mut rng = Rng::seeded(2);
        let (mut drawn, mut pairs, mut tied) = ([0; 4], [[0; 4]; 4], [0; 4]);
        for _ in 0..12_000 {
            drawn[members.random(&[], &mut rng).unwrap() as usize] += 1;
            let (first, second) = members.random_pair(&[], &mut rng).unwrap();
            pairs[first as usize][second as usize] += 1;
            let cost = |server, _: &u32| f64::from(u32::from(server == 1));
            tied[members.cheapest(&[], &mut rng, cost).unwrap() as usize] += 1;
        }
        assert!(
            drawn.iter().all(|n| (2_800..3_200).contains(n)),
            "seed 2: {drawn:?}"
        );
        for (first, row) in pairs.iter().enumerate() {
            for (second, &count) in row.iter().enumerate() {
                let expected = if first == second { 0..1 } else { 880..1_120 };
                assert!(expected.contains(&count), "seed 2: {pairs:?}");
            }
        }
        assert_eq!(tied[1], 0);
        assert!(
            [0, 2, 3].iter().all(|&s| (3_800..4_200).contains(&tied[s])),
            "seed 2: {tied:?}"
        );
    }
}

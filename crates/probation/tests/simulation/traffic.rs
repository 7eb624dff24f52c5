//! Seeded traffic, from calm to rough, and probations over it. Shared by the tests and the example that prints the
//! operating characteristics.

use probation::{Counts, Design, Gate, Histogram, Probation, Tick, Verdict};

const TICK_SECONDS: f64 = 0.2;

/// What the machine and the servers do on their own, whatever the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Independent requests, a stationary and moderately long tail, no failures.
    Calm,
    /// Calm, but one request in a hundred fails and one in twenty is refused.
    Failing,
    /// Latencies wander (AR(1) per tick, 15 %), have a heavy tail, and the whole machine stops for 50 to 300 ms twice
    /// a minute; one request in 500 fails.
    Noisy,
    /// Noisy, and a neighbour takes the machine every half minute or so for about ten seconds: all latencies are then
    /// a quarter longer, and one in twenty three times as long.
    Crowded,
    /// Noisy, and something else takes the machine every 40 s for about two seconds: all latencies are then four times as
    /// long.
    Starved,
    /// Noisy, and latencies grow by a fifth each minute, the load swings by half, failures come in bursts of about
    /// a second (every tenth request) three times a minute.
    Rough,
}

/// What the new generation does to requests that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Nothing.
    None,
    /// Two in a hundred fail.
    Errors2,
    /// Five in a hundred take 100 ms longer.
    Slow5,
    /// One in ten goes to an endpoint that refuses.
    Dead10,
}

/// How the two generations are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    /// That share of requests, at the same time.
    Canary(f64),
    /// A window of the same length before.
    Before,
}

/// One probation's setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) weather: Weather,
    pub(crate) harm: Harm,
    pub(crate) requests_per_second: f64,
    pub(crate) seconds: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The last verdict.
    pub(crate) verdict: Verdict,
    /// Seconds until it was given.
    pub(crate) seconds: f64,
    /// The share of requests that the new generation served.
    pub(crate) exposed: f64,
}

/// Bounds from 0.1 ms to a minute, each 12 % above the one before.
pub(crate) fn bounds() -> Vec<f64> {
    let mut bounds = vec![1e-4];
    while let Some(&last) = bounds.last()
        && last < 60.0
    {
        bounds.push(last * 1.12);
    }
    bounds
}

impl Case {
    /// One probation; the same seed gives the same one.
    pub(crate) fn run(&self, gate: Gate, seed: u64) -> Outcome {
        let mut world = World::new(self, seed);
        let ticks = self.seconds * probation::TICKS_PER_SECOND;
        let design = match self.plan {
            Plan::Canary(share) => Design::Canary { share },
            Plan::Before => Design::Before {
                baseline: (0..ticks).map(|_| world.tick(0.0).0).collect(),
                busy: 0.3,
            },
        };
        let mut probation = Probation::new(gate, design).expect("the share is between 0 and 1");
        let share = match self.plan {
            Plan::Canary(share) => share,
            Plan::Before => 1.0,
        };
        let (mut exposed, mut all) = (0.0, 0.0);
        let mut tick = 0;
        let verdict = loop {
            let (old, new) = world.tick(share);
            exposed += new.requests as f64;
            all += (new.requests + old.requests) as f64;
            let baseline = (share < 1.0).then_some(old);
            probation.observe(&Tick {
                new,
                baseline,
                busy: 0.3,
            });
            tick += 1;
            let verdict = probation.verdict(tick == ticks);
            if verdict != Verdict::Continue {
                break verdict;
            }
        };
        Outcome {
            verdict,
            seconds: f64::from(tick) * TICK_SECONDS,
            exposed: if all > 0.0 { exposed / all } else { 0.0 },
        }
    }
}

struct World {
    rng: fastrand::Rng,
    weather: Weather,
    harm: Harm,
    per_tick: f64,
    seconds: f64,
    /// The wandering part of the logarithm of latency.
    level: f64,
    /// Whether a neighbour has the machine.
    crowded: bool,
    /// Ticks left of a burst of failures.
    burst: u32,
    empty: Histogram,
    tail: Vec<f64>,
}

impl World {
    fn new(case: &Case, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rough = !matches!(case.weather, Weather::Calm | Weather::Failing);
        let mut world = Self {
            weather: case.weather,
            harm: case.harm,
            per_tick: case.requests_per_second * TICK_SECONDS,
            seconds: rng.f64() * 60.0,
            level: 0.0,
            crowded: case.weather == Weather::Crowded && rng.f64() < 0.25,
            burst: 0,
            empty: Histogram::new(&bounds()),
            tail: quantiles(rough),
            rng,
        };
        world.level = 0.15 * normal(&mut world.rng);
        world
    }

    /// A tick's counts of the old generation and of the new one, which gets each request with probability `share`.
    fn tick(&mut self, share: f64) -> (Counts, Counts) {
        let empty = || Counts {
            latency: self.empty.emptied(),
            ..Counts::default()
        };
        let (mut old, mut new) = (empty(), empty());
        let sky = self.sky();
        for _ in 0..poisson(&mut self.rng, self.per_tick * sky.load) {
            let is_new = self.rng.f64() < share;
            let harm = if is_new { self.harm } else { Harm::None };
            let counts = if is_new { &mut new } else { &mut old };
            let draw = self.rng.usize(..self.tail.len());
            let mut latency = self.tail[draw] * sky.slowdown;
            if self.rng.f64() < sky.stretched {
                latency *= 3.0;
            }
            latency += self.rng.f64() * sky.stopped;
            if harm == Harm::Slow5 && self.rng.f64() < 0.05 {
                latency += 0.1;
            }
            let broken = match harm {
                Harm::Errors2 => self.rng.f64() < 0.02,
                Harm::Dead10 => self.rng.f64() < 0.1,
                Harm::None | Harm::Slow5 => false,
            };
            counts.requests += 1;
            if broken || self.rng.f64() < sky.failing {
                counts.failures += 1;
            } else if self.rng.f64() < sky.refused {
                counts.rejections += 1;
            }
            counts.latency.record(latency);
        }
        (old, new)
    }

    /// What the weather does in the next tick.
    fn sky(&mut self) -> Sky {
        self.seconds += TICK_SECONDS;
        let mut sky = Sky {
            load: 1.0,
            slowdown: 1.0,
            stopped: 0.0,
            failing: 0.0,
            refused: 0.0,
            stretched: 0.0,
        };
        match self.weather {
            Weather::Calm => return sky,
            Weather::Failing => {
                (sky.failing, sky.refused) = (0.01, 0.05);
                return sky;
            }
            Weather::Noisy | Weather::Crowded | Weather::Starved | Weather::Rough => {}
        }
        // Forgets within about four seconds.
        let kept: f64 = 0.95;
        self.level = kept * self.level + 0.15 * (1.0 - kept * kept).sqrt() * normal(&mut self.rng);
        sky.slowdown = self.level.exp();
        if self.rng.f64() < TICK_SECONDS / 30.0 {
            sky.stopped = 0.05 + 0.25 * self.rng.f64();
        }
        (sky.failing, sky.refused) = (0.002, 0.01);
        if self.weather == Weather::Crowded {
            let change = if self.crowded { 10.0 } else { 30.0 };
            self.crowded ^= self.rng.f64() < TICK_SECONDS / change;
            if self.crowded {
                sky.slowdown *= 1.25;
                sky.stretched = 0.05;
            }
        }
        if self.weather == Weather::Starved {
            let change = if self.crowded { 2.0 } else { 40.0 };
            self.crowded ^= self.rng.f64() < TICK_SECONDS / change;
            if self.crowded {
                sky.slowdown *= 4.0;
            }
        }
        if self.weather == Weather::Rough {
            sky.slowdown *= 1.2_f64.powf(self.seconds / 60.0);
            sky.load = 1.0 + 0.5 * (self.seconds / 20.0 * std::f64::consts::TAU).sin();
            if self.rng.f64() < TICK_SECONDS / 20.0 {
                self.burst = 5;
            }
            if self.burst > 0 {
                self.burst -= 1;
                sky.failing = 0.1;
            }
        }
        sky
    }
}

struct Sky {
    load: f64,
    slowdown: f64,
    /// Seconds for which the machine stands still.
    stopped: f64,
    failing: f64,
    refused: f64,
    /// The share of requests that take three times as long.
    stretched: f64,
}

/// Equally likely latencies in seconds: log-normal around 5 ms; if rough, one in twenty has a Pareto tail (index 1.5).
fn quantiles(rough: bool) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..20_000)
        .map(|draw| {
            let body = 0.005 * (0.5 * normal(&mut rng)).exp();
            if rough && draw % 20 == 0 {
                body * (1.0 - rng.f64()).powf(-1.0 / 1.5)
            } else {
                body
            }
        })
        .collect()
}

fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Knuth's way for few, the normal's for many.
fn poisson(rng: &mut fastrand::Rng, mean: f64) -> u64 {
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    let least = (-mean).exp();
    let (mut count, mut product) = (0, rng.f64());
    while product > least {
        count += 1;
        product *= rng.f64();
    }
    count
}

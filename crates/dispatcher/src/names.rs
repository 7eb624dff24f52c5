//! Endpoints' names, looked up as often as their answers say.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{TokioResolver, system_conf};
use tokio::task::JoinSet;

/// An answer is believed for at least so long, whatever it says: a name server should not be asked for every request.
const MIN_TTL: Duration = Duration::from_secs(1);

/// And at most for so long: a day's time to live would outlast many a move.
const MAX_TTL: Duration = Duration::from_secs(300);

/// After a failure; doubles with each further one, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// See above.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Look-ups at a time, so that a thousand names do not flood a name server.
const AT_A_TIME: usize = 16;

/// What says how names are looked up.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// In the answer's order, IPv4 before IPv6; never empty.
    pub(crate) addresses: Vec<IpAddr>,
    /// How long it may be believed.
    ttl: Duration,
}

/// Asks the name servers of `/etc/resolv.conf`, after `/etc/hosts`.
#[derive(Debug)]
struct Resolver {
    resolver: Option<TokioResolver>,
    /// Asked instead of those that the system names.
    server: Option<SocketAddr>,
    seen: [Option<SystemTime>; FILES.len()],
}

impl Resolver {
    fn new(server: Option<SocketAddr>) -> Self {
        Self {
            resolver: build(server),
            server,
            seen: changed_at(),
        }
    }

    /// Reads the system's settings again if they have changed; says whether they have.
    fn refresh(&mut self) -> bool {
        let seen = changed_at();
        let changed = seen != self.seen;
        if changed {
            tracing::info!("settings for names have changed and are read again");
            *self = Self::new(self.server);
        }
        changed
    }
}

fn changed_at() -> [Option<SystemTime>; FILES.len()] {
    FILES.map(|file| {
        Path::new(file)
            .metadata()
            .and_then(|data| data.modified())
            .ok()
    })
}

/// The system's settings; without any, only the hosts file says something.
fn build(server: Option<SocketAddr>) -> Option<TokioResolver> {
    let system = system_conf::read_system_conf();
    let (mut config, mut options) = system.unwrap_or_else(|error| {
        if server.is_none() {
            tracing::warn!(%error, "no name server is known; names are only looked up in /etc/hosts");
        }
        let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        (nobody, ResolverOpts::default())
    });
    if let Some(server) = server {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
        let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
        let (domain, search, _) = config.into_parts();
        config = ResolverConfig::from_parts(domain, search, vec![server]);
    }
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Always;
    // When to ask again is decided here.
    options.cache_size = 0;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder
        .build()
        .inspect_err(|error| tracing::warn!(%error, "names can't be looked up"))
        .ok()
}

async fn look_up(resolver: Option<TokioResolver>, name: &str) -> Result<Answer, String> {
    if let Ok(address) = name.parse() {
        return Ok(Answer {
            addresses: vec![address],
            ttl: MAX_TTL,
        });
    }
    let resolver = resolver.ok_or("there is no resolver")?;
    let found = resolver.lookup_ip(name).await;
    let found = found.map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.iter() {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    let ttl = found
        .valid_until()
        .saturating_duration_since(Instant::now());
    Ok(Answer { addresses, ttl })
}

/// Looks names up once, side by side, and tells `found` of each as it is known.
pub(crate) async fn look_up_all(
    names: impl IntoIterator<Item = String>,
    server: Option<SocketAddr>,
    mut found: impl FnMut(String, Vec<IpAddr>),
) {
    let resolver = build(server);
    let mut lookups = JoinSet::new();
    for name in names {
        let resolver = resolver.clone();
        lookups.spawn(async move { (look_up(resolver, &name).await, name) });
    }
    while let Some(Ok((answer, name))) = lookups.join_next().await {
        match answer {
            Ok(answer) => found(name, answer.addresses),
            Err(error) => tracing::warn!(name, error, "endpoint's name can't be looked up"),
        }
    }
}

/// When each name is to be looked up next.
#[derive(Debug)]
pub(crate) struct Schedule {
    resolver: Resolver,
    names: HashMap<String, Due>,
    lookups: JoinSet<(String, Result<Answer, String>)>,
}

/// Where a name stands.
#[derive(Debug)]
struct Due {
    at: Instant,
    failures: u32,
    running: bool,
}

impl Schedule {
    /// Of no names yet. Within a runtime.
    pub(crate) fn new(server: Option<SocketAddr>) -> Self {
        Self {
            resolver: Resolver::new(server),
            names: HashMap::new(),
            lookups: JoinSet::new(),
        }
    }

    /// Forgets names that are not among these; new ones are due at once.
    pub(crate) fn want(&mut self, wanted: &BTreeSet<String>, now: Instant) {
        self.names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            self.names.entry(name.clone()).or_insert(Due {
                at: now,
                failures: 0,
                running: false,
            });
        }
    }

    /// Starts what is due and waits for the next answer. `None`: nothing came until something else is due.
    pub(crate) async fn next(&mut self) -> Option<(String, Vec<IpAddr>)> {
        let now = Instant::now();
        if self.resolver.refresh() {
            self.names.values_mut().for_each(|due| due.at = now);
        }
        self.start(now);
        // Also the settings' files want to be looked at.
        let mut until = now + MIN_TTL;
        if self.lookups.len() < AT_A_TIME {
            let waiting = self.names.values().filter(|due| !due.running);
            until = waiting.map(|due| due.at).fold(until, Instant::min);
        }
        let answered = async {
            match self.lookups.join_next().await {
                Some(answered) => answered.ok(),
                None => std::future::pending().await,
            }
        };
        let answered = tokio::time::timeout_at(until.into(), answered).await;
        let (name, answer) = answered.ok().flatten()?;
        self.answered(name, answer, Instant::now())
    }

    fn start(&mut self, now: Instant) {
        for (name, due) in &mut self.names {
            if self.lookups.len() >= AT_A_TIME {
                return;
            }
            if !due.running && due.at <= now {
                due.running = true;
                let (name, resolver) = (name.clone(), self.resolver.resolver.clone());
                self.lookups.spawn(async move {
                    let answer = look_up(resolver, &name).await;
                    (name, answer)
                });
            }
        }
    }

    /// Takes note of an answer. After a failure, what was known before goes on being used.
    fn answered(
        &mut self,
        name: String,
        answer: Result<Answer, String>,
        now: Instant,
    ) -> Option<(String, Vec<IpAddr>)> {
        // Nobody may want it any more.
        let due = self.names.get_mut(&name)?;
        due.running = false;
        match answer {
            Ok(answer) => {
                due.failures = 0;
                due.at = now + answer.ttl.clamp(MIN_TTL, MAX_TTL);
                Some((name, answer.addresses))
            }
            Err(error) => {
                if due.failures == 0 {
                    tracing::warn!(name, error, "endpoint's name can't be looked up");
                }
                due.at = now
                    + FIRST_PAUSE
                        .saturating_mul(1 << due.failures.min(5))
                        .min(MAX_PAUSE);
                due.failures += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(now: Instant) -> Schedule {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _within = runtime.enter();
        let mut schedule = Schedule::new(None);
        schedule.want(&BTreeSet::from(["a".to_owned()]), now);
        schedule
    }

    fn answer(ttl_s: u64) -> Result<Answer, String> {
        Ok(Answer {
            addresses: vec![IpAddr::from([10, 0, 0, 1])],
            ttl: Duration::from_secs(ttl_s),
        })
    }

    #[test]
    fn an_answer_is_believed_for_as_long_as_it_says_within_bounds() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        assert_eq!(schedule.names["a"].at, now, "due at once");
        for (says, believed) in [(0, 1), (1, 1), (60, 60), (86_400, 300)] {
            assert!(
                schedule
                    .answered("a".to_owned(), answer(says), now)
                    .is_some()
            );
            let at = schedule.names["a"].at;
            assert_eq!(at, now + Duration::from_secs(believed), "{says}");
        }
        assert!(schedule.answered("b".to_owned(), answer(1), now).is_none());
    }

    #[test]
    fn failures_are_asked_about_less_and_less() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let failed = Err("no".to_owned());
            assert!(schedule.answered("a".to_owned(), failed, now).is_none());
            let at = schedule.names["a"].at;
            assert_eq!(at, now + Duration::from_secs(pause));
        }
        schedule.answered("a".to_owned(), answer(5), now);
        assert_eq!(schedule.names["a"].failures, 0);
        schedule.want(&BTreeSet::new(), now);
        assert!(schedule.names.is_empty());
    }
}

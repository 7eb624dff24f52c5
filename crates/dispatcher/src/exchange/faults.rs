//! Requests held up or failed on purpose, as Envoy's fault filter does it.
//!
//! Everything else comes later: the route's timeout does not run while a request is held, and one that is failed
//! is neither mirrored nor tried again. Headers of a request have no say in it.

use std::time::Duration;

use alba::Rng;
use mesh::{Abort, Fault};

use super::flags::Flags;
use super::reply::Reply;

/// What a route's faults do to one request.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    /// It is held for so long.
    pub(crate) delay: Option<Duration>,
    /// Then it is answered with this.
    pub(crate) abort: Option<Reply>,
}

/// Draws for one request, for the delay and for the abort on their own.
pub(crate) fn draw(fault: &Fault, rng: &mut Rng) -> Drawn {
    let delay = fault
        .delay
        .filter(|(share, _)| share.includes(rng.u64()))
        .map(|(_, delay)| delay);
    let abort = fault
        .abort
        .filter(|(share, _)| share.includes(rng.u64()))
        .map(|(_, abort)| reply(abort));
    Drawn { delay, abort }
}

fn reply(abort: Abort) -> Reply {
    let text = "fault filter abort";
    match abort {
        Abort::Http(status) => Reply::text(status, Flags::FAULT_INJECTED, text),
        Abort::Grpc(status) => Reply {
            grpc_status: Some(status),
            ..Reply::text(200, Flags::FAULT_INJECTED, text)
        },
    }
}

#[cfg(test)]
mod tests {
    use mesh::Fraction;

    use super::*;
    use crate::http::view::ResponseView;

    const DELAY: Duration = Duration::from_millis(7);

    #[test]
    fn shares_are_kept_apart() {
        let fault = Fault {
            delay: Some((Fraction::from_percent(25.0), DELAY)),
            abort: Some((Fraction::from_percent(10.0), Abort::Http(555))),
        };
        let mut rng = Rng::seeded(11);
        let drawn: Vec<_> = (0..40_000).map(|_| draw(&fault, &mut rng)).collect();
        let count = |of: fn(&Drawn) -> bool| drawn.iter().filter(|drawn| of(drawn)).count();
        let delays = count(|drawn| drawn.delay == Some(DELAY));
        let aborts = count(|drawn| drawn.abort.is_some());
        let both = count(|drawn| drawn.delay.is_some() && drawn.abort.is_some());
        assert!((9_600..10_400).contains(&delays), "{delays}");
        assert!((3_700..4_300).contains(&aborts), "{aborts}");
        assert!((850..1_150).contains(&both), "{both}");
    }

    #[test]
    fn all_and_none() {
        let mut rng = Rng::seeded(1);
        for _ in 0..1_000 {
            let never = Fault {
                delay: Some((Fraction::NONE, DELAY)),
                abort: None,
            };
            assert!(draw(&never, &mut rng).delay.is_none());
            let always = Fault {
                delay: None,
                abort: Some((Fraction::ALL, Abort::Grpc(7))),
            };
            let reply = draw(&always, &mut rng).abort.unwrap();
            assert_eq!(
                (reply.status, reply.bytes()),
                (200, &b"fault filter abort"[..])
            );
            assert_eq!(reply.for_grpc().field("grpc-status"), Some(&b"7"[..]));
        }
    }
}

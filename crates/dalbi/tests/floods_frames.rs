//! HTTP/2 floods of frames that cost their sender nothing: each is cut off, costs little, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use support::frames::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, PADDED, PING, PRIORITY, PUSH_PROMISE, SETTINGS, frame, get, post, request,
    rst_stream, setting, stream, window_update,
};
use support::siege::{Cut, Siege};

/// How many frames go into one write.
const BATCH: usize = 500;

/// Cut off for being a flood, not for breaking the protocol.
fn calmed(cut: &Cut) {
    // A connection that is closed while frames are in flight may lose the GOAWAY to a reset.
    assert!(
        matches!(cut.goaway, Some(ENHANCE_YOUR_CALM) | None),
        "{cut:?}"
    );
}

/// A flood of one frame over and over.
async fn of(what: &str, frame: Vec<u8>) -> Cut {
    let batch = frame.repeat(BATCH);
    let siege = Siege::lay(&[]).await;
    siege.flood(what, Vec::new(), move |_| batch.clone()).await
}

/// The same beside a stream whose request is held.
async fn beside_a_request(what: &str, frame: Vec<u8>) -> Cut {
    let batch = frame.repeat(BATCH);
    let siege = Siege::lay(&[]).await;
    siege
        .flood(what, post(1, "/held"), move |_| batch.clone())
        .await
}

#[tokio::test]
async fn rapid_reset() {
    let siege = Siege::lay(&[]).await;
    let cut = siege
        .flood("rapid reset", Vec::new(), |number| {
            let streams = (0..50).map(|one| stream(number * 50 + one));
            streams
                .flat_map(|id| [get(id, "/held/flood"), rst_stream(id)].concat())
                .collect()
        })
        .await;
    calmed(&cut);
    assert!(cut.received.of(HEADERS) == 0, "{cut:?}");
}

#[tokio::test]
async fn rapid_reset_of_requests_that_are_being_worked_on() {
    let siege = Siege::lay(&[]).await;
    let requests = siege.upstream();
    let cut = siege
        .flood_in_step("rapid reset in step", Vec::new(), |number| {
            let streams = (0..50).map(|one| stream(number / 2 * 50 + one));
            match number % 2 {
                0 => streams.flat_map(|id| get(id, "/held/flood")).collect(),
                _ => streams.flat_map(rst_stream).collect(),
            }
        })
        .await;
    assert_eq!(cut.goaway, Some(ENHANCE_YOUR_CALM));
    let requests = requests.requests("/held/flood");
    assert!(
        (100..1_000).contains(&requests),
        "{requests} requests got through"
    );
}

#[tokio::test]
async fn made_you_reset_by_data_after_the_end() {
    made_you_reset("made you reset (DATA)", |id| frame(DATA, 0, id, b"x")).await;
}

#[tokio::test]
async fn made_you_reset_by_a_window_that_overflows() {
    made_you_reset("made you reset (WINDOW_UPDATE)", |id| {
        window_update(id, 0x7fff_ffff)
    })
    .await;
}

#[tokio::test]
async fn made_you_reset_by_headers_after_the_end() {
    made_you_reset("made you reset (HEADERS)", |id| get(id, "/held/flood")).await;
}

#[tokio::test]
async fn made_you_reset_by_a_stream_that_depends_on_itself() {
    let on_itself = |id: u32| frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[0]].concat());
    made_you_reset("made you reset (PRIORITY)", on_itself).await;
}

/// `offend` makes us reset the stream, and frees its place for another.
async fn made_you_reset(what: &str, offend: fn(u32) -> Vec<u8>) {
    let siege = Siege::lay(&[]).await;
    let requests = siege.upstream();
    let cut = siege
        .flood_in_step(what, Vec::new(), move |number| {
            let streams = (0..50).map(|one| stream(number / 2 * 50 + one));
            match number % 2 {
                0 => streams.flat_map(|id| get(id, "/held/flood")).collect(),
                _ => streams.flat_map(offend).collect(),
            }
        })
        .await;
    assert!(cut.goaway.is_some(), "{cut:?}");
    let requests = requests.requests("/held/flood");
    assert!(
        (1..1_200).contains(&requests),
        "{requests} requests got through"
    );
}

#[tokio::test]
async fn more_streams_than_allowed() {
    let siege = Siege::lay(&[]).await;
    let requests = siege.upstream();
    let cut = siege
        .flood("streams over the limit", Vec::new(), |number| {
            let streams = (0..100).map(|one| stream(number * 100 + one));
            streams.flat_map(|id| get(id, "/held/flood")).collect()
        })
        .await;
    calmed(&cut);
    let requests = requests.requests("/held/flood");
    assert!(requests <= 100, "{requests} requests got through");
}

#[tokio::test]
async fn pings() {
    let cut = of("PING", frame(PING, 0, 0, b"whatever")).await;
    calmed(&cut);
    // h2 may read on for a moment in what it holds already.
    assert!(cut.received.of(PING) < 10_000, "{cut:?}");
}

#[tokio::test]
async fn pings_that_nobody_asked_for() {
    calmed(&of("PING acknowledgements", frame(PING, ACK, 0, b"whatever")).await);
}

#[tokio::test]
async fn settings() {
    let cut = of("SETTINGS", frame(SETTINGS, 0, 0, &[])).await;
    calmed(&cut);
    assert!(cut.received.of(SETTINGS) < 2_000, "{cut:?}");
}

#[tokio::test]
async fn settings_that_touch_every_stream() {
    let siege = Siege::lay(&[]).await;
    let held = (0..100)
        .flat_map(|number| get(stream(number), "/held"))
        .collect();
    let cut = siege
        .flood("SETTINGS beside 100 streams", held, |number| {
            let sizes = (0..100).map(|one| setting(INITIAL_WINDOW_SIZE, 1_000 + number + one));
            sizes.flatten().collect()
        })
        .await;
    calmed(&cut);
}

#[tokio::test]
async fn settings_of_the_largest_size() {
    let one = [
        &INITIAL_WINDOW_SIZE.to_be_bytes()[..],
        &70_000u32.to_be_bytes(),
    ]
    .concat();
    calmed(&of("large SETTINGS", frame(SETTINGS, 0, 0, &one.repeat(2_700))).await);
}

#[tokio::test]
async fn priorities() {
    calmed(&of("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])).await);
}

#[tokio::test]
async fn window_updates_of_the_connection() {
    calmed(&of("WINDOW_UPDATE", window_update(0, 1)).await);
}

#[tokio::test]
async fn window_updates_of_a_stream() {
    calmed(&beside_a_request("WINDOW_UPDATE of a stream", window_update(1, 1)).await);
}

#[tokio::test]
async fn window_updates_by_nothing() {
    let cut = beside_a_request("WINDOW_UPDATE by 0", window_update(1, 0)).await;
    assert!(cut.received.of(GOAWAY) <= 1, "{cut:?}");
}

#[tokio::test]
async fn resets_of_idle_streams() {
    let cut = of("RST_STREAM of an idle stream", rst_stream(99)).await;
    assert!(cut.received.of(GOAWAY) <= 1, "{cut:?}");
}

#[tokio::test]
async fn resets_of_a_closed_stream() {
    calmed(&beside_a_request("RST_STREAM of a closed stream", rst_stream(1)).await);
}

#[tokio::test]
async fn empty_data() {
    calmed(&beside_a_request("empty DATA", frame(DATA, 0, 1, &[])).await);
}

#[tokio::test]
async fn data_of_padding_only() {
    let mut padding = [0; 256];
    padding[0] = 255;
    calmed(&beside_a_request("DATA of padding only", frame(DATA, PADDED, 1, &padding)).await);
}

#[tokio::test]
async fn data_of_single_bytes_that_nobody_takes() {
    // The endpoint does not read either: what is held for it is bounded by the windows.
    let siege = Siege::lay(&[]).await;
    let batch = frame(DATA, 0, 1, b"x").repeat(BATCH);
    let cut = siege
        .flood("DATA of single bytes", post(1, "/unread"), move |_| {
            batch.clone()
        })
        .await;
    assert!(
        cut.goaway.is_some() || cut.received.of(GOAWAY) == 0,
        "{cut:?}"
    );
}

#[tokio::test]
async fn continuations() {
    let opening = frame(HEADERS, END_STREAM, 1, &request("GET", "/flood"));
    for (what, payload) in [
        ("empty CONTINUATION", Vec::new()),
        ("CONTINUATION", frames::field("x", "y")),
        (
            "large CONTINUATION",
            frames::field("x", &"y".repeat(16_000)),
        ),
    ] {
        let batch = frame(CONTINUATION, 0, 1, &payload).repeat(20);
        let siege = Siege::lay(&[]).await;
        let cut = siege
            .flood(what, opening.clone(), move |_| batch.clone())
            .await;
        assert!(cut.received.of(GOAWAY) <= 1, "{cut:?}");
    }
}

#[tokio::test]
async fn unknown_frames() {
    calmed(&of("unknown frames", frame(0xbe, 0, 0, b"grease")).await);
}

#[tokio::test]
async fn goaways() {
    let cut = of("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])).await;
    assert!(cut.received.of(GOAWAY) <= 1, "{cut:?}");
}

#[tokio::test]
async fn pushes_by_a_client() {
    let push = [&2u32.to_be_bytes()[..], &request("GET", "/")].concat();
    let cut = of("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &push)).await;
    assert!(cut.received.of(GOAWAY) <= 1, "{cut:?}");
}

#[tokio::test]
async fn frames_larger_than_agreed() {
    let cut = of(
        "frames over the maximum size",
        frame(DATA, 0, 1, &[0; 20_000]),
    )
    .await;
    assert!(cut.received.of(GOAWAY) <= 1, "{cut:?}");
}

#[tokio::test]
async fn noise() {
    // Not a flood of one kind: whatever comes, the connection ends and the process goes on.
    let seed = 7;
    let mut rng = fastrand::Rng::with_seed(seed);
    let siege = Siege::lay(&[]).await;
    println!("seed {seed}");
    siege
        .flood("noise", Vec::new(), move |_| {
            std::iter::repeat_with(|| rng.u8(..)).take(5_000).collect()
        })
        .await;
}

//! How long the store's operations take with 1,000 documents of 1 KiB, on a disk and, where there is one, in memory,
//! where an fsync costs nothing: the difference is what the disk takes.
//!
//! `cargo bench -p generations`, or with a folder's name behind `--` to measure another disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use generations::{Document, GenerationId, Note, OpenOptions, Owner, Proposal, Store, View};

const DOCUMENTS: usize = 1000;
const ROUNDS: usize = 9;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let named = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let disk = named.map_or_else(std::env::temp_dir, PathBuf::from);
    let memory = Path::new("/dev/shm");
    for (name, folder) in [("disk", disk.as_path()), ("memory", memory)] {
        if folder.is_dir() {
            println!("{name} ({}), medians of {ROUNDS}:", folder.display());
            let state = folder.join(format!("generations-bench-{}", std::process::id()));
            let times = measure(&state);
            std::fs::remove_dir_all(&state)?;
            for (what, median) in times? {
                println!("  {what:<44} {:8.2} ms", median.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(())
}

fn measure(state: &Path) -> Outcome<Vec<(&'static str, Duration)>> {
    let names = [
        "open",
        "stage, 1,000 new documents",
        "intend",
        "confirm",
        "stage, 1 of 1,000 documents changed",
        "read 1,000 documents, hashed again",
        "open a view",
        "verify",
        "collect 1,000 documents",
    ];
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..ROUNDS {
        for (times, time) in times.iter_mut().zip(once(state, round)?) {
            times.push(time);
        }
    }
    let medians = times.into_iter().map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    Ok(names.into_iter().zip(medians).collect())
}

fn once(state: &Path, round: usize) -> Outcome<Vec<Duration>> {
    let note = Note::new("bench", "", 1);
    let mut times = Vec::new();
    let mut last = Instant::now();
    let mut lap = || {
        times.push(last.elapsed());
        last = Instant::now();
    };
    let (mut store, _) = Store::open(
        state,
        OpenOptions {
            owner: Owner::this_process(None, "bench"),
            keys: Vec::new(),
            require_signed: false,
            now_unix_ms: 1,
        },
    )?;
    lap();
    let mut proposal = proposal(store.current(), round);
    let id = store.stage(&proposal, true, 1)?.id;
    lap();
    store.intend(id, 2, &note)?;
    lap();
    store.confirm(id, &note)?;
    lap();
    proposal.parent = Some(id);
    proposal.documents[0].text.push('!');
    let changed = store.stage(&proposal, true, 1)?.id;
    lap();
    assert_eq!(store.documents(changed)?.len(), DOCUMENTS);
    lap();
    let view = View::open(state)?;
    lap();
    assert!(view.verify(&[], false)?.is_clean());
    lap();
    store.gc(1, &note)?;
    lap();
    Ok(times)
}

fn proposal(parent: Option<GenerationId>, round: usize) -> Proposal {
    let documents = (0..DOCUMENTS).map(|number| Document {
        path: format!("services/service-{number}.yaml"),
        text: format!("# {round} {number}\n{}", "name: value\n".repeat(85)),
    });
    Proposal {
        parent,
        author: "bench".to_owned(),
        documents: documents.collect(),
        ..Proposal::default()
    }
}

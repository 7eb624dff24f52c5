//! The access log: formatted by the worker, written by a thread of its own.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::options::{AccessLog, AccessLogFormat};

/// Lines that may wait for the disk; more are dropped and counted, so that a slow disk slows no request.
const QUEUE_LINES: usize = 8192;

/// A handle to the log that every worker has.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) format: AccessLogFormat,
    pub(crate) sample: u32,
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

impl Log {
    /// Opens the log and starts its thread; `None` when the options want none.
    pub(crate) fn open(options: &AccessLog, dropped: Arc<AtomicU64>) -> io::Result<Option<Self>> {
        let Some(format) = options.format else {
            return Ok(None);
        };
        let target: Box<dyn Write + Send> = match &options.path {
            Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            None => Box::new(io::stdout()),
        };
        let (lines, queue) = sync_channel(QUEUE_LINES);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_lines(&queue, target))?;
        Ok(Some(Self {
            format,
            sample: options.sample.max(1),
            lines,
            dropped,
        }))
    }

    /// Hands a line (with its newline) over without waiting.
    pub(crate) fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(queue: &Receiver<String>, target: Box<dyn Write + Send>) {
    let mut target = BufWriter::new(target);
    while let Ok(line) = queue.recv() {
        let mut result = target.write_all(line.as_bytes());
        for line in queue.try_iter() {
            result = result.and_then(|()| target.write_all(line.as_bytes()));
        }
        if let Err(error) = result.and_then(|()| target.flush()) {
            tracing::warn!(%error, "access log can't be written; is the disk full?");
        }
    }
}

//! A child process whose output is read line by line.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_dalbi");

/// Between looks at whether a port is open.
const RETRY: Duration = Duration::from_millis(5);

/// A running `dalbi` or other server.
pub struct Process {
    child: Child,
    /// For messages.
    command: String,
    stdout: Receiver<String>,
    stderr: Arc<Mutex<Vec<String>>>,
    stderr_lines: Receiver<String>,
    /// Of a `dalbi` that was not told of another.
    state: Option<TempDir>,
}

impl Process {
    /// Starts `dalbi` with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        let state = tempfile::tempdir().expect("a temporary folder");
        command
            .args(arguments)
            .env("NO_COLOR", "1")
            .env("DALBI_STATE", state.path());
        let mut process = Self::spawn(command);
        process.state = Some(state);
        process
    }

    /// Where it keeps its generations, unless its arguments say otherwise.
    pub fn state(&self) -> &Path {
        self.state.as_ref().expect("it is a dalbi").path()
    }

    /// Starts any program. It must not start further ones: only itself is ended with this value.
    pub fn spawn(mut process: Command) -> Self {
        let arguments = process.get_args().map(|argument| argument.display());
        let program = process.get_program().display();
        let arguments: Vec<_> = arguments.map(|argument| argument.to_string()).collect();
        let command = format!("{program} {}", arguments.join(" "));
        let mut child = process
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let stdout = lines(child.stdout.take().unwrap(), None);
        let stderr_lines = lines(child.stderr.take().unwrap(), Some(Arc::clone(&stderr)));
        Self {
            child,
            command,
            stdout,
            stderr,
            stderr_lines,
            state: None,
        }
    }

    /// The next line of standard output for which `wanted` gives something; those before it are passed over.
    pub fn stdout_line<T>(&self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.line(&self.stdout, what, wanted)
    }

    /// The next such line of standard error (the log).
    pub fn log_line<T>(&self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.line(&self.stderr_lines, what, wanted)
    }

    fn line<T>(
        &self,
        lines: &Receiver<String>,
        what: &str,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: no line with {what} after {PATIENCE:?}", self.command)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: ended without a line with {what}", self.command)
                }
            }
        }
    }

    /// Waits until it accepts connections there.
    pub fn accepts(&self, address: SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            // What it says meanwhile is kept anyway; this only waits a little, or less if it ends.
            if let Err(RecvTimeoutError::Disconnected) = self.stdout.recv_timeout(RETRY) {
                thread::yield_now();
            }
            assert!(
                Instant::now() < deadline,
                "{}: nobody listens on {address} after {PATIENCE:?}",
                self.command
            );
        }
    }

    /// The most memory that it has had at a time.
    pub fn peak_kib(&self) -> u64 {
        let pid = self.pid().as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().trim_end_matches(" kB");
        peak.parse().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal)
            .unwrap_or_else(|error| panic!("{}: {signal:?}: {error}", self.command));
    }

    /// The process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        // Standard output closes when the process ends; only then does waiting not block for long.
        let deadline = Instant::now() + PATIENCE;
        while self
            .stdout
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        assert!(
            Instant::now() < deadline,
            "{}: still running after {PATIENCE:?}",
            self.command
        );
        self.child
            .wait()
            .unwrap_or_else(|error| panic!("{}: {error}", self.command))
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then [`Self::wait`].
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Everything on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
        if thread::panicking() {
            eprintln!("standard error of {}:\n{}", self.command, self.stderr());
        }
    }
}

/// Runs `dalbi` until it ends by itself.
pub fn run_to_end(arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().expect("a temporary folder");
    Command::new(BINARY)
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("DALBI_STATE", state.path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("dalbi {}: {error}", arguments.join(" ")))
}

/// Reads to the end on a thread of its own, so that the child never waits for us.
fn lines(
    stream: impl Read + Send + 'static,
    keep: Option<Arc<Mutex<Vec<String>>>>,
) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(kept) = &keep {
                kept.lock().unwrap().push(line.clone());
            }
            // The test may have stopped listening; the pipe is emptied all the same.
            let _listening = sender.send(line);
        }
    });
    receiver
}

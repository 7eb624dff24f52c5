//! The real binary, end to end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const BENCH: &str = env!("CARGO_BIN_EXE_bench");

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("a child of ours may be killed");
        self.0.wait().expect("a child of ours may be waited for");
    }
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

#[test]
fn upstream_says_where_it_listens_and_answers_there() {
    let child = Command::new(BENCH)
        .args(["upstream", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut upstream = Running(child);
    let mut line = String::new();
    BufReader::new(upstream.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /1k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Connection: close"),
        "{head}"
    );
    assert_eq!(body.len(), 1024);
}

#[test]
fn pinned_program_keeps_its_pid_and_runs_on_one_core() {
    let allowed = std::fs::read_to_string("/proc/self/status").unwrap();
    let core: String = cores_of(&allowed)
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let child = Command::new(BENCH)
        .args(["pinned", "--core", &core, "--", "cat", "/proc/self/status"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    assert_eq!(cores_of(&status), core);
    assert!(status.contains(&format!("\nPid:\t{pid}\n")), "{status}");
}

fn cores_of(status: &str) -> &str {
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("Linux says which cores are allowed")
        .trim()
}

#[test]
fn side_by_side_run_measures_the_floor_and_leaves_nothing_behind() {
    if !on_path("wrk") || std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        eprintln!("SKIPPED (loud): the side-by-side run needs wrk (apt install wrk) and two cores");
        return;
    }
    let json = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("side-by-side.json");
    let child = Command::new(BENCH)
        // A busy machine must not fail this: noise is allowed, and so is a machine without dalbi.
        .args([
            "proxy",
            "--quick",
            "--rounds=1",
            "--only=dalbi,relay",
            "--workloads=1k,tls",
        ])
        .args(["--max-others=2", "--dalbi=/nonexistent/dalbi", "--json"])
        .arg(&json)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let scratch = std::env::temp_dir().join(format!("dalbi-bench-{}", child.id()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("MISSING, not in the table: dalbi"), "{said}");
    let text = std::fs::read_to_string(&json).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "a relay has no figures for TLS: {text}");
    assert_eq!(
        (&results[0]["workload"], &results[0]["proxy"]),
        (&"1k".into(), &"relay".into())
    );
    for figure in ["cpu_us", "rps", "p50_ms", "p99_ms"] {
        assert!(
            results[0][figure].as_f64().unwrap() > 0.0,
            "{figure} in {text}"
        );
    }
    assert!(!scratch.exists(), "{} is still there", scratch.display());
}

#[test]
fn balancing_run_measures_every_policy_beside_what_is_predicted() {
    let dalbi = PathBuf::from(BENCH).with_file_name("dalbi");
    if !dalbi.is_file() || std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        eprintln!("SKIPPED (loud): the balancing run needs two cores and `cargo build -p dalbi`");
        return;
    }
    let [json, svg] = ["balancing.json", "balancing.svg"]
        .map(|name| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
    let output = Command::new(BENCH)
        .args(["balancing", "--quick", "--seconds=1", "--load=0.2"])
        .args(["--only=dalbi,haproxy", "--workloads=mixed-speed"])
        .args(["--haproxy=/nonexistent/haproxy", "--json"])
        .arg(&json)
        .arg("--svg")
        .arg(&svg)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("BROKEN: haproxy leastconn under mixed-speed"),
        "{said}"
    );
    let text = std::fs::read_to_string(&json).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = document["results"].as_array().unwrap();
    let policies: Vec<_> = results.iter().map(|row| &row["policy"]).collect();
    assert_eq!(policies, ["alba", "LEAST_REQUEST", "ROUND_ROBIN"]);
    for row in results {
        assert_eq!(
            (&row["scenario"], &row["proxy"]),
            (&"mixed-speed".into(), &"dalbi".into())
        );
        for figure in ["rps", "p50_ms", "p99_ms", "p999_ms", "simulated_p99_ms"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{figure} in {text}");
        }
    }
    assert!(
        std::fs::read_to_string(&svg)
            .unwrap()
            .contains("dalbi alba")
    );
}

#[test]
fn rollback_run_sees_a_bad_generation_go_and_a_harmless_one_stay() {
    let dalbi = PathBuf::from(BENCH).with_file_name("dalbi");
    if !dalbi.is_file() || std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        eprintln!("SKIPPED (loud): the rollback run needs two cores and `cargo build -p dalbi`");
        return;
    }
    let [json, svg] = ["rollback.json", "rollback.svg"]
        .map(|name| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
    let output = Command::new(BENCH)
        .args([
            "rollback",
            "--cases=dead-endpoint-10pct,aa",
            "--modes=canary",
        ])
        .args(["--runs=1", "--aa-runs=1", "--operations=1", "--parallel=2"])
        // A debug build on a busy machine; the harmless one is only watched, not found good, so soon.
        .args(["--rate=100", "--warm-up=1", "--aa-probation=1", "--json"])
        .arg(&json)
        .arg("--svg")
        .arg(&svg)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(&json).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = document["results"].as_array().unwrap();
    let [bad, harmless] = results.as_slice() else {
        panic!("not two rows: {text}");
    };
    assert_eq!(bad["case"], "dead-endpoint-10pct");
    assert_eq!(
        (&bad["runs"], &bad["rolled_back"]),
        (&1.into(), &1.into()),
        "{text}"
    );
    assert!(bad["seconds_max"].as_f64().unwrap() < 30.0, "{text}");
    assert!(bad["exposed_share"].as_f64().unwrap() > 0.0, "{text}");
    assert_eq!(
        (&harmless["case"], &harmless["failed"]),
        (&"aa".into(), &0.into()),
        "{text}"
    );
    let operations = document["operations"].as_array().unwrap();
    assert!(operations[0]["ms_p50"].as_f64().unwrap() > 0.0, "{text}");
    assert!(
        std::fs::read_to_string(&svg)
            .unwrap()
            .contains("dead endpoint")
    );
}

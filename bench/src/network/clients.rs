//! Load from packaged clients: wrk, redis-benchmark, iperf3.

use crate::run::output_of;
use std::net::SocketAddrV4;
use std::process::Command;

/// Seconds that wrk and iperf3 measure.
const SECONDS: &str = "2";

/// Seconds that redis-benchmark should take about.
const REDIS_SECONDS: f64 = 1.5;

/// Requests a second from wrk over sixteen connections.
pub fn wrk(address: SocketAddrV4, new_connections: bool) -> Result<Vec<f64>, String> {
    let report = run_wrk(address, new_connections)?;
    Ok(vec![report.rate])
}

/// How many requests wrk made.
pub fn wrk_requests(address: SocketAddrV4, new_connections: bool) -> Result<f64, String> {
    Ok(run_wrk(address, new_connections)?.requests)
}

fn run_wrk(address: SocketAddrV4, new_connections: bool) -> Result<WrkReport, String> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d", SECONDS]);
    if new_connections {
        wrk.args(["-H", "Connection: close"]);
    }
    parse_wrk(&output_of(wrk.arg(format!("http://{address}/")))?)
}

/// What wrk says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct WrkReport {
    /// Requests that were answered.
    requests: f64,
    /// How many of them a second.
    rate: f64,
}

fn parse_wrk(text: &str) -> Result<WrkReport, String> {
    // Such lines are there only if something went wrong.
    let failed = ["Non-2xx", "Socket errors"];
    if failed.iter().any(|words| text.contains(words)) {
        return Err(format!("wrk met errors:\n{text}"));
    }
    let mut lines = text.lines().map(str::trim);
    let requests = lines.find_map(|line| line.split_once(" requests in ")?.0.parse().ok());
    let rate = lines.find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    match (requests, rate) {
        (Some(requests), Some(rate)) => Ok(WrkReport { requests, rate }),
        _ => Err(format!("wrk gave no rate:\n{text}")),
    }
}

/// SETs and GETs a second from redis-benchmark over 32 connections, `pipeline` requests at a time.
pub fn redis(address: SocketAddrV4, pipeline: u32) -> Result<Vec<f64>, String> {
    // How many requests take a suitable time is not known before.
    let probe = redis_rates(address, pipeline, 2000)?;
    let slowest = probe.iter().copied().fold(f64::INFINITY, f64::min);
    let count = (slowest * REDIS_SECONDS).max(2000.0) as u64;
    redis_rates(address, pipeline, count)
}

/// Makes GETs as [`redis`] does, and returns how many.
pub fn redis_requests(address: SocketAddrV4) -> Result<f64, String> {
    const COUNT: u32 = 4000;
    output_of(
        Command::new("redis-benchmark")
            .args(["-c", "32", "-t", "get", "-n", &COUNT.to_string()])
            .args(["-h", &address.ip().to_string()])
            .args(["-p", &address.port().to_string()]),
    )?;
    Ok(COUNT.into())
}

fn redis_rates(address: SocketAddrV4, pipeline: u32, count: u64) -> Result<Vec<f64>, String> {
    let mut client = Command::new("redis-benchmark");
    client
        .args(["-c", "32", "-t", "set,get", "--csv"])
        .args(["-h", &address.ip().to_string()])
        .args(["-p", &address.port().to_string()])
        .args(["-P", &pipeline.to_string()])
        .args(["-n", &count.to_string()]);
    parse_redis(&output_of(&mut client)?)
}

fn parse_redis(text: &str) -> Result<Vec<f64>, String> {
    let rate = |test: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(test))?;
        rest.strip_prefix(",\"")?.split('"').next()?.parse().ok()
    };
    let rates: Option<Vec<f64>> = ["\"SET\"", "\"GET\""].into_iter().map(rate).collect();
    rates.ok_or_else(|| format!("redis-benchmark gave no rates:\n{text}"))
}

/// Mbit/s through one connection, to the machine or from it.
pub fn iperf(address: SocketAddrV4, from_machine: bool) -> Result<Vec<f64>, String> {
    let mut client = Command::new("iperf3");
    client
        .args(["--json", "--time", SECONDS])
        .args(["--client", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()]);
    if from_machine {
        client.arg("--reverse");
    }
    parse_iperf(&output_of(&mut client)?)
}

fn parse_iperf(text: &str) -> Result<Vec<f64>, String> {
    serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|value| value["end"]["sum_received"]["bits_per_second"].as_f64())
        .filter(|rate| *rate > 0.0)
        .map(|rate| vec![rate / 1e6])
        .ok_or_else(|| format!("iperf3 gave no rate:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_read_and_its_errors_are_heard() {
        let good = "  2036 requests in 3.10s, 1.65MB read\nRequests/sec:    656.65\nTransfer/sec:    545.07KB\n";
        let report = WrkReport {
            requests: 2036.0,
            rate: 656.65,
        };
        assert_eq!(parse_wrk(good), Ok(report));
        let bad = format!("{good}  Non-2xx or 3xx responses: 3\n");
        assert!(parse_wrk(&bad).is_err());
        assert!(parse_wrk("").is_err());
    }

    #[test]
    fn redis_benchmark_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"15000.25\",\"0.5\"\n\"GET\",\"16000.00\",\"0.4\"\n";
        assert_eq!(parse_redis(text), Ok(vec![15000.25, 16000.0]));
        assert!(parse_redis("\"SET\",\"1.0\",\"1\"\n").is_err());
    }

    #[test]
    fn iperf_is_read() {
        let text = r#"{"end": {"sum_received": {"bits_per_second": 2.5e9}}}"#;
        assert_eq!(parse_iperf(text), Ok(vec![2500.0]));
        assert!(parse_iperf(r#"{"error": "unable to connect"}"#).is_err());
    }
}

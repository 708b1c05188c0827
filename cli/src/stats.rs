//! What `--stats` tells.

use std::time::Duration;

use pith_monitor::{GuestFigures, Report};
use serde::Serialize;

use crate::arguments::StatsFormat;
use crate::text::size;

/// Times are in milliseconds, memory in bytes.
#[derive(Serialize)]
struct Statistics {
    /// The command's exit status.
    status: u8,
    /// Finding or building the image.
    image: f64,
    /// Whether the image was there already.
    cached: bool,
    /// Wall-clock times since the run began.
    host: Host,
    /// What the guest measured.
    guest: Option<GuestFigures>,
}

#[derive(Serialize)]
struct Host {
    spawned: f64,
    ready: Option<f64>,
    reported: Option<f64>,
    ended: f64,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Prints the figures of a run to standard error.
pub fn show(format: StatsFormat, image: Duration, cached: bool, report: &Report) {
    let host = &report.host;
    let statistics = Statistics {
        status: report.status(),
        image: milliseconds(image),
        cached,
        host: Host {
            spawned: milliseconds(host.spawned),
            ready: host.ready.map(milliseconds),
            reported: host.reported.map(milliseconds),
            ended: milliseconds(host.ended),
        },
        guest: report.guest,
    };
    eprintln!("{}", render(format, &statistics));
}

fn render(format: StatsFormat, statistics: &Statistics) -> String {
    if format == StatsFormat::Json {
        // Numbers and booleans have no way to fail.
        return serde_json::to_string(statistics).unwrap_or_default();
    }
    let Statistics {
        image,
        cached,
        host,
        guest,
        ..
    } = statistics;
    let moment = |time: Option<f64>| match time {
        Some(time) => format!("{time:.1} ms"),
        None => "never".into(),
    };
    let cached = match cached {
        true => "found",
        false => "built",
    };
    let mut text = format!(
        "pith: image {cached} in {image:.1} ms; since then: monitor started {:.1} ms, channel up {}, \
         program ended {}, all done {:.1} ms",
        host.spawned,
        moment(host.ready),
        moment(host.reported),
        host.ended,
    );
    if let Some(guest) = guest {
        text.push_str(&format!(
            "\npith: guest: entry to program {}, program {}; memory at most {} of {}",
            moment(guest.entry_to_program),
            moment(guest.program_to_exit),
            size(guest.memory_peak),
            size(guest.memory_total),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> Statistics {
        Statistics {
            status: 3,
            image: 2.04,
            cached: true,
            host: Host {
                spawned: 1.0,
                ready: Some(40.26),
                reported: None,
                ended: 50.0,
            },
            guest: Some(GuestFigures {
                entry_to_program: Some(4.0),
                entry_to_program_ticks: Some(8_000_000),
                program_to_exit: None,
                memory_total: 1 << 27,
                memory_peak: 3 << 19,
            }),
        }
    }

    #[test]
    fn people_get_sentences() {
        assert_eq!(
            render(StatsFormat::Text, &statistics()),
            "pith: image found in 2.0 ms; since then: monitor started 1.0 ms, channel up 40.3 ms, \
             program ended never, all done 50.0 ms\n\
             pith: guest: entry to program 4.0 ms, program never; memory at most 1.5 MiB of 128.0 MiB"
        );
    }

    #[test]
    fn programs_get_json() {
        let text = render(StatsFormat::Json, &statistics());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["status"], 3);
        assert_eq!(value["host"]["ready"], 40.26);
        assert_eq!(value["guest"]["memory_peak"], 3 << 19);
        assert!(value["guest"]["program_to_exit"].is_null());
    }
}

//! The summary as one JSON object, for scripts.

use serde_json::{Map, Value, json};

use crate::record::summary::Outcome;
use crate::service::statistics_report::{counts, key};
use crate::text::escape_json;
use crate::traffic::Traffic;
use crate::traffic::tally::Tally;

/// Most processes in it.
const MAX_PROCESSES: usize = 100;
/// Most peers of each.
const MAX_PEERS: usize = 10;

/// The summary, one line. `error`: why the recording failed, if it did. `docs/format.md` describes its fields.
#[must_use]
pub fn render(outcome: &Outcome, tally: &Tally, error: Option<&str>) -> String {
    let missing = &outcome.missing;
    let reasons: Map<String, Value> = tally
        .reasons
        .iter()
        .map(|(reason, count)| (key(*reason).replace([' ', '-'], "_"), json!(count)))
        .collect();
    let busiest = tally.busiest(MAX_PROCESSES);
    let processes: Vec<Value> = busiest
        .iter()
        .map(|process| {
            let peers = process.peers.busiest(MAX_PEERS);
            json!({
                "pid": process.pid,
                "name": String::from_utf8_lossy(process.name()),
                "path": String::from_utf8_lossy(&process.path),
                "user": process.user,
                "traffic": traffic(&process.traffic),
                "peers": peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut summary = json!({
        "seconds": outcome.elapsed.as_secs_f64(),
        "packets": tally.recorded_packets(),
        "bytes": tally.recorded_bytes(),
        "joined": tally.joined_packets(),
        "written": {
            "files": outcome.paths.count,
            "gone": outcome.paths.gone,
            "first": outcome.paths.first,
            "last": outcome.paths.last,
            "bytes": outcome.written,
            "compressed_bytes": outcome.compressed,
        },
        "dropped": {
            "sensor": counts(&missing.by_source),
            "ring_buffer": counts(&missing.by_ring),
            "queue_manager": counts(&missing.by_engine),
        },
        "left_out": missing.left_out,
        "left_out_in_kernel": missing.left_out_in_kernel,
        "late_corrections": outcome.late_corrections,
        "attributed": tally.total.packets() - tally.nobody.packets(),
        "unattributed": reasons,
        "process_count": tally.process_count(),
        "processes": processes,
    });
    if let (Some(error), Some(summary)) = (error, summary.as_object_mut()) {
        summary.insert("error".to_owned(), json!(error));
    }
    let mut line = format!("{summary}\n").into_bytes();
    escape_json(0, &mut line);
    String::from_utf8_lossy(&line).into_owned()
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "packets_in": traffic.packets_in,
        "packets_out": traffic.packets_out,
        "bytes_in": traffic.bytes_in,
        "bytes_out": traffic.bytes_out,
    })
}

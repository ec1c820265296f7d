//! The service's statistics, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use hone_api::{Mechanism, Method, NO_READER, NoOwner, PerKind, SnapLength, Statistics};
use serde_json::{Map, Value, json};

use crate::platform::SERVICE;
use crate::text::{bytes, counted, duration, share, thousands, utc};

/// Columns of the labels.
const LABEL: usize = 28;

/// A report being written.
struct Report(String);

impl Report {
    fn line(&mut self, label: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.0, "{label:LABEL$}{}", value.as_ref());
    }
}

/// The report, as lines that each end with a newline. With `earlier`, older statistics of the same service, it contains
/// the rates since then.
#[must_use]
pub fn text(now: &Statistics, earlier: Option<&Statistics>) -> String {
    let [major, minor, micro, build] = now.version;
    let mut report = Report(String::new());
    let since = |nanos| duration(Duration::from_nanos(nanos));
    report.line("Version", format!("{major}.{minor}.{micro}.{build}"));
    report.line("Loaded", format!("{}, {} ago", utc(now.now.saturating_sub(now.loaded)), since(now.loaded)));
    report.line("Logging", format!("{} of that, while a reader was attached", since(now.logging)));
    report.line("Readers", format!("{} now, {} ever", thousands(now.readers), thousands(now.readers_total)));
    let reader = &now.reader;
    let is_reader = reader.id != NO_READER;
    let id = if is_reader { reader.id.to_string() } else { "none: this program reads no packets".to_owned() };
    report.line("Reader id", id);
    report.line("Ring buffer of new readers", ring(now.ring_bytes));
    if is_reader {
        report.line("Ring buffer of this reader", ring(reader.ring_bytes));
        report.line("Snap length of this reader", snap_length(reader.snap_length));
    }
    let longest =
        if now.readers == 0 { "none: no reader".to_owned() } else { snap_length(now.max_snap_length) };
    report.line("Longest snap length", longest);
    let per_second = |get: fn(&Statistics) -> u64| {
        let earlier = earlier?;
        let nanos = now.now.checked_sub(earlier.now).filter(|nanos| *nanos > 0)?;
        let count = get(now).saturating_sub(get(earlier));
        u64::try_from(u128::from(count) * 1_000_000_000 / u128::from(nanos)).ok()
    };
    let rate = |get, text: fn(u64) -> String| {
        per_second(get).map_or_else(String::new, |rate| format!(", {}/s", text(rate)))
    };
    let packets = thousands(now.received.packets);
    report.line("Packets", packets + &rate(|s| s.received.packets, thousands));
    report.line("Packet bytes", bytes(now.packet_bytes) + &rate(|s| s.packet_bytes, bytes));
    let events = |starts, ends, first, second, count, what| {
        format!("{} {first}, {} {second}; {} {what}", thousands(starts), thousands(ends), thousands(count))
    };
    report.line(
        "Process events",
        events(now.process_starts, now.process_ends, "start", "end", now.processes, "running"),
    );
    report.line(
        "Connection events",
        events(now.connection_opens, now.connection_closes, "open", "close", now.connections, "open now"),
    );
    if now.connection_closes > now.connection_opens {
        report.line("", format!("(more may close than open: some were open before {SERVICE} started)"));
    }
    drops(&mut report, now);
    held(&mut report, now);
    attribution(&mut report, now);
    // Windows has only one mechanism and does not report it.
    if let Some(mechanism) = now.mechanism() {
        report.line("Sensor's mechanism", mechanism.words());
    }
    report.line(
        "Blocks in memory",
        format!(
            "{}, {} of at most {}",
            thousands(now.blocks),
            bytes(now.block_bytes),
            bytes(now.max_block_bytes)
        ),
    );
    if is_reader {
        report.line("Delivered to this reader", kinds(&reader.delivered));
        report.line("Waiting for this reader", kinds(&reader.queued));
    }
    report.0
}

fn drops(report: &mut Report, now: &Statistics) {
    if now.filtered_by_source > 0 {
        report.line("Filtered in the kernel", counted(now.filtered_by_source, "packet"));
    }
    report.line("Dropped by the sensor", kinds(&now.dropped_by_source));
    report.line("Dropped by queue manager", kinds(&now.lost));
    if now.reader.id != NO_READER {
        report.line("Dropped by ring buffer", kinds(&now.reader.dropped));
        report.line("Filtered", kinds(&now.reader.filtered));
    }
    report.line("Said nothing new", kinds(&now.ignored));
    if now.unopened > 0 {
        report.line("Without an open event", counted(now.unopened, "packet"));
    }
}

fn held(report: &mut Report, now: &Statistics) {
    let held = &now.held;
    report.line(
        "Held for their owner",
        format!(
            "{} now, {}; {} ever",
            counted(held.waiting, "packet"),
            bytes(held.waiting_bytes),
            held.total
        ),
    );
    report.line(
        "Released",
        format!("{} with a process, {} without", thousands(held.attributed), thousands(held.unattributed)),
    );
}

fn attribution(report: &mut Report, now: &Statistics) {
    let attributed: u64 = now.methods.iter().sum();
    let all = attributed + now.unattributed.iter().sum::<u64>();
    let mut part = |label: &str, count: u64| {
        report.line(label, format!("{}, {}", counted(count, "packet"), share(count, all)));
    };
    part("Attributed", attributed);
    for method in Method::ALL {
        let count = now.attributed_by(method);
        if count > 0 {
            part(&format!("  by {}", method.words()), count);
        }
    }
    part("Not attributed", all - attributed);
    for reason in NoOwner::ALL {
        let count = now.without_owner(reason);
        if count > 0 {
            part(&format!("  {}", reason.words()), count);
        }
    }
}

fn ring(size: u64) -> String {
    format!("{} ({} blocks)", bytes(size), thousands(size / hone_engine::RING_SLOT_BYTES as u64))
}

fn snap_length(length: SnapLength) -> String {
    if length.is_all() { "0 (unlimited)".to_owned() } else { counted(length.number().into(), "byte") }
}

fn kinds(counts: &PerKind) -> String {
    format!(
        "{}, {}, {}",
        counted(counts.packets, "packet"),
        counted(counts.processes, "process event"),
        counted(counts.connections, "connection event")
    )
}

/// The JSON key of a reason. One key is older than the present wording and stays, because programs may use it.
pub(crate) const fn key(reason: NoOwner) -> &'static str {
    match reason {
        NoOwner::HoldFull => "hold full",
        reason => reason.words(),
    }
}

/// The report's numbers, durations in nanoseconds. `reader` is null for a program that is no reader.
#[must_use]
pub fn json(now: &Statistics) -> Value {
    let [major, minor, micro, build] = now.version;
    let reader = &now.reader;
    let named = |names: &[&str], counts: &[u64]| -> Value {
        names
            .iter()
            .zip(counts)
            .map(|(name, count)| (name.replace([' ', '-'], "_"), json!(count)))
            .collect::<Map<_, _>>()
            .into()
    };
    json!({
        "mechanism": now.mechanism().map_or("unknown", Mechanism::words),
        "version": format!("{major}.{minor}.{micro}.{build}"),
        "time": now.now,
        "loaded": now.loaded,
        "logging": now.logging,
        "readers": { "now": now.readers, "total": now.readers_total },
        "ring_bytes": now.ring_bytes,
        "max_snap_length": now.max_snap_length.number(),
        "packets": { "count": now.received.packets, "bytes": now.packet_bytes },
        "processes": {
            "count": now.processes, "events": now.received.processes,
            "starts": now.process_starts, "ends": now.process_ends,
        },
        "connections": {
            "count": now.connections, "events": now.received.connections,
            "opens": now.connection_opens, "closes": now.connection_closes,
        },
        "filtered_in_kernel": now.filtered_by_source,
        "dropped": { "sensor": counts(&now.dropped_by_source), "queue_manager": counts(&now.lost) },
        "ignored": counts(&now.ignored),
        "unopened": now.unopened,
        "held": {
            "waiting": now.held.waiting, "waiting_bytes": now.held.waiting_bytes, "total": now.held.total,
            "attributed": now.held.attributed, "unattributed": now.held.unattributed,
        },
        "attributed": named(&Method::ALL.map(Method::words), &now.methods),
        "unattributed": named(&NoOwner::ALL.map(key), &now.unattributed),
        "blocks": { "count": now.blocks, "bytes": now.block_bytes, "max_bytes": now.max_block_bytes },
        "reader": (reader.id != NO_READER).then(|| json!({
            "id": reader.id,
            "attached": reader.attached,
            "ring_bytes": reader.ring_bytes,
            "ring_blocks": reader.ring_slots,
            "snap_length": reader.snap_length.number(),
            "received": counts(&reader.received),
            "delivered": counts(&reader.delivered),
            "dropped": counts(&reader.dropped),
            "filtered": counts(&reader.filtered),
            "queued": counts(&reader.queued),
        })),
    })
}

/// Counts of each kind of event as JSON.
pub(crate) fn counts(counts: &PerKind) -> Value {
    json!({
        "packets": counts.packets, "process_events": counts.processes,
        "connection_events": counts.connections,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Statistics {
        let mut statistics = Statistics {
            version: [1, 2, 3, 0],
            now: 1_785_412_800_000_000_000,
            loaded: 3_725_000_000_000,
            logging: 12_300_000_000,
            readers: 1,
            readers_total: 1234,
            ring_bytes: 16_384,
            received: PerKind { packets: 1_000_000, processes: 30, connections: 50 },
            packet_bytes: 1 << 30,
            processes: 7,
            process_starts: 20,
            process_ends: 10,
            connections: 9,
            connection_opens: 24,
            connection_closes: 26,
            dropped_by_source: PerKind { packets: 1, processes: 0, connections: 2 },
            ..Statistics::default()
        };
        statistics.reader.id = NO_READER;
        statistics.methods[0] = 999_990;
        statistics.unattributed[0] = 10;
        statistics.mechanism = 2;
        statistics
    }

    #[test]
    fn the_report_is_the_originals_and_more() {
        assert_eq!(
            text(&sample(), None),
            format!(
                "\
Version                     1.2.3.0
Loaded                      2026-07-30 10:57:55 UTC, 1 h 02 min ago
Logging                     12.3 s of that, while a reader was attached
Readers                     1 now, 1,234 ever
Reader id                   none: this program reads no packets
Ring buffer of new readers  16.0 KiB (2,048 blocks)
Longest snap length         0 (unlimited)
Packets                     1,000,000
Packet bytes                1.0 GiB
Process events              20 start, 10 end; 7 running
Connection events           24 open, 26 close; 9 open now
                            (more may close than open: some were open before {SERVICE} started)
Dropped by the sensor       1 packet, 0 process events, 2 connection events
Dropped by queue manager    0 packets, 0 process events, 0 connection events
Said nothing new            0 packets, 0 process events, 0 connection events
Held for their owner        0 packets now, 0 B; 0 ever
Released                    0 with a process, 0 without
Attributed                  999,990 packets, 99.9 %
  by current task           999,990 packets, 99.9 %
Not attributed              10 packets, < 0.1 %
  kernel                    10 packets, < 0.1 %
Sensor's mechanism          tracepoints
Blocks in memory            0, 0 B of at most 0 B
"
            )
        );
    }

    #[test]
    fn a_watched_report_tells_rates() {
        let mut later = sample();
        later.now += 2_000_000_000;
        later.received.packets += 3000;
        later.packet_bytes += 4096;
        let text = text(&later, Some(&sample()));
        assert!(text.contains("1,003,000, 1,500/s\n") && text.contains("2.0 KiB/s\n"), "{text}");
    }

    #[test]
    fn a_reader_is_told_about_itself() {
        let mut statistics = sample();
        statistics.reader.id = 5;
        statistics.reader.snap_length = SnapLength::lenient(96);
        statistics.reader.filtered.packets = 3;
        let text = text(&statistics, None);
        for line in ["Reader id                   5\n", "96 bytes\n", "Filtered                    3 packets"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(json(&statistics)["reader"]["filtered"]["packets"], 3);
    }

    #[test]
    fn json_has_the_same_numbers() {
        let value = json(&sample());
        assert_eq!(value["packets"], json!({ "count": 1_000_000, "bytes": 1 << 30 }));
        assert_eq!(value["dropped"]["sensor"]["connection_events"], 2);
        assert_eq!(value["attributed"]["current_task"], 999_990);
        assert_eq!(value["attributed"]["open_connection_list"], 0);
        assert_eq!(value["reader"], Value::Null);
    }
}

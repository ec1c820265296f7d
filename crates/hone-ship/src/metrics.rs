//! Metrics as OpenMetrics text, in a file that is replaced as a whole; and `hone-ship status`, which reads it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::counters::Counters;
use crate::spool::{Fill, replace};

/// How often the file is written.
pub const EVERY: Duration = Duration::from_secs(2);
/// A file that is older than this was left by a program that has ended.
const STALE: Duration = Duration::from_secs(30);

/// Writes the file.
///
/// # Errors
/// It cannot be written.
pub fn write(file: &Path, counters: &Counters, fill: Fill, url: &str) -> io::Result<()> {
    replace(file, &text(counters, fill, url))
}

/// The metrics as text.
fn text(counters: &Counters, fill: Fill, url: &str) -> String {
    let mut out = String::new();
    let counts = [
        ("attachments", "Times that honed began its stream.", counters.attachments.get()),
        ("received_bytes", "Bytes from honed.", counters.received_bytes.get()),
        (
            "dropped_bytes",
            "Bytes from honed that were dropped because the spool was full or could not be written.",
            counters.dropped_bytes.get(),
        ),
        (
            "dropped_segments",
            "Segments that were dropped because the spool was full.",
            counters.dropped_segments.get(),
        ),
        (
            "dropped_batches",
            "Batches that were dropped because the spool was full.",
            counters.dropped_batches.get(),
        ),
        ("dropped_rows", "Rows of the dropped batches.", counters.dropped_rows.get()),
        ("damaged", "Batches that could not be read and were set aside.", counters.damaged.get()),
        ("made_batches", "Batches that were made.", counters.made_batches.get()),
        ("delivered_batches", "Batches that the destination has.", counters.delivered_batches.get()),
        ("delivered_rows", "Rows that the destination has.", counters.delivered_rows.get()),
        ("delivered_bytes", "Bytes that the destination has.", counters.delivered_bytes.get()),
        (
            "failed_deliveries",
            "Deliveries that failed and are tried again.",
            counters.failed_deliveries.get(),
        ),
    ];
    for (name, help, value) in counts {
        let _ = write!(
            out,
            "# TYPE hone_ship_{name} counter\n# HELP hone_ship_{name} {help}\nhone_ship_{name}_total {value}\n"
        );
    }
    let gauges = [
        (
            "attached",
            "Whether honed sends its stream now.",
            u64::from(counters.is_attached.load(Ordering::Relaxed)),
        ),
        ("spool_bytes", "Bytes in the spool.", fill.bytes),
        ("spool_limit_bytes", "Most bytes in the spool.", fill.most),
        ("spool_segments", "Segments in the spool that are whole.", fill.segments as u64),
        ("spool_batches", "Batches in the spool.", fill.batches as u64),
        (
            "last_delivery_timestamp_seconds",
            "When the last batch was delivered; 0: not since the start.",
            counters.last_delivery.load(Ordering::Relaxed),
        ),
    ];
    for (name, help, value) in gauges {
        let _ = write!(
            out,
            "# TYPE hone_ship_{name} gauge\n# HELP hone_ship_{name} {help}\nhone_ship_{name} {value}\n"
        );
    }
    // OpenMetrics has a type of its own for these two, at which a reader of Prometheus' format would refuse the whole file.
    let _ = write!(
        out,
        "# TYPE hone_ship_destination_info gauge\n# HELP hone_ship_destination_info Where batches go.\n\
         hone_ship_destination_info{{url=\"{}\"}} 1\n",
        escaped(url)
    );
    let problems = counters.problems();
    if !problems.is_empty() {
        out.push_str(
            "# TYPE hone_ship_problem_info gauge\n# HELP hone_ship_problem_info What does not work now.\n",
        );
        for (part, text) in problems {
            let _ = writeln!(
                out,
                "hone_ship_problem_info{{part=\"{}\",text=\"{}\"}} 1",
                part.name(),
                escaped(&text)
            );
        }
    }
    out.push_str("# EOF\n");
    out
}

/// A value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The text of which [`escaped`] made this.
fn unescaped(text: &str) -> String {
    let mut rest = text.chars();
    let mut out = String::with_capacity(text.len());
    while let Some(char) = rest.next() {
        out.extend(match char {
            '\\' => rest.next().map(|char| if char == 'n' { '\n' } else { char }),
            char => Some(char),
        });
    }
    out
}

/// What `hone-ship status` prints, and whether all is well.
///
/// # Errors
/// The file cannot be read.
pub fn status(file: &Path) -> io::Result<(String, bool)> {
    let age = std::fs::metadata(file)?.modified()?.elapsed().unwrap_or_default();
    let text = std::fs::read_to_string(file)?;
    if age > STALE {
        return Ok((
            format!("hone-ship does not run: {} is {} s old\n", file.display(), age.as_secs()),
            false,
        ));
    }
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("hone_ship_")?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or("?").to_owned()
    };
    let number = |name: &str| value(name).parse::<u64>().unwrap_or_default();
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        let end = rest.rfind("\"}").or_else(|| rest.find('"'))?;
        Some(unescaped(&rest[..end]))
    };
    let info = text.lines().find(|line| line.starts_with("hone_ship_destination_info"));
    let mut out = String::new();
    let url = info.and_then(|line| label(line, "url")).unwrap_or_default();
    let attached = if value("attached") == "1" { "sends its stream" } else { "is away" };
    let _ = writeln!(out, "honed:        {attached} ({} bytes so far)", value("received_bytes_total"));
    let _ = writeln!(
        out,
        "spool:        {} of {} MiB; {} segments, {} batches",
        number("spool_bytes") >> 20,
        number("spool_limit_bytes") >> 20,
        value("spool_segments"),
        value("spool_batches")
    );
    let _ = writeln!(
        out,
        "destination:  {url}: has {} batches, {} rows, {} bytes",
        value("delivered_batches_total"),
        value("delivered_rows_total"),
        value("delivered_bytes_total")
    );
    let dropped = ["dropped_bytes_total", "dropped_batches_total", "damaged_total"].map(number);
    if dropped.iter().any(|count| *count > 0) {
        let [bytes, batches, damaged] = dropped;
        let _ = writeln!(
            out,
            "lost:         {bytes} bytes from honed, {batches} batches with {} rows; {damaged} batches were damaged",
            value("dropped_rows_total")
        );
    }
    let mut is_well = true;
    for line in text.lines().filter(|line| line.starts_with("hone_ship_problem_info")) {
        is_well = false;
        let _ = writeln!(out, "problem:      {}", label(line, "text").unwrap_or_default());
    }
    Ok((out, is_well))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Part;

    #[test]
    fn status_shows_what_does_not_work() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("metrics.prom");
        let counters = Counters::default();
        counters.delivered_rows.add(7);
        let fill = Fill { bytes: 5 << 20, most: 64 << 20, segments: 1, batches: 2 };
        write(&file, &counters, fill, "s3://bucket").unwrap();
        let (text, is_well) = status(&file).unwrap();
        assert!(is_well && text.contains("5 of 64 MiB; 1 segments, 2 batches"), "{text}");
        assert!(text.contains("s3://bucket: has 0 batches, 7 rows"), "{text}");
        counters.problem(Part::Destination, "it says \"no\"\nand \\never more");
        write(&file, &counters, fill, "s3://bucket").unwrap();
        let (text, is_well) = status(&file).unwrap();
        assert!(!is_well && text.contains("it says \"no\"\nand \\never more"), "{text}");
        let metrics = std::fs::read_to_string(&file).unwrap();
        assert!(metrics.ends_with("# EOF\n"), "{metrics}");
        // node_exporter refuses the whole file for a type that Prometheus' format does not have.
        let types: Vec<_> = metrics.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let is_known = |line: &&str| line.ends_with(" counter") || line.ends_with(" gauge");
        assert!(types.iter().all(is_known), "{types:?}");
        counters.is_fine(Part::Destination);
        write(&file, &counters, fill, "s3://bucket").unwrap();
        assert!(status(&file).unwrap().1);
    }
}

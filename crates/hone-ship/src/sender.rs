//! Delivers batches: one thread, in the order of their numbers. A batch that is not delivered is tried again, and those behind it
//! wait in the spool.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::batch::Batch;
use crate::counters::{Counters, Part};
use crate::destination::{DeliveryError, Destination, Stop};
use crate::spool::Spool;

/// How long to wait before the same batch is tried again: at first, and at most.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// How often a wait looks whether the program is to end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Delivers until `end`; after `stop`, only until the spool is empty or a delivery fails.
pub fn run(destination: &mut dyn Destination, spool: &Spool, counters: &Counters, stop: &Stop, end: &Stop) {
    let mut pause = AGAIN[0];
    while !end.is_set() {
        let Some((number, path)) = spool.next_batch() else {
            if stop.is_set() && !spool.has_segments() {
                return;
            }
            spool.wait(LOOK_EVERY);
            continue;
        };
        let delivered = Batch::open(&path)
            .map_err(|error| DeliveryError::Damaged(format!("{}: {error}", path.display())))
            .and_then(|mut batch| {
                // A batch of before the destination was changed.
                if batch.description.format != destination.format() {
                    let why = format!("{}: it was made for another kind of destination", path.display());
                    return Err(DeliveryError::Damaged(why));
                }
                let mut delivered = destination.deliver(&batch, end);
                if let Err(DeliveryError::Conflict(why)) = &delivered {
                    tracing::warn!(
                        "{why}. Was this host copied or set back? Its batches have another name from now on"
                    );
                    spool.rename(&mut batch).map_err(|error| {
                        let path = path.display();
                        DeliveryError::Away(format!(
                            "it under another name: {path} cannot be written: {error}"
                        ))
                    })?;
                    delivered = destination.deliver(&batch, end);
                }
                delivered.map(|()| batch)
            });
        let failed = match delivered {
            Ok(batch) => {
                counters.delivered_batches.add(1);
                counters.delivered_rows.add(batch.rows());
                counters.delivered_bytes.add(batch.bytes());
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                counters.last_delivery.store(now.as_secs(), Ordering::Relaxed);
                counters.is_fine(Part::Destination);
                pause = AGAIN[0];
                if let Err(error) = spool.delivered(number) {
                    tracing::warn!(
                        "cannot remove {}: {error}. It is delivered again after the next start",
                        path.display()
                    );
                }
                None
            }
            Err(DeliveryError::Stopped) => None,
            Err(DeliveryError::Damaged(why)) => {
                tracing::warn!("{why}. The batch is set aside, in the spool's folder damaged");
                counters.damaged.add(1);
                if let Err(error) = spool.damaged_batch(number) {
                    tracing::warn!("cannot set {} aside: {error}", path.display());
                }
                None
            }
            Err(DeliveryError::Away(why) | DeliveryError::Denied(why) | DeliveryError::Conflict(why)) => {
                counters.failed_deliveries.add(1);
                Some(why)
            }
        };
        spool.keep_batch();
        let Some(why) = failed else { continue };
        counters.problem(
            Part::Destination,
            &format!("cannot deliver to {why}. The batches are kept, and tried again"),
        );
        let until = Instant::now() + pause;
        pause = (2 * pause).min(AGAIN[1]);
        while Instant::now() < until {
            if stop.is_set() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

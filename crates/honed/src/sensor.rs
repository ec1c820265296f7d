//! The sensor's thread: owns the sensor, feeds the engine.
//!
//! Takes the hub's lock for one batch of records at a time, and never waits while it holds the lock. While there is no
//! reader, the BPF programs copy no packets, and this thread only follows processes and connections.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hone_engine::{Event, Nanos};
use hone_linux::{Sensor, SensorConfig, SensorError};
use hone_queue::pace::{BATCH, DROPS_EVERY, WAIT};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::hub::{Hub, Phase};
use crate::privileges;

/// Batches between two wake-ups of readers under load. Waking each reader for each batch would cost more than the
/// batch.
const BATCHES: u32 = 8;
/// Longest wait for records while there are no readers.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// How long after a stop request older records are still collected.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The result of the thread's start: what works less well on this machine than elsewhere, or why the sensor does not
/// run.
pub(crate) type Started = Receiver<Result<Vec<String>, SensorError>>;

/// Starts the thread. It ends when the hub stops. It also ends when the sensor fails, and then stops the hub.
pub(crate) fn start(hub: Arc<Hub>) -> std::io::Result<(JoinHandle<Result<(), SensorError>>, Started)> {
    let (tell, started) = sync_channel(1);
    let run = move || run(&hub, &tell);
    Ok((std::thread::Builder::new().name("sensor".into()).spawn(run)?, started))
}

fn run(hub: &Hub, tell: &SyncSender<Result<Vec<String>, SensorError>>) -> Result<(), SensorError> {
    let mut sensor = match begin(hub) {
        Ok(sensor) => {
            let _ = tell.send(Ok(sensor.notes().to_vec()));
            sensor
        }
        Err(error) => {
            let _ = tell.send(Err(error));
            return Ok(());
        }
    };
    let result = collect(hub, &mut sensor);
    if let Err(error) = &result {
        hub.stop(format!("the sensor has failed: {error}"));
    }
    // No record that could name the owners of held packets arrives any more.
    hub.lock("sensor").queue.engine.flush_held();
    hub.end();
    hub.main.wake();
    result
}

/// Loads the sensor, reads the state of the host, and drops the privileges that this needed.
fn begin(hub: &Hub) -> Result<Sensor, SensorError> {
    // Only this thread gets a higher priority: readers' requests, however many, must not delay it.
    if let Err(error) = hone_linux::raise_priority() {
        tracing::warn!(
            "when all processors are busy, packets can be lost: no permission for a priority ({error})"
        );
    }
    let mut sensor = Sensor::start(&SensorConfig {
        snap_length: None,
        ring_bytes: hub.sensor_bytes,
        mechanism: hub.wanted_mechanism,
        hash_executables: hub.hash_executables,
    })?;
    let mechanism = sensor.mechanism();
    tracing::info!("the kernel tells who uses a socket by {}", mechanism.words());
    let _ = hub.mechanism.set(mechanism);
    let capture = sensor.capture();
    let mut state = hub.lock("sensor");
    state.queue.capture.programs = Some(capture);
    // The engine counts what it cannot record.
    sensor.restate(&mut |event| {
        let _ = state.queue.engine.restate(&event);
    })?;
    drop(state);
    if let Err(error) = privileges::drop_all() {
        tracing::warn!("the sensor's thread keeps its capabilities: {error}");
    }
    Ok(sensor)
}

fn collect(hub: &Hub, sensor: &mut Sensor) -> Result<(), SensorError> {
    let mut drops_asked = Instant::now();
    // After a stop: when to give up collecting older records, and the time up to which they must be collected.
    let mut until: Option<(Instant, Nanos)> = None;
    let mut batches = 0;
    loop {
        if until.is_none() && hub.phase() != Phase::Running {
            until = Some((Instant::now() + CATCH_UP, hone_linux::now()));
        }
        batches = (batches + 1) % BATCHES;
        let before = hone_linux::now();
        let (taken, latest) = take(hub, sensor, batches == 0)?;
        if drops_asked.elapsed() >= DROPS_EVERY {
            drops_asked = Instant::now();
            report_drops(hub, sensor)?;
        }
        match until {
            Some((deadline, time)) if taken == 0 || latest >= time || Instant::now() >= deadline => {
                return report_drops(hub, sensor);
            }
            None if taken == 0 => wait(hub, sensor, before),
            _ => {}
        }
    }
}

/// Hands one batch of records to the engine, and may wake the readers. Returns the number of records and the latest
/// time among them. Readers that are not woken now are woken before this thread waits, because the engine keeps the
/// signals.
fn take(hub: &Hub, sensor: &mut Sensor, wake: bool) -> Result<(usize, Nanos), SensorError> {
    let mut state = None;
    let mut latest = 0;
    let mut started = Vec::new();
    let mut wants_expected = None;
    let taken = sensor.poll(Duration::ZERO, BATCH, &mut |event| {
        latest = latest.max(event.at());
        if let Event::ProcessStarted(start) = &event {
            started.push(start.process);
        }
        let state = state.get_or_insert_with(|| hub.lock("sensor"));
        // The engine counts what it cannot record.
        let _ = state.queue.engine.handle(&event);
    });
    if let Some(state) = &mut state {
        started.into_iter().for_each(|process| state.queue.look_at_process(process));
        wants_expected = Some(state.queue.engine.wants_expected());
        if wake {
            state.queue.wake();
        }
    }
    drop(state);
    if let Some(is_wanted) = wants_expected {
        sensor.announce(is_wanted);
    }
    Ok((taken?, latest))
}

fn report_drops(hub: &Hub, sensor: &mut Sensor) -> Result<(), SensorError> {
    let drops = sensor.drops()?;
    let mut state = hub.lock("sensor");
    state.queue.engine.report_source_drops(drops);
    if state.queue.capture.failed {
        state.queue.retarget();
    }
    Ok(())
}

/// Waits for records or for a signal of the hub. All records up to the time `told` have been taken.
fn wait(hub: &Hub, sensor: &Sensor, told: Nanos) {
    let mut state = hub.lock("sensor");
    // Releases packets that were held long enough. Every wait is shorter than the time for which packets are held.
    state.queue.engine.tick(told);
    state.queue.wake();
    let idle = state.queue.readers() == 0;
    drop(state);
    let timeout = Timespec::try_from(if idle { IDLE_WAIT } else { WAIT }).ok();
    let mut fds = [PollFd::new(sensor, PollFlags::IN), PollFd::new(&hub.sensor, PollFlags::IN)];
    // An error is a signal, or a fault that a longer wait would not repair. In both cases the records are read next.
    if poll(&mut fds, timeout.as_ref()).is_ok() && !fds[1].revents().is_empty() {
        hub.sensor.clear();
    }
}

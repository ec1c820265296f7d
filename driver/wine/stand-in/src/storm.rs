//! WFP calls the driver on several processors at once.

use crate::classify::{self, Indication};

/// Positions in the driver's table, for IPv4: a connection is authorised, a packet leaves, an endpoint is closed.
const CONNECT: usize = 0;
pub(crate) const OUTBOUND: usize = 12;
const CLOSURE: usize = 4;

/// As many threads as connections, which differ in the endpoint and the process: both count from the packet's on. Each
/// connection opens, sends the packet `rounds` times, closes, and sends it once more.
///
/// # Errors
/// The driver does not let something pass, or a call is refused.
pub(crate) fn storm(threads: usize, rounds: usize, packet: &Indication) -> Result<(), String> {
    let (endpoint, process) = packet.endpoint.zip(packet.process).ok_or("no endpoint or process")?;
    std::thread::scope(|scope| {
        let run = |number: u64| {
            move || {
                let endpoint = Some(endpoint + number);
                let connection = |place| Indication { place, endpoint, ..Indication::default() };
                let sent = || Indication { endpoint, process: None, ..packet.clone() };
                let process = Some(process + number);
                pass(Indication { process, ..connection(CONNECT) })?;
                (0..rounds).try_for_each(|_| pass(sent()))?;
                pass(connection(CLOSURE))?;
                pass(sent())
            }
        };
        let running: Vec<_> = (0..threads as u64).map(|number| scope.spawn(run(number))).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread has failed")?)
    })
}

fn pass(mut indication: Indication) -> Result<(), String> {
    const CONTINUE: u32 = 0x2006;
    let action = classify::indicate(&mut indication)?;
    if action == CONTINUE { Ok(()) } else { Err(format!("the driver decides: {action:x}")) }
}

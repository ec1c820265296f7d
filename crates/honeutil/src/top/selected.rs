//! Selecting packets here, where names are known: the service, the driver and the engine know none.

use std::rc::Rc;

use hone_pcapng::view::PacketView;
use hone_pcapng::{ConnectionEvent, ConnectionEventKind, Direction, NoOwner, ProcessEvent};
use hone_select::{ProcessView, Selection};

use hone_rows::ended::Ended;
use hone_rows::ip::Headers;
use hone_rows::processes::Processes;

/// A selection, and what it has to know of the stream.
#[derive(Debug)]
pub struct Selected {
    selection: Rc<Selection>,
    processes: Processes,
    ended: Ended,
}

impl Selected {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(selection: &Rc<Selection>) -> Self {
        Self {
            selection: Rc::clone(selection),
            processes: Processes::new(selection),
            ended: Ended::default(),
        }
    }

    /// Takes note of an event of a process.
    pub(super) fn process(&mut self, event: &ProcessEvent<'_>) {
        self.processes.note(event, Some(event.timestamp));
    }

    /// Takes note of an event of a connection.
    pub(super) fn connection(&mut self, event: &ConnectionEvent<'_>) {
        if event.kind == ConnectionEventKind::Closed
            && let Some(process) = self.processes.get(event.process)
        {
            self.ended.note(event.connection, process.mark);
        }
    }

    /// Whether a packet is selected. `names`: those of the packet and its connection.
    pub(super) fn admits(
        &self,
        packet: &PacketView<'_>,
        headers: Option<&Headers<'_>>,
        names: &[&str],
    ) -> bool {
        let selection = &self.selection;
        let is_of_process = match packet.process {
            Some(pid) => match self.processes.get(pid) {
                Some(process) => selection.admits(Some(process.mark)),
                None => {
                    selection.process_matches(Some(&ProcessView { pid: Some(pid), ..ProcessView::default() }))
                }
            },
            None => {
                let was_closed = packet.how == Some(Err(NoOwner::TimeWait));
                let connection = packet.connection.filter(|_| was_closed);
                selection.admits(connection.and_then(|connection| self.ended.mark(connection)))
            }
        };
        let direction = if packet.is_outbound() { Direction::Outbound } else { Direction::Inbound };
        is_of_process
            && selection.packet_matches(&hone_select::PacketView {
                ip: packet.data,
                headers: headers.copied(),
                length: packet.original_length,
                direction: Some(direction),
                connection: packet.connection,
                names,
                is_undecoded: false,
            })
    }
}

//! How a packet is attributed: the hot path. Called by [`Engine::handle`], under the embedder's one lock.

use crate::{
    Attribution, ConnectionId, Engine, EventError, Method, Nanos, NoOwner, Owner, Packet, ProcessKey,
    blocks::Role, held::queue::Awaited, tuple::Tuple,
};

/// What is to be done with a packet.
enum Verdict {
    Queue(Attribution),
    /// Hold it until the awaited event shows its owner.
    Hold(ConnectionId, Awaited),
}

impl Engine {
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), EventError> {
        self.queues.counts.packet_bytes += u64::from(packet.original_length());
        let unnamed;
        let packet = if self.is_forgotten(packet) {
            unnamed = Packet { connection: None, ..*packet };
            &unnamed
        } else {
            packet
        };
        match self.correlate(packet) {
            Verdict::Queue(attribution) => self.queues.queue(packet, attribution, Role::Plain, &self.tables),
            Verdict::Hold(connection, awaited) => self.policy().hold(packet, connection, awaited),
        }
    }

    /// Whether the packet's connection has ended and is no longer known. What the kernel sends or takes for it then does not
    /// open it again.
    fn is_forgotten(&self, packet: &Packet<'_>) -> bool {
        matches!(packet.owner, Owner::None(NoOwner::TimeWait))
            && packet.connection.is_some_and(|connection| self.tables.connection(connection).is_none())
    }

    /// Finds the packet's process, or the reason why it has none, or decides that the packet is held.
    fn correlate(&mut self, packet: &Packet<'_>) -> Verdict {
        let (named, attribution) = match packet.owner {
            Owner::Process(process, method) => (Some(process), Ok((process, method))),
            Owner::None(reason) => (None, Err(reason)),
            Owner::Ask => return self.ask(packet),
            Owner::Wait(wait, otherwise) => {
                let Some(connection) = packet.connection else { return Verdict::Queue(otherwise) };
                self.learn(connection, otherwise.ok().map(|(process, _)| process), packet.at);
                let awaited = Awaited { wait: Some(wait), otherwise };
                return if self.waits(connection) {
                    Verdict::Hold(connection, awaited)
                } else {
                    Verdict::Queue(otherwise)
                };
            }
        };
        if let Some(connection) = packet.connection {
            self.learn(connection, named, packet.at);
        }
        Verdict::Queue(attribution)
    }

    /// Attributes a packet with [`Owner::Ask`]: to its connection's owner, else to the process that the open-connection
    /// list names. If neither is known, the packet is held.
    fn ask(&mut self, packet: &Packet<'_>) -> Verdict {
        let known =
            packet.connection.and_then(|connection| self.tables.hear(connection, packet.at)?.identity);
        if let Some(process) = known {
            return Verdict::Queue(Ok((process, Method::Connection)));
        }
        let listed = (self.tables.has_open_list())
            .then(|| Tuple::of(packet.data, packet.direction))
            .flatten()
            .and_then(|tuple| self.tables.listed(&tuple));
        if let Some(connection) = packet.connection {
            self.learn(connection, listed, packet.at);
        }
        if let Some(process) = listed {
            return Verdict::Queue(Ok((process, Method::Listed)));
        }
        let Some(connection) = packet.connection else { return Verdict::Queue(Err(NoOwner::NoSocket)) };
        let otherwise = Err(NoOwner::UnknownSocket);
        if self.waits(connection) {
            Verdict::Hold(connection, Awaited { wait: None, otherwise })
        } else {
            Verdict::Queue(otherwise)
        }
    }

    /// Whether a packet of this connection may be held at all.
    fn waits(&self, connection: ConnectionId) -> bool {
        self.tables.is_open(connection) && self.held.is_on() && self.queues.has_readers()
    }

    /// Opens a connection that is not known yet, so that readers see every connection opened before a packet names it.
    /// An open connection without an owner gets `owner` as its owner.
    pub(super) fn learn(&mut self, connection: ConnectionId, owner: Option<ProcessKey>, at: Nanos) {
        let is_new = self
            .tables
            .hear(connection, at)
            .is_none_or(|known| owner.is_some() && known.identity.is_none() && known.ended().is_none());
        if is_new && self.connection_opened(connection, owner, at).is_err() {
            self.queues.counts.unopened += 1;
        }
    }
}

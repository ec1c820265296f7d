//! How a packet's process is known, and why a packet has none.

/// Declares an enumeration with the words that people read.
macro_rules! in_words {
    (
        $(#[$about:meta])*
        pub enum $name:ident, $count:literal {
            $($(#[$about_variant:meta])* $variant:ident = $words:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$about_variant])* $variant,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; $count] = [$(Self::$variant,)+];

            /// Its place in [`ALL`](Self::ALL).
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// In words, for people; spaces between them.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$variant => $words,)+
                }
            }
        }
    };
}
pub(crate) use in_words;

in_words! {
    /// How a packet's process is known.
    pub enum Method, 10 {
        /// The packet was seen while its process was running in the system call that sent or received it.
        CurrentTask = "current task",
        /// The process that last sent on the packet's socket.
        LastSender = "last sender",
        /// The process that last received from the packet's socket.
        LastReceiver = "last receiver",
        /// The process that created the socket; nobody has used it since.
        Creator = "creator",
        /// The process that accepted the connection.
        Accepted = "acceptor",
        /// The process whose listening socket the packet arrived at; nobody has accepted the connection yet.
        Listener = "listener",
        /// The owner of the packet's connection, from an earlier connection event.
        Connection = "connection",
        /// The owner of the packet's connection in the list of open connections.
        Listed = "open-connection list",
        /// The process that was seen to take this packet's first byte out of the socket, afterwards.
        Reader = "reader",
        /// The process that wrote the packet's first byte, by the stream's sequence numbers.
        Writer = "writer",
    }
}

in_words! {
    /// Why a packet has no process.
    pub enum NoOwner, 9 {
        /// The kernel itself sends or consumes it: an ICMP reply, the reset of an unknown connection.
        Kernel = "kernel",
        /// No socket of this host takes it: a port where nobody listens.
        NoSocket = "no socket",
        /// It has a socket, of which no user has been seen.
        UnknownSocket = "unknown socket",
        /// It has a socket, and no user of it was seen while the packet was held. Recorded as
        /// [`UnknownSocket`](Self::UnknownSocket), counted on its own.
        HoldExpired = "hold expired",
        /// It was to be held until its process is seen, and was evicted early, or never held: other packets needed the
        /// room, or there was no memory.
        HoldFull = "no room to wait",
        /// Its connection has ended, and only the kernel remembers it.
        TimeWait = "time-wait",
        /// This host only passes it on.
        Forwarded = "forwarded",
        /// A firewall rule or another program of this host dropped it, on its way to or from a socket.
        Filtered = "firewall",
        /// Several processes can use its socket, and none was seen to read it in time.
        Shared = "shared socket",
    }
}

/// How a packet's process is known, or why it has none.
pub type How = Result<Method, NoOwner>;

/// [`How`] in words, for people: the same in every output of Hone.
#[must_use]
pub const fn words(how: How) -> &'static str {
    match how {
        Ok(method) => method.words(),
        Err(reason) => reason.words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_its_place_and_no_two_have_the_same_words() {
        assert!(Method::ALL.iter().enumerate().all(|(index, method)| method.index() == index));
        assert!(NoOwner::ALL.iter().enumerate().all(|(index, reason)| reason.index() == index));
        let all = || Method::ALL.map(Ok).into_iter().chain(NoOwner::ALL.map(Err));
        for how in all() {
            assert_eq!(all().filter(|&other| words(other) == words(how)).count(), 1, "{how:?}");
        }
    }
}

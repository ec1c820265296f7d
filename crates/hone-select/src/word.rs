//! The words.

/// What a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// The process id.
    Pid,
    /// The executable's file name, or its whole path.
    Name,
    /// The executable's whole path, or a folder that it is in, if the value ends with a slash.
    Path,
    /// The user, by name, number or security identifier.
    User,
    /// The group, by name or number.
    Group,
    /// The beginning of the container's id or name.
    Container,
    /// The systemd unit; `.service` may be left out.
    Unit,
    /// The connection's id.
    Conn,
    /// The port at either end.
    Port,
    /// The address at either end, or the network that it is in.
    Host,
    /// The name that a packet has, or its connection, or a domain that the name is in. Only recordings have names.
    Domain,
    /// Which way a packet goes.
    Direction,
    /// A pcap-filter expression.
    Filter,
}

impl Word {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 13] = [
        Self::Pid,
        Self::Name,
        Self::Path,
        Self::User,
        Self::Group,
        Self::Container,
        Self::Unit,
        Self::Conn,
        Self::Port,
        Self::Host,
        Self::Domain,
        Self::Direction,
        Self::Filter,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Name => "name",
            Self::Path => "path",
            Self::User => "user",
            Self::Group => "group",
            Self::Container => "container",
            Self::Unit => "unit",
            Self::Conn => "conn",
            Self::Port => "port",
            Self::Host => "host",
            Self::Domain => "domain",
            Self::Direction => "direction",
            Self::Filter => "filter",
        }
    }

    /// The name of its opposite.
    #[must_use]
    pub const fn opposite(self) -> &'static str {
        match self {
            Self::Pid => "not-pid",
            Self::Name => "not-name",
            Self::Path => "not-path",
            Self::User => "not-user",
            Self::Group => "not-group",
            Self::Container => "not-container",
            Self::Unit => "not-unit",
            Self::Conn => "not-conn",
            Self::Port => "not-port",
            Self::Host => "not-host",
            Self::Domain => "not-domain",
            Self::Direction => "not-direction",
            Self::Filter => "not-filter",
        }
    }

    /// How it is written, behind `--`.
    #[must_use]
    pub const fn written(self, is_negated: bool) -> &'static str {
        if is_negated { self.opposite() } else { self.name() }
    }

    /// The word that is written so, and whether it is its opposite.
    #[must_use]
    pub fn read(written: &str) -> Option<(Self, bool)> {
        let forms = Self::ALL.into_iter().flat_map(|word| [(word, false), (word, true)]);
        forms.into_iter().find(|(word, is_negated)| word.written(*is_negated) == written)
    }

    /// Whether it is about processes; else it is about packets.
    #[must_use]
    pub const fn is_of_process(self) -> bool {
        matches!(
            self,
            Self::Pid | Self::Name | Self::Path | Self::User | Self::Group | Self::Container | Self::Unit
        )
    }
}

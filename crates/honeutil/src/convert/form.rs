//! The forms that a recording can be written in.

/// What a recording becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Hone's own: takes out again what the other forms have added, and makes Hone's events of what other programs say of
    /// processes
    #[default]
    Hone,
    /// Adds process blocks of Wireshark 5 (frame.process.name); older versions show each as a row without a time
    Wireshark,
    /// Adds Apple's process blocks, which Wireshark reads from 4.6 on (frame.darwin.process_info.pname)
    Darwin,
    /// Adds a comment to each packet that has a process, for every program that shows comments
    Comments,
    /// A libpcap file with process id and name in front of each packet (pktap.pid, pktap.cmdname)
    Pktap,
    /// A plain libpcap file, for programs that read no other; without processes
    Pcap,
}

impl Form {
    /// Whether it is a libpcap file, which has nothing but packets.
    pub(super) fn is_classic(self) -> bool {
        matches!(self, Self::Pktap | Self::Pcap)
    }

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hone => "hone",
            Self::Wireshark => "wireshark",
            Self::Darwin => "darwin",
            Self::Comments => "comments",
            Self::Pktap => "pktap",
            Self::Pcap => "pcap",
        }
    }
}

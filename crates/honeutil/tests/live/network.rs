//! Two network namespaces, joined by a veth pair, with addresses that no other test uses.
//!
//! There is no route to anywhere else, so nothing leaves them.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use hone_testing::{Guarded, run};

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    A,
    B,
}

/// The interface that joins them has the same name at both ends.
pub(crate) const INTERFACE: &str = "veth0";

/// The namespaces; removed when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    subnet: u32,
}

impl Network {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        assert!(number < 256, "each process has 256 subnets");
        // Of the 2^22 subnets 10.x.x.x/30, other ones than those of any test process with a pid nearby.
        let subnet = ((pid << 8) + number) & 0x003f_ffff;
        let network = Self { name: format!("hone-{pid}-{number}"), subnet };
        // From here on, dropping it removes what there is.
        let (a, b) = (network.namespace(End::A), network.namespace(End::B));
        let mut script = format!("netns add {a}\nnetns add {b}\n");
        script += &format!("link add {INTERFACE} netns {a} type veth peer name {INTERFACE} netns {b}\n");
        batch(None, &script);
        for end in [End::A, End::B] {
            let (v4, v6) = (network.v4(end), network.v6(end));
            // Without link-local addresses, and with one that need not be probed for duplicates, IPv6 works at once.
            let script = format!(
                "link set {INTERFACE} addrgenmode none\n\
                 address add {v4}/30 dev {INTERFACE}\n\
                 address add {v6}/64 dev {INTERFACE} nodad\n\
                 link set lo up\n\
                 link set {INTERFACE} up\n"
            );
            batch(Some(&network.namespace(end)), &script);
        }
        network
    }

    fn namespace(&self, end: End) -> String {
        format!("{}-{}", self.name, if end == End::A { "a" } else { "b" })
    }

    pub(crate) fn v4(&self, end: End) -> IpAddr {
        Ipv4Addr::from_bits(10 << 24 | self.subnet << 2 | (end as u32 + 1)).into()
    }

    /// The network of both IPv4 addresses.
    pub(crate) fn range(&self) -> String {
        format!("{}/30", Ipv4Addr::from_bits(10 << 24 | self.subnet << 2))
    }

    pub(crate) fn v6(&self, end: End) -> IpAddr {
        // A unique local prefix (RFC 4193) of our own.
        let [high, low] = [(self.subnet >> 16) as u16, (self.subnet & 0xffff) as u16];
        Ipv6Addr::new(0xfd68, 0x6f6e, 0x6565, high, low, 0, 0, end as u16 + 1).into()
    }

    /// Whether an address is one of the four.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        [End::A, End::B].iter().any(|end| address == self.v4(*end) || address == self.v6(*end))
    }

    /// How many IPv4 packets from one end to the other these bytes of a recording hold. Blocks may be cut short.
    pub(crate) fn packets_in(&self, bytes: &[u8]) -> usize {
        let address = |end| match self.v4(end) {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => unreachable!("it is one of IPv4"),
        };
        let (a, b) = (address(End::A), address(End::B));
        // The source stands before the destination (RFC 791).
        let pairs = [[a, b].concat(), [b, a].concat()];
        // Most bytes are no beginning of an address: this is much faster.
        let begins = bytes.windows(8).filter(|window| window[0] == a[0]);
        begins.filter(|window| pairs.iter().any(|pair| window == pair)).count()
    }

    /// A command that runs in one of the namespaces. `nsenter` becomes the program without a fork, so that the id of
    /// the child that is started is the id of the program.
    pub(crate) fn command(&self, end: End, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.namespace(end)))
            .arg("--")
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Changes the network settings of one namespace, as sysctl(8) names them.
    pub(crate) fn set(&self, end: End, path: &str, value: &str) {
        let script = format!("echo '{value}' > /proc/sys/{path}");
        run(self.command(end, "sh").args(["-c", &script]));
    }

    /// Runs `ip` with these words in one namespace.
    pub(crate) fn ip(&self, end: End, words: &str) {
        batch(Some(&self.namespace(end)), words);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for end in [End::A, End::B] {
            // Fails where it was not made.
            let mut command = Command::new("ip");
            let _ = command.args(["netns", "delete", &self.namespace(end)]).stderr(Stdio::null()).status();
        }
    }
}

/// Runs several `ip` commands in one process.
fn batch(namespace: Option<&str>, script: &str) {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    let mut ip = Guarded::spawn(command.args(["-batch", "-"]).stdin(Stdio::piped()));
    let mut stdin = ip.child().stdin.take().expect("it is piped");
    stdin.write_all(script.as_bytes()).expect("ip reads its commands");
    drop(stdin);
    assert!(ip.wait(script).success(), "ip -batch failed: {script}");
}

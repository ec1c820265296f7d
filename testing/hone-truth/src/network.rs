//! The network namespaces of one scenario: two hosts, connected by a veth pair, with addresses that no other scenario
//! uses.
//!
//! They have no route to any other network, so no packet leaves them. A namespace has no name and is held only by a
//! descriptor. So the kernel removes it together with the last process in it, whatever happens to the bench.

use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    A,
    B,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The interface between the hosts. It has the same name at both ends.
pub(crate) const INTERFACE: &str = "veth0";

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    /// Makes a namespace.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn new() -> Result<Self> {
        // A separate thread enters the new namespace, so this thread never has to leave it.
        let made = std::thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        let file =
            made.join().map_err(|_| anyhow::anyhow!("the thread that makes a namespace panicked"))??;
        Ok(Self(file.into()))
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn enter(&self) -> Result<()> {
        setns(self.as_fd(), CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")
    }

    /// Runs a function in the namespace, on a separate thread. Programs that it starts are in the namespace too.
    ///
    /// # Errors
    /// Those of `what`.
    pub(crate) fn within<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                what()
            });
            thread.join().map_err(|_| anyhow::anyhow!("a thread in a network namespace panicked"))?
        })
    }

    /// Runs these `ip` commands in the namespace.
    ///
    /// # Errors
    /// The message of `ip`.
    pub(crate) fn ip(&self, script: &str) -> Result<()> {
        self.within(|| {
            let mut command = Command::new("ip");
            command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut ip = command.spawn().context("cannot start ip (iproute2)")?;
            ip.stdin.take().context("ip has no standard input")?.write_all(script.as_bytes())?;
            let output = ip.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            // Keeps only the kernel's message. The rest is the number of the line.
            let said = said.split("\nCommand failed").next().unwrap_or_default().trim();
            ensure!(output.status.success(), "ip {:?}: {said}", script.trim_end());
            Ok(())
        })
    }

    /// Changes a setting of the namespace, below `/proc/sys/net`.
    ///
    /// # Errors
    /// There is no such setting, or the kernel refuses the value.
    pub(crate) fn set(&self, path: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{path}");
        self.within(|| {
            std::fs::write(&path, value).with_context(|| format!("cannot write {value:?} to {path}"))
        })
    }

    /// The inode number of the namespace. The kernel's structures and `/proc` use it.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub(crate) fn number(&self) -> Result<u32> {
        Ok(u32::try_from(nix::sys::stat::fstat(self)?.st_ino)?)
    }

    /// The path by which `ip` finds the namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel's message in an error of [`Namespace::ip`].
pub(crate) fn refusal(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.rsplit("Error: ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The network of one scenario: its two namespaces.
#[derive(Debug)]
pub(crate) struct Network {
    a: Namespace,
    b: Namespace,
    subnet: u32,
}

impl Network {
    /// Makes both namespaces, with addresses of subnet `number`, which must be below 128.
    ///
    /// # Errors
    /// `ip` is missing, or the kernel refuses a step.
    pub(crate) fn new(number: usize) -> Result<Self> {
        ensure!(number < 128, "a run has 128 subnets");
        // Of the 2^22 subnets 10.x.x.x/30, this uses others than any run with a nearby process id.
        let subnet = (std::process::id() << 7 | u32::try_from(number)?) & 0x003f_ffff;
        let network = Self { a: Namespace::new()?, b: Namespace::new()?, subnet };
        network.a.ip(&format!(
            "link add {INTERFACE} type veth peer name {INTERFACE} netns {}\n",
            network.b.path()
        ))?;
        for end in [End::A, End::B] {
            let (v4, v6) = (network.address(end, Family::V4), network.address(end, Family::V6));
            // Without link-local addresses, and with an address that needs no duplicate detection, IPv6 works at once.
            network.at(end).ip(&format!(
                "link set {INTERFACE} addrgenmode none\n\
                 address add {v4}/30 dev {INTERFACE}\n\
                 address add {v6}/64 dev {INTERFACE} nodad\n\
                 link set lo up\n\
                 link set {INTERFACE} up\n"
            ))?;
        }
        Ok(network)
    }

    pub(crate) fn at(&self, end: End) -> &Namespace {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    pub(crate) fn address(&self, end: End, family: Family) -> IpAddr {
        self.host(end as u16 + 1, family)
    }

    /// An address of this network. Hosts 1 and 2 are the two ends; IPv4 has only these two.
    pub(crate) fn host(&self, host: u16, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(10 << 24 | self.subnet << 2 | u32::from(host)).into(),
            Family::V6 => {
                // A unique local prefix (RFC 4193), different from the live tests' prefix.
                let [_, one, high, low] = self.subnet.to_be_bytes();
                let low = u16::from_be_bytes([high, low]);
                Ipv6Addr::new(0xfd74, 0x7275, 0x7468, one.into(), low, 0, 0, host).into()
            }
        }
    }

    /// Addresses inside a tunnel or behind a router. `net` is below 16, `host` below 256.
    pub(crate) fn beyond(&self, net: u16, host: u16, family: Family) -> IpAddr {
        match family {
            // 100.64.0.0/10 has 2^22 addresses. Each run and scenario uses 16 networks of it, so two runs may collide,
            // but only rarely.
            Family::V4 => {
                let net = (self.subnet << 4 | u32::from(net)) & 0x3fff;
                Ipv4Addr::from_bits(0x6440_0000 | net << 8 | u32::from(host)).into()
            }
            Family::V6 => {
                let [_, one, high, low] = self.subnet.to_be_bytes();
                let low = u16::from_be_bytes([high, low]);
                Ipv6Addr::new(0xfd74, 0x7275, 0x7469, one.into(), low, net, 0, host).into()
            }
        }
    }
}

//! Where an app runs: its own network and directory, and its running processes.

use std::collections::HashSet;
use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::network::{End, Family, Network};
use crate::packet::Protocol;
use crate::stage::wait_for;

/// Longest time that a client may take, in seconds.
const PATIENCE: &str = "60";
/// Time that programs have to end before they are killed.
const MANNERS: Duration = Duration::from_secs(5);

/// Everything that an app's functions work with. The server is at end A, its clients are at end B.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) network: Network,
    pub(crate) directory: PathBuf,
    children: Vec<Child>,
}

impl Play {
    /// Makes the network and the directory of an app.
    ///
    /// # Arguments
    /// `number` is that of the network, see [`Network::new`]. `directory` is made, and is not removed.
    ///
    /// # Errors
    /// The network or the directory cannot be made.
    pub(crate) fn new(number: usize, directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        // Servers give up root's rights, but must still be able to read their files.
        std::fs::set_permissions(directory, Permissions::from_mode(0o755))?;
        Ok(Self { network: Network::new(number)?, directory: directory.to_owned(), children: Vec::new() })
    }

    /// The server's address and a port.
    pub(crate) fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.network.address(End::A, Family::V4), port)
    }

    /// The server's IPv6 address and a port.
    pub(crate) fn server_v6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.network.address(End::A, Family::V6), port)
    }

    /// Writes a file that every user may read. In its text, `{dir}` is replaced by the directory; `{ip}` and `{ip6}`
    /// are replaced by the server's addresses.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, self.filled(text)).with_context(|| format!("cannot write {}", path.display()))
    }

    fn filled(&self, text: &str) -> String {
        let text = text.replace("{dir}", &self.directory.display().to_string());
        let text = text.replace("{ip}", &self.server(0).ip().to_string());
        text.replace("{ip6}", &self.server_v6(0).ip().to_string())
    }

    fn command(&self, program: &str, script: &str) -> Command {
        let mut command = Command::new(program);
        if program == "timeout" {
            command.args(["-k", "5", PATIENCE, "sh"]);
        }
        command.arg("-ec").arg(self.filled(script)).current_dir(&self.directory);
        command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env_remove("NOTIFY_SOCKET");
        command
    }

    fn log(&self, name: &str) -> Result<File> {
        let log = File::options().create(true).append(true).open(self.directory.join(name));
        log.with_context(|| format!("cannot write {name}"))
    }

    /// Starts a server that stays in the foreground. `script` is a shell command line; the shell becomes its last
    /// command (`exec`).
    ///
    /// # Errors
    /// The server cannot be started.
    pub(crate) fn start(&mut self, script: &str) -> Result<()> {
        let log = self.log("server.log")?;
        let mut command = self.command("sh", script);
        command.stdout(log.try_clone()?).stderr(log);
        self.children.push(self.network.at(End::A).within(|| command.spawn().context("cannot start sh"))?);
        Ok(())
    }

    /// Runs a shell command line at one end, and waits until it ends successfully.
    ///
    /// # Errors
    /// It fails, or does not end in time.
    pub(crate) fn run(&self, end: End, script: &str) -> Result<()> {
        let log = self.log("client.log")?;
        let mut command = self.command("timeout", script);
        command.stdout(log.try_clone()?).stderr(log);
        let status = self.network.at(end).within(|| command.status().context("cannot start timeout"))?;
        let said = || {
            let said = std::fs::read(self.directory.join("client.log")).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            said.chars().skip(said.chars().count().saturating_sub(600)).collect::<String>()
        };
        ensure!(status.success(), "{status}: {}: {}", script.trim(), said().trim());
        Ok(())
    }

    /// Waits until something listens at the server's end.
    ///
    /// # Errors
    /// Nothing listens in time.
    pub(crate) fn listening(&self, protocol: Protocol, port: u16) -> Result<()> {
        let (files, state) = match protocol {
            Protocol::Tcp => (["tcp", "tcp6"], "0A"),
            _ => (["udp", "udp6"], "07"),
        };
        let end = format!(":{port:04X}");
        wait_for(format!("something listens at {protocol} port {port}"), || {
            self.network.at(End::A).within(|| {
                let tables =
                    files.map(|file| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")));
                let listens = |line: &str| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    words.get(1).is_some_and(|local| local.ends_with(&end)) && words.get(3) == Some(&state)
                };
                Ok(tables.iter().flatten().any(|table| table.lines().any(listens)))
            })
        })
    }

    /// Ends every process in the network, and waits until all are gone.
    ///
    /// # Errors
    /// The network's namespaces cannot be identified.
    pub(crate) fn end(&mut self) -> Result<()> {
        let namespaces: HashSet<u32> =
            [End::A, End::B].map(|end| self.network.at(end).number()).into_iter().collect::<Result<_>>()?;
        let started = Instant::now();
        let mut asked = HashSet::new();
        loop {
            for child in &mut self.children {
                // Reaps the child if it has ended. An error needs no action.
                let _ = child.try_wait();
            }
            let left = inhabitants(&namespaces);
            if left.is_empty() || started.elapsed() > 2 * MANNERS {
                return Ok(());
            }
            for process in left {
                if started.elapsed() > MANNERS {
                    let _ = kill(process, Signal::SIGKILL);
                } else if asked.insert(process) {
                    let _ = kill(process, Signal::SIGTERM);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The processes in these network namespaces. Only programs of the bench are in them.
fn inhabitants(namespaces: &HashSet<u32>) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_within = |number: &i32| {
        let link = std::fs::read_link(format!("/proc/{number}/ns/net")).unwrap_or_default();
        let inode =
            link.to_str().and_then(|link| link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode: u32| namespaces.contains(&inode))
    };
    numbers.filter(is_within).map(Pid::from_raw).collect()
}

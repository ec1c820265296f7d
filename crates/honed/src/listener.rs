//! The socket, which only one service at a time can make, and its clients. Each client is checked before it gets a
//! thread.
//!
//! Owns the socket's file and the lock file beside it. Called by the main thread.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use hone_client::{Readers, Refusal, state_file};
use rustix::fs::{FlockOperation, flock};

use crate::config::Config;
use crate::hub::Hub;
use crate::peer::Peer;
use crate::session;

pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    group: Option<u32>,
    /// The same for those who may not read. It is looked up once, because that can take long.
    readers: Readers,
    /// Locked as long as the file is open.
    _lock: File,
}

impl Listener {
    /// Makes the socket. Replaces one that an earlier service left behind.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let path = &config.socket;
        let shown = path.display();
        if let Some(directory) = path.parent() {
            make_directory(directory)?;
        }
        let lock = lock(path)?;
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
            Ok(file) if !file.file_type().is_socket() => {
                bail!("{shown} is in the way: it is no socket. Remove it, or set another `socket`");
            }
            Ok(_) => {
                if UnixStream::connect(path).is_ok() {
                    bail!("another program already listens on {shown}: stop it, or set another `socket`");
                }
                tracing::debug!("removing {shown}, which nobody listens on");
                std::fs::remove_file(path).with_context(|| format!("cannot remove the stale {shown}"))?;
            }
        }
        let group = config.socket_group.as_deref().and_then(|name| {
            let group = nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
            if group.is_none() {
                tracing::warn!(
                    "there is no group {name:?} (socket_group): only root may read. `groupadd -r {name}`"
                );
            }
            group
        });
        // The umask lets only the owner in, so nobody else gets in before the group is set.
        let socket = UnixListener::bind(path).with_context(|| format!("cannot listen on {shown}"))?;
        let readers = group.map_or(Readers::Root, Readers::of_group);
        let opened = Self { socket, path: path.clone(), group, readers, _lock: lock };
        let mode = PermissionsExt::from_mode(if group.is_some() { 0o660 } else { 0o600 });
        group
            .map_or(Ok(()), |group| chown(path, None, Some(group)))
            .and_then(|()| std::fs::set_permissions(path, mode))
            .with_context(|| format!("cannot set the permissions of {shown}"))?;
        opened.socket.set_nonblocking(true).context("cannot set up the socket")?;
        Ok(opened)
    }

    /// Starts a thread for each client that has connected and may read.
    pub(crate) fn accept(&self, hub: &Arc<Hub>) {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    if let Err(error) = self.admit(hub, socket) {
                        tracing::warn!("cannot serve a client: {error}");
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    tracing::error!("cannot accept a client: {error}");
                    // Most likely no file descriptor is free. The client still waits, and would wake this thread again
                    // at once.
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    return;
                }
            }
        }
    }

    fn admit(&self, hub: &Arc<Hub>, mut socket: UnixStream) -> io::Result<()> {
        let peer = Peer::of(&socket)?;
        socket.set_nonblocking(true)?;
        let mut refuse = |refusal, text: &str| {
            tracing::info!("refused {peer}: {text}");
            // If the socket does not take all of it, the client loses nothing important.
            let _ = socket.write(&session::refusal(refusal, 0, text));
            Ok(())
        };
        if !peer.may_read(self.group) {
            return refuse(Refusal::Permission, &format!("no permission to read: {}", self.readers));
        }
        let admitted = {
            let connections = hub.connections.lock();
            hub.shares.connection(peer.user(), connections.iter().map(|connected| connected.user))
        };
        if let Err(text) = admitted {
            return refuse(Refusal::TooMany, &text);
        }
        session::start(Arc::clone(hub), socket, peer)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
        // The lock file stays: removing it would let two services each lock a file of their own.
    }
}

fn make_directory(directory: &Path) -> anyhow::Result<()> {
    if !directory.exists() {
        std::fs::create_dir(directory)
            .and_then(|()| std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)))
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    Ok(())
}

/// Takes the lock that a running service holds.
fn lock(socket: &Path) -> anyhow::Result<File> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let mut file = state_file::open(Path::new(&path))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let holder = io::read_to_string(&file).unwrap_or_default();
        let holder = holder.trim();
        bail!(
            "another honed{}{holder} serves {} already: stop it (`systemctl stop honed`), or give this one another \
             socket with --socket",
            if holder.is_empty() { "" } else { ", process " },
            socket.display()
        );
    }
    // Only for people.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

//! Limits how much of the service clients may use, so that no client and no user takes what others need: connections,
//! readers, ring buffers, and memory for unfinished requests. Decides whether a user may have more. Called under the
//! locks of the data that it reads.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::Config;

/// Connections in addition to those of readers, for statistics and a stop while all readers are attached.
const MORE_CONNECTIONS: u64 = 32;
/// How many of all connections are reserved for root.
const CONNECTIONS_OF_ROOT: u64 = 16;
/// One part in this many of the readers and ring buffers is reserved for root.
const PART_OF_ROOT: u64 = 16;
/// Least total size of ring buffers, bytes, so that root can have large ones even where few readers are allowed.
const LEAST_RING_BYTES: u64 = 64 << 20;
/// Most bytes of requests that are being received or carried out, for all clients together: three of the longest kind,
/// which only root may send, plus the longest requests of other users on some hundred connections.
const REQUEST_BYTES: u64 = 16 << 20;
/// How long one request may take to arrive completely.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a client that is not a reader may send no request.
pub(crate) const IDLE_TIME: Duration = Duration::from_secs(600);
/// How long a client may take to receive a frame of a save.
pub(crate) const SAVE_STEP_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to receive its last frame.
pub(crate) const CLOSING_TIME: Duration = Duration::from_secs(10);

/// The limits of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// For all users together.
    pub(crate) all: u64,
    /// For all users except root together.
    pub(crate) members: u64,
    /// For each user except root.
    pub(crate) user: u64,
}

/// A limit was reached: that of all users, of all except root, or of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    All(u64),
    Members(u64),
    User(u64),
}

impl Share {
    /// Of `all`, `root` is reserved for root. One user may have at most half of the rest.
    const fn new(all: u64, root: u64) -> Self {
        let members = all - root;
        Self { all, members, user: members.div_ceil(2) }
    }

    /// Whether `user` may have `more`. `taken` lists how much each user has.
    fn admit(self, user: u32, more: u64, taken: impl Iterator<Item = (u32, u64)>) -> Result<(), Full> {
        let (mut all, mut members, mut own) = (more, more, more);
        for (who, amount) in taken {
            all += amount;
            members += if who == 0 { 0 } else { amount };
            own += if who == user { amount } else { 0 };
        }
        match user {
            _ if all > self.all => Err(Full::All(self.all)),
            0 => Ok(()),
            _ if own > self.user => Err(Full::User(self.user)),
            _ if members > self.members => Err(Full::Members(self.members)),
            _ => Ok(()),
        }
    }
}

impl Display for Full {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(most) => write!(f, "all {most} are taken"),
            Self::Members(most) => write!(f, "all {most} that users other than root may have are taken"),
            Self::User(most) => write!(f, "the {most} that one user may have are taken"),
        }
    }
}

/// The limits of all resources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares {
    pub(crate) connections: Share,
    pub(crate) readers: Share,
    pub(crate) ring_bytes: Share,
}

impl Shares {
    pub(crate) fn new(config: &Config) -> Self {
        let readers = u64::from(config.max_readers);
        let ring_bytes = (readers * u64::from(config.ring_bytes)).max(LEAST_RING_BYTES);
        Self {
            connections: Share::new(readers + MORE_CONNECTIONS, CONNECTIONS_OF_ROOT),
            readers: Share::new(readers, readers / PART_OF_ROOT),
            ring_bytes: Share::new(ring_bytes, ring_bytes / PART_OF_ROOT),
        }
    }

    /// Whether `user` may have one more connection in addition to `those`.
    pub(crate) fn connection(&self, user: u32, those: impl Iterator<Item = u32>) -> Result<(), String> {
        self.connections.admit(user, 1, those.map(|user| (user, 1))).map_err(|full| {
            format!("too many connections: {full}. Close some, or raise max_readers in hone.toml")
        })
    }
}

/// The readers that take a place: those attached, those being attached, and those whose memory is not freed yet.
#[derive(Debug)]
pub(crate) struct Places {
    shares: Shares,
    taken: Vec<Place>,
}

/// What one reader uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) user: u32,
    ring_bytes: u64,
}

/// Why there is no place for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    Readers(Full),
    RingBytes(Full),
}

impl Display for NoPlace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readers(full) => {
                write!(f, "too many readers: {full}. End some, or raise max_readers in hone.toml")
            }
            Self::RingBytes(full) => {
                write!(
                    f,
                    "too many bytes of ring buffers: {full}. End some readers, or ask for a smaller one"
                )
            }
        }
    }
}

impl Places {
    pub(crate) const fn new(shares: Shares) -> Self {
        Self { shares, taken: Vec::new() }
    }

    /// Takes a place for a reader. It must be returned after all memory of the reader was freed.
    pub(crate) fn take(&mut self, user: u32, ring_bytes: u64) -> Result<Place, NoPlace> {
        let taken =
            |amount: fn(&Place) -> u64| self.taken.iter().map(move |place| (place.user, amount(place)));
        self.shares.readers.admit(user, 1, taken(|_| 1)).map_err(NoPlace::Readers)?;
        self.shares
            .ring_bytes
            .admit(user, ring_bytes, taken(|place| place.ring_bytes))
            .map_err(NoPlace::RingBytes)?;
        let place = Place { user, ring_bytes };
        self.taken.push(place);
        Ok(place)
    }

    pub(crate) fn give_back(&mut self, place: Place) {
        if let Some(index) = self.taken.iter().position(|taken| *taken == place) {
            self.taken.swap_remove(index);
        }
    }

    /// How many places are taken, and the bytes of their ring buffers.
    pub(crate) fn ring_bytes(&self) -> u64 {
        self.taken.iter().map(|place| place.ring_bytes).sum()
    }
}

/// Memory for requests: how many requests are being received or carried out, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    count: AtomicU64,
    bytes: AtomicU64,
}

/// Memory reserved for one request. Dropping this value returns it.
#[derive(Debug)]
pub(crate) struct Room {
    requests: Arc<Requests>,
    bytes: u64,
}

impl Requests {
    /// Reserves memory for a request of this length; `None`: too much is in use.
    pub(crate) fn room(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let bytes = bytes as u64;
        let more = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= REQUEST_BYTES);
        self.bytes.fetch_update(Relaxed, Relaxed, more).ok()?;
        self.count.fetch_add(1, Relaxed);
        Some(Room { requests: Arc::clone(self), bytes })
    }

    /// How many requests there are, and their bytes.
    pub(crate) fn level(&self) -> (u64, u64) {
        (self.count.load(Relaxed), self.bytes.load(Relaxed))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.requests.bytes.fetch_sub(self.bytes, Relaxed);
        self.requests.count.fetch_sub(1, Relaxed);
    }
}

/// Most memory that clients can make the service use, bytes, not counting the blocks. For the memory limit in the
/// systemd unit.
#[cfg(test)]
pub(crate) fn most_bytes(config: &Config) -> u64 {
    use hone_api::limits::MAX_FILTER_IDS;
    use hone_client::protocol::{HEADER_BYTES, MAX_BLOCKS_BYTES};

    let shares = Shares::new(config);
    // Four filter lists, kept by the connection or by its reader.
    let lists = 4 * MAX_FILTER_IDS as u64 * 8;
    // The used part of a thread's stack, and the kernel's buffer of a socket: 208 KiB by net.core.wmem_default.
    let connection = lists + (64 << 10) + (208 << 10);
    shares.ring_bytes.all
        + shares.readers.all * (HEADER_BYTES + MAX_BLOCKS_BYTES) as u64
        + shares.connections.all * connection
        // A request that is being received, and the data made from it.
        + 2 * REQUEST_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share::new(160, 16);

    #[test]
    fn one_user_leaves_half_to_others_and_all_of_them_the_rest_to_root() {
        let admit = |user, taken: &[(u32, u64)]| SHARE.admit(user, 1, taken.iter().copied());
        assert_eq!(admit(7, &[(7, 71)]), Ok(()));
        assert_eq!(admit(7, &[(7, 72)]), Err(Full::User(72)));
        assert_eq!(admit(8, &[(7, 72)]), Ok(()));
        assert_eq!(admit(9, &[(7, 72), (8, 72)]), Err(Full::Members(144)));
        assert_eq!(admit(0, &[(7, 72), (8, 72)]), Ok(()));
        assert_eq!(admit(0, &[(7, 72), (8, 72), (0, 16)]), Err(Full::All(160)));
        // What root uses of the rest does not reduce what is reserved for root.
        assert_eq!(admit(7, &[(0, 100), (7, 59)]), Ok(()));
        assert_eq!(admit(7, &[(0, 101), (7, 59)]), Err(Full::All(160)));
    }

    #[test]
    fn few_readers_are_for_whoever_comes() {
        let one = Share::new(1, 0);
        assert_eq!((one.members, one.user), (1, 1));
        assert_eq!(one.admit(7, 1, [].into_iter()), Ok(()));
    }

    #[test]
    fn a_place_is_taken_until_it_is_given_back() {
        let config = Config { max_readers: 4, ring_bytes: 1 << 20, ..crate::config::defaults() };
        let mut places = Places::new(Shares::new(&config));
        let first = places.take(7, 1 << 20).expect("the first");
        places.take(7, 1 << 20).expect("half of four");
        assert_eq!(places.take(7, 1024), Err(NoPlace::Readers(Full::User(2))));
        assert_eq!(places.ring_bytes(), 2 << 20);
        places.give_back(first);
        places.take(7, 1024).expect("there is a place again");
        assert!(matches!(places.take(8, 60 << 20), Err(NoPlace::RingBytes(Full::User(_)))));
        assert!(matches!(places.take(0, 63 << 20), Err(NoPlace::RingBytes(Full::All(_)))));
        places.take(0, 62 << 20).expect("root may have all that is left");
    }

    #[test]
    fn requests_of_all_clients_together_are_bounded() {
        let requests = Arc::new(Requests::default());
        let first = requests.room(10 << 20).expect("there is room");
        assert!(requests.room(7 << 20).is_none());
        assert_eq!(requests.level(), (1, 10 << 20));
        drop(first);
        assert!(requests.room(7 << 20).is_some());
        assert_eq!(requests.level(), (0, 0));
    }
}

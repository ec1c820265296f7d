//! The rows of the tables, and which of them are shown in what order.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use hone_names::Named;
use hone_pcapng::ConnectionId;

use super::flow::Facts;
use super::model::Snapshot;
use crate::traffic::Traffic;
use crate::traffic::history::History;
use crate::traffic::peers::Peer;

/// What the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// One for each program of a process.
    Processes,
    /// One for each connection.
    Connections,
    /// One for each systemd unit.
    Units,
    /// One for each container.
    Containers,
    /// One for each user.
    Users,
    /// One for each address of other hosts.
    Hosts,
    /// One for each name of the network.
    Names,
}

impl Table {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Processes,
        Self::Connections,
        Self::Units,
        Self::Containers,
        Self::Users,
        Self::Hosts,
        Self::Names,
    ];

    /// What it is called.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Processes => "Processes",
            Self::Connections => "Connections",
            Self::Units => "Units",
            Self::Containers => "Containers",
            Self::Users => "Users",
            Self::Hosts => "Hosts",
            Self::Names => "Names",
        }
    }

    /// What one of its rows is.
    #[must_use]
    pub const fn one(self) -> &'static str {
        match self {
            Self::Processes => "Process",
            Self::Connections => "Connection",
            Self::Units => "Unit",
            Self::Containers => "Container",
            Self::Users => "User",
            Self::Hosts => "Host",
            Self::Names => "Name",
        }
    }
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Most bytes received per second.
    In,
    /// Most bytes sent per second.
    Out,
    /// Most bytes per second.
    Both,
    /// Most bytes since the start.
    Total,
    /// The alphabet.
    Name,
}

/// Which row it is, from picture to picture.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A program of a process, by its number.
    Process(u64),
    /// A connection.
    Connection(ConnectionId),
    /// What has something in common: a unit, a user and so on.
    Group(Arc<str>),
    /// What has nothing of the kind.
    None,
    /// What is not kept apart.
    Others,
}

/// Whose traffic it is, as it is displayed: safe for a terminal. What is empty is not known, or there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The program's name.
    pub name: String,
    /// The user.
    pub user: Arc<str>,
    /// The systemd unit.
    pub unit: Arc<str>,
    /// The container.
    pub container: Arc<str>,
}

/// A row of any table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which it is.
    pub key: Key,
    /// The process's id; `None`: no process, or several.
    pub pid: Option<u32>,
    /// What it is called, in the first place.
    pub name: Arc<str>,
    /// The process's user, unit and container.
    pub owner: Rc<Owner>,
    /// The other end, or the one with most traffic.
    pub peer: Option<Peer>,
    /// The name of that end.
    pub peer_name: Option<Arc<Named>>,
    /// Of a connection.
    pub facts: Option<Rc<Facts>>,
    /// How many processes and connections it has, if it is a group.
    pub members: (u64, u64),
    /// Its traffic since the start.
    pub total: Traffic,
    /// Its traffic per second.
    pub rate: Traffic,
    /// Its latest rates.
    pub(crate) history: History,
    /// It has ended, or was closed.
    pub is_over: bool,
}

impl Row {
    /// A row without traffic.
    #[must_use]
    pub fn new(key: Key, name: Arc<str>) -> Self {
        Self {
            key,
            pid: None,
            name,
            owner: Rc::default(),
            peer: None,
            peer_name: None,
            facts: None,
            members: (0, 0),
            total: Traffic::default(),
            rate: Traffic::default(),
            history: History::default(),
            is_over: false,
        }
    }

    /// The other end, by its name or by its address.
    #[must_use]
    pub fn with(&self, by_name: bool) -> String {
        match (&self.peer, &self.peer_name) {
            (Some(peer), Some(named)) if by_name => peer.named(&named.name),
            (Some(peer), _) => match self.facts.as_ref().and_then(|facts| facts.named.as_ref()) {
                // The name of this host's end: what the client has asked for.
                Some((named, false)) if by_name => peer.calling(&named.name),
                _ => peer.to_string(),
            },
            (None, _) => String::new(),
        }
    }

    /// Whether a text is in something that the row is known by. `text`: in lower case.
    fn has(&self, text: &str) -> bool {
        let is_in = |known: &str| known.to_lowercase().contains(text);
        let owner = &*self.owner;
        is_in(&self.name)
            || [&*owner.name, &owner.user, &owner.unit, &owner.container].into_iter().any(is_in)
            || self.pid.is_some_and(|pid| pid.to_string() == text)
            || matches!(self.key, Key::Connection(id) if id.to_string() == text)
            || is_in(&self.with(true))
            || is_in(&self.with(false))
    }

    fn add(&mut self, other: &Self) {
        self.total.add(&other.total);
        self.rate.add(&other.rate);
        self.history.add(&other.history);
    }
}

/// Which rows are wanted.
#[derive(Debug)]
pub struct Choice<'a> {
    /// The table.
    pub table: Table,
    /// Only the connections of this row of another table.
    pub within: Option<(Table, &'a Key)>,
    /// Only those that have this text.
    pub find: &'a str,
    /// What comes first.
    pub sort: Sort,
    /// It comes last.
    pub is_reversed: bool,
}

/// The rows of a choice, in order.
#[must_use]
pub fn rows(snapshot: &Snapshot, choice: &Choice<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = match choice.table {
        Table::Processes => {
            let is_shown = |row: &&Row| !row.is_over || row.rate.packets() > 0;
            snapshot.processes.iter().filter(is_shown).cloned().collect()
        }
        Table::Connections => {
            let is_in = |row: &&Row| match choice.within {
                None => matches!(row.key, Key::Connection(_)),
                Some((table, key)) => key_of(snapshot, table, row) == *key,
            };
            snapshot.connections.iter().filter(is_in).cloned().collect()
        }
        table => groups(snapshot, table),
    };
    let find = choice.find.trim().to_lowercase();
    if !find.is_empty() {
        rows.retain(|row| row.has(&find));
    }
    // Rows that are equal in what counts keep their places from picture to picture.
    rows.sort_by(|one, two| one.key.cmp(&two.key));
    match choice.sort {
        Sort::In => rows.sort_by_key(|row| Reverse((row.rate.bytes_in, row.total.bytes_in))),
        Sort::Out => rows.sort_by_key(|row| Reverse((row.rate.bytes_out, row.total.bytes_out))),
        Sort::Both => rows.sort_by_key(|row| Reverse((row.rate.bytes(), row.total.bytes()))),
        Sort::Total => rows.sort_by_key(|row| Reverse(row.total.bytes())),
        Sort::Name => rows.sort_by(|one, two| one.name.cmp(&two.name)),
    }
    if choice.is_reversed {
        rows.reverse();
    }
    rows
}

/// To which row of another table a process or a connection belongs.
fn key_of(snapshot: &Snapshot, table: Table, row: &Row) -> Key {
    let group = |name: &Arc<str>| {
        if name.is_empty() { Key::None } else { Key::Group(Arc::clone(name)) }
    };
    match table {
        Table::Processes => match row.pid {
            // Its program now: connections do not know an earlier one.
            Some(pid) => snapshot.by_pid.get(&pid).map_or(Key::Others, |number| Key::Process(*number)),
            None => Key::None,
        },
        Table::Connections => row.key.clone(),
        _ if row.key == Key::Others => Key::Others,
        Table::Units => group(&row.owner.unit),
        Table::Containers => group(&row.owner.container),
        Table::Users => group(&row.owner.user),
        Table::Hosts => row.peer.map_or(Key::None, |peer| Key::Group(peer.address().to_string().into())),
        Table::Names => match row.facts.as_ref().and_then(|facts| facts.named.as_ref()) {
            Some((named, _)) => Key::Group(Arc::clone(&named.name)),
            None => Key::None,
        },
    }
}

/// What the row of those is called that have nothing of the kind.
fn nothing(table: Table) -> &'static str {
    match table {
        Table::Units => "(no unit)",
        Table::Containers => "(no container)",
        Table::Users => "(no user)",
        Table::Names => "(no name)",
        _ => "(not known)",
    }
}

/// Adds rows up by what they have in common.
fn groups(snapshot: &Snapshot, table: Table) -> Vec<Row> {
    let mut groups: HashMap<Key, Row> = HashMap::new();
    let is_of_processes = matches!(table, Table::Units | Table::Containers | Table::Users);
    for process in snapshot.processes.iter().filter(|_| is_of_processes) {
        let row = group(&mut groups, table, key_of(snapshot, table, process));
        row.add(process);
        row.members.0 += u64::from(process.pid.is_some() && !process.is_over);
    }
    let mut pids: HashMap<Key, Vec<u32>> = HashMap::new();
    let mut most: HashMap<Key, (u64, Reverse<Key>)> = HashMap::new();
    for connection in &snapshot.connections {
        let key = key_of(snapshot, table, connection);
        if !is_of_processes && let Some(pid) = connection.pid {
            pids.entry(key.clone()).or_default().push(pid);
        }
        let row = group(&mut groups, table, key);
        row.members.1 += u64::from(matches!(connection.key, Key::Connection(_)));
        if !is_of_processes {
            row.add(connection);
        }
        // A host is called what its connection with most traffic is called; of equal ones, the oldest.
        let (bytes, order) = (connection.total.bytes(), Reverse(connection.key.clone()));
        if connection.peer_name.is_some()
            && most.get(&row.key).is_none_or(|most| *most < (bytes, order.clone()))
        {
            most.insert(row.key.clone(), (bytes, order));
            row.peer_name.clone_from(&connection.peer_name);
        }
    }
    for (key, mut pids) in pids {
        pids.sort_unstable();
        pids.dedup();
        if let Some(row) = groups.get_mut(&key) {
            row.members.0 = pids.len() as u64;
        }
    }
    let mut gone = |key: Key, traffic: &Traffic| group(&mut groups, table, key).total.add(traffic);
    match table {
        Table::Hosts => {
            let hosts = &snapshot.gone.hosts;
            for (address, traffic) in &hosts.by_key {
                gone(address.map_or(Key::None, |address| Key::Group(address.to_string().into())), traffic);
            }
            gone(Key::Others, &hosts.others);
        }
        Table::Names => {
            let names = &snapshot.gone.names;
            for (name, traffic) in &names.by_key {
                gone(name.as_ref().map_or(Key::None, |name| Key::Group(Arc::clone(name))), traffic);
            }
            gone(Key::Others, &names.others);
        }
        _ => {}
    }
    groups.into_values().filter(|row| row.total.packets() > 0).collect()
}

fn group(groups: &mut HashMap<Key, Row>, table: Table, key: Key) -> &mut Row {
    groups.entry(key).or_insert_with_key(|key| {
        let name = match key {
            Key::Group(name) => Arc::clone(name),
            Key::Others => "(others)".into(),
            _ => nothing(table).into(),
        };
        Row::new(key.clone(), name)
    })
}

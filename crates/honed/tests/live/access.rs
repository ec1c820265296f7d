//! Who may read: root and the group, nobody else.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use hone_client::{Connection, Options, ReaderError, Refusal};
use hone_testing::{Service, ready, wait_for};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A group that every system has, and of which the user below is no member.
pub(crate) const GROUP: (&str, u32) = ("daemon", 1);
const NOBODY: u32 = 65_534;

/// Connects and attaches as an unprivileged user with these groups; only the thread that does so changes.
fn attach_as(socket: &Path, group: u32, supplementary: &[u32]) -> Result<u64, ReaderError> {
    let attach = |mut connection: Connection| connection.attach(&Options::default());
    member(NOBODY, group, supplementary, || Connection::open(socket).and_then(attach))
}

/// Does something as this user with these groups; only the thread that does so changes.
pub(crate) fn member<T: Send>(
    user: u32,
    group: u32,
    supplementary: &[u32],
    act: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let groups: Vec<_> = supplementary.iter().map(|group| Gid::from_raw(*group)).collect();
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            set_thread_groups(&groups).expect("root may");
            set_thread_res_gid(group, group, group).expect("root may");
            set_thread_res_uid(user, user, user).expect("root may");
            act()
        });
        client.join().expect("the client does not panic")
    })
}

/// Connects as this user with these groups, and does something.
pub(crate) fn connected_as<T: Send>(
    socket: &Path,
    user: u32,
    group: u32,
    supplementary: &[u32],
    act: impl FnOnce(Connection) -> T + Send,
) -> T {
    member(user, group, supplementary, || {
        act(Connection::open(socket).expect("a member of the group is served"))
    })
}

#[test]
fn only_root_and_the_group_may_read() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start(&format!("socket_group = '{}'", GROUP.0));
    let socket = service.socket();
    let file = socket.metadata().expect("there is a socket");
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (0, GROUP.1, 0o660));
    service.reader(&Options::default());
    attach_as(&socket, GROUP.1, &[]).expect("the group is the client's own");
    attach_as(&socket, NOBODY, &[77, GROUP.1]).expect("the group is one of the client's");
    let many: Vec<_> = (2000..3000).chain([GROUP.1]).collect();
    attach_as(&socket, NOBODY, &many).expect("the group is the last of very many");
    let error = attach_as(&socket, NOBODY, &[]).expect_err("nobody may not read");
    assert!(matches!(error, ReaderError::Permission { .. }), "{error}");
    let advice = format!("usermod -aG {} USER", GROUP.0);
    assert!(error.to_string().contains(&advice), "{error}");

    // Should the file let it in, the service does not.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).expect("the socket is ours");
    let error = attach_as(&socket, NOBODY, &[77]).expect_err("nobody may not read");
    assert_eq!(error.refusal(), Some(Refusal::Permission));
    assert!(error.to_string().contains(&advice), "{error}");
    attach_as(&socket, NOBODY, &[GROUP.1]).expect("the group may read");
    service.stop();
}

type Act = fn(&mut Connection) -> Result<(), ReaderError>;

#[test]
fn only_root_may_ask_for_what_concerns_all_readers() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start(&format!("socket_group = '{}'", GROUP.0));
    let asked = |act: Act| {
        connected_as(&service.socket(), NOBODY, GROUP.1, &[], |mut connection| {
            let refusal = act(&mut connection).expect_err("a member of the group may not").refusal();
            connection.statistics().map(|_| refusal)
        })
    };
    let acts: [Act; 3] = [
        |connection| connection.stop_service(true),
        |connection| connection.set_ring_bytes(1 << 20),
        |connection| connection.set_log_levels(hone_client::LogLevels::default()),
    ];
    for act in acts {
        assert_eq!(asked(act).expect("the connection goes on"), Some(Refusal::Permission));
    }
    service.stop();
}

#[test]
fn without_a_group_only_root_may_read() {
    if !ready(&[]) {
        return;
    }
    for (group, warned) in [("", false), ("no-such-group-here", true)] {
        let service = Service::start(&format!("socket_group = '{group}'"));
        let socket = service.socket();
        assert_eq!(socket.metadata().expect("there is a socket").mode() & 0o777, 0o600);
        assert_eq!(service.log().contains("groupadd"), warned);
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))
            .expect("the socket is ours");
        let error = attach_as(&socket, GROUP.1, &[0]).expect_err("only root may read");
        assert_eq!(error.refusal(), Some(Refusal::Permission));
        assert!(error.to_string().contains("only root may"), "{error}");
        service.reader(&Options::default());
        service.stop();
    }
}

#[test]
fn a_running_service_has_no_capabilities() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let _reader = service.reader(&Options::default());
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", service.pid())).expect("it runs") {
        let status = task.expect("it runs").path().join("status");
        let status = std::fs::read_to_string(status).expect("it runs");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{set}: {status}");
        }
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        threads += 1;
    }
    assert!(threads >= 3, "main, sensor and connection");
    service.stop();
}

#[test]
fn only_the_thread_that_hashes_keeps_what_it_needs() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("hash_executables = true");
    let mut sets = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", service.pid())).expect("it runs") {
        let task = task.expect("it runs").path();
        let [name, status] = ["comm", "status"].map(|name| std::fs::read_to_string(task.join(name)));
        let (name, status) = (name.expect("it runs"), status.expect("it runs"));
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("each thread has it");
            u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
        };
        sets.push((name.trim().to_owned(), set("CapPrm:"), set("CapEff:"), set("CapInh:")));
    }
    sets.sort();
    // CAP_DAC_READ_SEARCH is 2, CAP_SYS_PTRACE 19 (capabilities(7)).
    let two = 1 << 2 | 1 << 19;
    let expected = [("hashing", two, two, 0), ("honed", 0, 0, 0), ("sensor", 0, 0, 0)];
    assert_eq!(
        sets,
        expected.map(|(name, permitted, effective, inherited)| (
            name.to_owned(),
            permitted,
            effective,
            inherited
        ))
    );
    service.stop();
}

/// The kernel reports the process id 0 for such a client, which is not a valid process id.
#[test]
fn a_reader_from_outside_its_pid_namespace_is_served_and_named() {
    if !ready(&["unshare"]) {
        return;
    }
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let service = Service::start_inside("log_level = ['verbose', 'information']", &unshare);
    let socket = service.socket();
    let refused =
        || member(NOBODY, NOBODY, &[], || Connection::open(&socket)).expect_err("nobody may not read");
    std::fs::set_permissions(service.socket(), std::fs::Permissions::from_mode(0o666)).expect("it is ours");
    service.reader(&Options::default());
    assert_eq!(refused().refusal(), Some(Refusal::Permission));
    let log = wait_for("it has logged both", || {
        let log = service.log();
        let both = [0, NOBODY].map(|user| format!("a process outside this pid namespace, of user {user}"));
        both.iter().all(|peer| log.contains(peer)).then_some(log)
    });
    assert!(!log.contains("Unknown error"), "{log}");
    service.connect().stop_service(true).expect("root may");
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "honed ended with {status}: {log}");
}

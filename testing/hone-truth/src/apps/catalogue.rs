//! The programs that the bench runs, and the design that each one is an example of.

use anyhow::Result;

use super::play::Play;
use super::{App, services, web};

fn nothing(_: &mut Play) -> Result<()> {
    Ok(())
}

/// All apps.
pub(crate) static TABLE: &[App] = &[
    App {
        name: "nginx",
        design: "binds, daemonises and forks workers; reload; a new binary that inherits the listeners",
        packages: &["nginx-light", "curl"],
        programs: &["/usr/sbin/nginx", "/usr/bin/curl"],
        prepare: web::prepare_nginx,
        serve: web::serve_nginx,
        load: web::load_nginx,
    },
    App {
        name: "apache",
        design: "pre-fork: a pool of processes that accept in turn, renewed while it runs",
        packages: &["apache2-bin", "curl"],
        programs: &["/usr/sbin/apache2", "/usr/bin/curl"],
        prepare: web::prepare_apache,
        serve: web::serve_apache,
        load: web::load_apache,
    },
    App {
        name: "gunicorn",
        design: "pre-fork in Python, workers renewed after a few requests",
        packages: &["gunicorn", "curl"],
        programs: &["/usr/bin/gunicorn", "/usr/bin/curl"],
        prepare: web::prepare_gunicorn,
        serve: web::serve_gunicorn,
        load: web::load_gunicorn,
    },
    App {
        name: "node",
        design: "one process accepts, and passes each connection's descriptor to a worker",
        packages: &["nodejs", "curl"],
        programs: &["/usr/bin/node", "/usr/bin/curl"],
        prepare: web::prepare_node,
        serve: web::serve_node,
        load: web::load_node,
    },
    App {
        name: "haproxy",
        design: "a proxy whose reload hands listeners to the next process while connections go on",
        packages: &["haproxy", "curl", "python3"],
        programs: &["/usr/sbin/haproxy", "/usr/bin/curl", "/usr/bin/python3"],
        prepare: web::prepare_haproxy,
        serve: web::serve_haproxy,
        load: web::load_haproxy,
    },
    App {
        name: "uring",
        design: "io_uring: workers accept, read and write without a system call each (the bench's own program)",
        packages: &["curl"],
        programs: &["/usr/bin/curl"],
        prepare: nothing,
        serve: web::serve_uring,
        load: web::load_uring,
    },
    App {
        name: "postgres",
        design: "forks for each connection",
        packages: &["postgresql"],
        programs: &["/usr/lib/postgresql", "/usr/bin/psql"],
        prepare: services::prepare_postgres,
        serve: services::serve_postgres,
        load: services::load_postgres,
    },
    App {
        name: "sshd",
        design: "forks for each connection and separates privileges: two processes share a socket",
        packages: &["openssh-server", "openssh-client"],
        programs: &["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/sftp"],
        prepare: services::prepare_sshd,
        serve: services::serve_sshd,
        load: services::load_sshd,
    },
    App {
        name: "dovecot",
        design: "passes descriptors: a login process reads first, then the mailbox's process",
        packages: &["dovecot-imapd", "python3"],
        programs: &["/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/bin/python3"],
        prepare: services::prepare_dovecot,
        serve: services::serve_dovecot,
        load: services::load_dovecot,
    },
    App {
        name: "nsd",
        design: "UDP: several workers read from one socket",
        packages: &["nsd", "bind9-dnsutils"],
        programs: &["/usr/sbin/nsd", "/usr/bin/dig"],
        prepare: services::prepare_nsd,
        serve: services::serve_nsd,
        load: services::load_nsd,
    },
    App {
        name: "xinetd",
        design: "a super-server: accepts, forks, and another program finds the connection as its standard input",
        packages: &["xinetd", "socat"],
        programs: &["/usr/sbin/xinetd", "/usr/bin/socat"],
        prepare: services::prepare_xinetd,
        serve: services::serve_xinetd,
        load: services::load_xinetd,
    },
    App {
        name: "socat",
        design: "forks for each connection, and for each datagram",
        packages: &["socat"],
        programs: &["/usr/bin/socat"],
        prepare: nothing,
        serve: services::serve_socat,
        load: services::load_socat,
    },
];

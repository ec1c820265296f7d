//! Servers of protocols other than HTTP.

use anyhow::Result;

use super::play::Play;
use crate::network::End;
use crate::packet::Protocol::{Tcp, Udp};

const PORT: u16 = 2000;

const AS_POSTGRES: &str = "setpriv --reuid=postgres --regid=postgres --clear-groups";

pub(super) fn prepare_postgres(play: &mut Play) -> Result<()> {
    play.run(
        End::A,
        &format!(
            "mkdir data; chown postgres: data
             bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
             {AS_POSTGRES} $bin/initdb -D {{dir}}/data -A trust -N >initdb.log
             echo 'host all all 0.0.0.0/0 trust' >>data/pg_hba.conf
             ln -s $bin bin"
        ),
    )
}

pub(super) fn serve_postgres(play: &mut Play) -> Result<()> {
    play.start(&format!(
        "exec {AS_POSTGRES} bin/postgres -D {{dir}}/data -h {{ip}} -p {PORT} -k {{dir}}/data -c fsync=off"
    ))?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_postgres(play: &mut Play) -> Result<()> {
    let psql = format!("psql -h {{ip}} -p {PORT} -U postgres -q -v ON_ERROR_STOP=1");
    play.run(
        End::B,
        &format!(
            "until {psql} -c 'select 1' >/dev/null 2>&1; do sleep 0.1; done
             {psql} -c 'create table numbers (n int, text text)'
             for one in $(seq 12); do
                 {psql} -c \"insert into numbers select n, repeat('x', 200) from generate_series(1, 500) n\" & pids=\"$pids $!\"
             done
             for pid in $pids; do wait $pid; done
             {psql} -c 'select * from numbers' >/dev/null
             seq 2000 | {psql} -c 'copy numbers (n) from stdin'"
        ),
    )
}

pub(super) fn prepare_sshd(play: &mut Play) -> Result<()> {
    play.file(
        "sshd_config",
        &format!(
            "Port {PORT}\nListenAddress {{ip}}\nHostKey {{dir}}/host_key\nAuthorizedKeysFile {{dir}}/key.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile {{dir}}/sshd.pid\n\
             MaxStartups 50\nSubsystem sftp internal-sftp\n"
        ),
    )?;
    play.file("large", &"0123456789abcdef".repeat(20_000))?;
    play.run(
        End::A,
        "ssh-keygen -q -t ed25519 -N '' -f host_key; ssh-keygen -q -t ed25519 -N '' -f key; mkdir -p /run/sshd",
    )
}

pub(super) fn serve_sshd(play: &mut Play) -> Result<()> {
    play.run(End::A, "/usr/sbin/sshd -f {dir}/sshd_config -E {dir}/sshd.log")?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_sshd(play: &mut Play) -> Result<()> {
    let options = "-F none -i {dir}/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -q";
    play.run(
        End::B,
        &format!(
            "for one in 1 2 3 4; do
                 ssh {options} -p {PORT} root@{{ip}} 'head -c 300000 /dev/zero; cat >/dev/null' <large >/dev/null & pids=\"$pids $!\"
             done
             for pid in $pids; do wait $pid; done
             for one in 1 2; do
                 echo 'get {{dir}}/large /dev/null' | sftp {options} -b - -P {PORT} nobody@{{ip}} >/dev/null
             done"
        ),
    )
}

pub(super) fn prepare_dovecot(play: &mut Play) -> Result<()> {
    play.file(
        "dovecot.conf",
        &format!(
            "base_dir = {{dir}}/run\nstate_dir = {{dir}}/state\nlog_path = {{dir}}/dovecot.log\nprotocols = imap\nlisten = {{ip}}\n\
             ssl = no\ndisable_plaintext_auth = no\nfirst_valid_uid = 1\nmail_location = maildir:{{dir}}/mail/%u\n\
             passdb {{\n driver = static\n args = password=secret\n}}\n\
             userdb {{\n driver = static\n args = uid=mail gid=mail home={{dir}}/mail/%u\n}}\n\
             service imap-login {{\n inet_listener imap {{\n port = {PORT}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n"
        ),
    )?;
    play.file(
        "client.py",
        &format!(
            "import imaplib, sys\n\
             box = imaplib.IMAP4('{{ip}}', {PORT})\n\
             box.login(sys.argv[1], 'secret')\n\
             for count in range(3):\n    \
                 box.append('INBOX', None, None, b'Subject: hello\\r\\n\\r\\n' + b'0123456789\\r\\n' * 4000)\n\
             box.select()\n\
             kind, found = box.search(None, 'ALL')\n\
             for number in found[0].split():\n    \
                 box.fetch(number, '(RFC822)')\n\
             box.logout()\n"
        ),
    )?;
    play.run(End::A, "mkdir mail run state; chown mail: mail")
}

pub(super) fn serve_dovecot(play: &mut Play) -> Result<()> {
    play.run(End::A, "dovecot -c {dir}/dovecot.conf")?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_dovecot(play: &mut Play) -> Result<()> {
    play.run(
        End::B,
        "for user in one two three four one two; do python3 client.py $user & pids=\"$pids $!\"; done
         for pid in $pids; do wait $pid; done",
    )
}

pub(super) fn prepare_nsd(play: &mut Play) -> Result<()> {
    play.file(
        "nsd.conf",
        &format!(
            "server:\n server-count: 4\n ip-address: {{ip}}@{PORT}\n ip-address: {{ip6}}@{PORT}\n username: nsd\n zonesdir: {{dir}}\n\
             \x20database: \"\"\n xfrdfile: {{dir}}/state/xfrd\n xfrdir: {{dir}}/state\n zonelistfile: {{dir}}/state/zones\n\
             \x20pidfile: {{dir}}/state/pid\n logfile: {{dir}}/state/log\n\
             remote-control:\n control-enable: no\n\
             zone:\n name: bench.test\n zonefile: zone\n"
        ),
    )?;
    play.file(
        "zone",
        "$ORIGIN bench.test.\n@ 60 SOA ns root 1 60 60 60 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n* 60 TXT \"something\"\n",
    )?;
    play.run(End::A, "mkdir state; chown nsd: state")
}

pub(super) fn serve_nsd(play: &mut Play) -> Result<()> {
    play.run(End::A, "nsd -c {dir}/nsd.conf")?;
    play.listening(Udp, PORT)?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_nsd(play: &mut Play) -> Result<()> {
    play.run(
        End::B,
        &format!(
            "for one in $(seq 12); do
                 seq -f \"n%g-$one.bench.test TXT\" 20 >names-$one
                 dig @{{ip}} -p {PORT} +tries=3 -f names-$one >/dev/null & pids=\"$pids $!\"
             done
             for pid in $pids; do wait $pid; done
             for one in 1 2 3; do
                 dig @{{ip6}} -p {PORT} tcp-$one.bench.test TXT +tcp >/dev/null
                 dig @{{ip6}} -p {PORT} udp-$one.bench.test TXT >/dev/null
             done"
        ),
    )
}

pub(super) fn prepare_xinetd(play: &mut Play) -> Result<()> {
    play.file(
        "xinetd.conf",
        &format!(
            "defaults\n{{\n instances = 60\n cps = 1000 1\n log_type = FILE {{dir}}/xinetd.log\n}}\n\
             service bench\n{{\n type = UNLISTED\n port = {PORT}\n bind = {{ip}}\n socket_type = stream\n protocol = tcp\n wait = no\n\
             \x20user = nobody\n server = /bin/cat\n disable = no\n}}\n"
        ),
    )?;
    play.file("said", &"some words\n".repeat(3000))
}

pub(super) fn serve_xinetd(play: &mut Play) -> Result<()> {
    play.start("exec xinetd -dontfork -f {dir}/xinetd.conf -pidfile {dir}/xinetd.pid")?;
    play.listening(Tcp, PORT)
}

/// Sends lines to an echo server from many clients at once.
const ECHO: &str = "for one in $(seq 20); do
         socat -t 10 - TCP:{ip}:2000 <said >heard-$one & pids=\"$pids $!\"
     done
     for pid in $pids; do wait $pid; done
     for one in $(seq 20); do cmp said heard-$one; done";

pub(super) fn load_xinetd(play: &mut Play) -> Result<()> {
    play.run(End::B, ECHO)
}

pub(super) fn serve_socat(play: &mut Play) -> Result<()> {
    play.file("said", &"some words\n".repeat(3000))?;
    play.start(&format!("exec socat TCP-LISTEN:{PORT},bind={{ip}},backlog=64,fork EXEC:/bin/cat"))?;
    play.start(&format!("exec socat UDP-RECVFROM:{PORT},bind={{ip}},fork EXEC:/bin/cat"))?;
    play.listening(Tcp, PORT)?;
    play.listening(Udp, PORT)
}

pub(super) fn load_socat(play: &mut Play) -> Result<()> {
    play.run(End::B, ECHO)?;
    play.run(
        End::B,
        &format!(
            "for one in $(seq 20); do
                 echo \"datagram $one\" | socat -t 1 - UDP:{{ip}}:{PORT} >/dev/null & pids=\"$pids $!\"
                 sleep 0.02
             done
             for pid in $pids; do wait $pid; done"
        ),
    )
}

//! HTTP servers.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::play::Play;
use crate::network::End;
use crate::packet::Protocol::Tcp;

const PORT: u16 = 8080;

/// Makes the files that clients fetch: a small one, and one of many segments.
fn documents(play: &Play) -> Result<()> {
    play.file("www/small", "small\n")?;
    play.file("www/large", &"0123456789abcdef".repeat(40_000))
}

/// Fetches files: several at once, and several over one connection. Also uploads one.
fn fetch(play: &Play, rounds: usize) -> Result<()> {
    play.run(
        End::B,
        &format!(
            "for round in $(seq {rounds}); do
                 for one in 1 2 3 4; do
                     curl -sS --fail -m 20 -o /dev/null http://{{ip}}:{PORT}/small & pids=\"$pids $!\"
                 done
                 curl -sS --fail -m 20 -o /dev/null -o /dev/null http://{{ip}}:{PORT}/large http://{{ip}}:{PORT}/small
                 for pid in $pids; do wait $pid; done
                 pids=
             done"
        ),
    )
}

pub(super) fn prepare_nginx(play: &mut Play) -> Result<()> {
    documents(play)?;
    play.file(
        "nginx.conf",
        &format!(
            "daemon on; worker_processes 3; user www-data; pid {{dir}}/nginx.pid; error_log {{dir}}/error.log;
             events {{ worker_connections 128; }}
             http {{
                 access_log off; sendfile on;
                 client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy; fastcgi_temp_path {{dir}}/fastcgi;
                 uwsgi_temp_path {{dir}}/uwsgi; scgi_temp_path {{dir}}/scgi;
                 server {{
                     listen {{ip}}:{PORT}; listen [{{ip6}}]:{PORT}; root {{dir}}/www;
                     location /again/ {{ proxy_pass http://{{ip}}:{PORT}/; }}
                 }}
             }}"
        ),
    )
}

pub(super) fn serve_nginx(play: &mut Play) -> Result<()> {
    play.run(End::A, "/usr/sbin/nginx -p {dir} -c {dir}/nginx.conf")?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_nginx(play: &mut Play) -> Result<()> {
    fetch(play, 4)?;
    play.run(End::B, &format!("curl -gsS --fail -m 20 -o /dev/null http://[{{ip6}}]:{PORT}/again/large"))?;
    play.run(End::A, "/usr/sbin/nginx -p {dir} -c {dir}/nginx.conf -s reload; sleep 0.3")?;
    fetch(play, 2)?;
    play.run(
        End::A,
        "old=$(cat nginx.pid); kill -USR2 $old
         until test -s nginx.pid.oldbin && test -s nginx.pid; do sleep 0.05; done
         sleep 0.2; kill -WINCH $old; sleep 0.2; kill -QUIT $old; sleep 0.2",
    )?;
    fetch(play, 2)
}

pub(super) fn prepare_apache(play: &mut Play) -> Result<()> {
    documents(play)?;
    play.file(
        "apache.conf",
        &format!(
            "ServerRoot {{dir}}\nServerName bench\nListen {{ip}}:{PORT}\nPidFile {{dir}}/apache.pid\n\
             DefaultRuntimeDir {{dir}}\nErrorLog {{dir}}/error.log\nUser www-data\nGroup www-data\n\
             LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so\n\
             LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
             DocumentRoot {{dir}}/www\n<Directory {{dir}}/www>\nRequire all granted\n</Directory>\n\
             StartServers 4\nMinSpareServers 3\nMaxSpareServers 6\nMaxConnectionsPerChild 10\n"
        ),
    )
}

pub(super) fn serve_apache(play: &mut Play) -> Result<()> {
    play.run(End::A, "apache2 -d {dir} -f {dir}/apache.conf -k start")?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_apache(play: &mut Play) -> Result<()> {
    fetch(play, 6)?;
    play.run(End::A, "apache2 -d {dir} -f {dir}/apache.conf -k graceful; sleep 0.5")?;
    fetch(play, 3)
}

pub(super) fn prepare_gunicorn(play: &mut Play) -> Result<()> {
    play.file(
        "served.py",
        "def application(environ, start):\n    \
             body = (b'0123456789abcdef' * 40000) if environ['PATH_INFO'] == '/large' else b'small\\n'\n    \
             start('200 OK', [('Content-Length', str(len(body)))])\n    \
             return [body]\n",
    )
}

pub(super) fn serve_gunicorn(play: &mut Play) -> Result<()> {
    play.start(&format!(
        "exec gunicorn -w 3 -b {{ip}}:{PORT} --max-requests 10 --worker-tmp-dir {{dir}} --pid gunicorn.pid served:application"
    ))?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_gunicorn(play: &mut Play) -> Result<()> {
    fetch(play, 6)?;
    play.run(End::A, "kill -HUP $(cat gunicorn.pid); sleep 1")?;
    fetch(play, 2)
}

pub(super) fn prepare_node(play: &mut Play) -> Result<()> {
    play.file(
        "served.js",
        &format!(
            "const cluster = require('cluster'), http = require('http');
             if (cluster.isPrimary) {{
                 for (let i = 0; i < 3; i++) cluster.fork();
                 process.on('SIGTERM', () => process.exit(0));
             }} else {{
                 const large = '0123456789abcdef'.repeat(40000);
                 http.createServer((request, response) => response.end(request.url == '/large' ? large : 'small\\n'))
                     .listen({PORT}, '{{ip}}');
             }}"
        ),
    )
}

pub(super) fn serve_node(play: &mut Play) -> Result<()> {
    play.start("exec node served.js")?;
    play.listening(Tcp, PORT)?;
    // Gives the other two workers time to start.
    std::thread::sleep(std::time::Duration::from_millis(500));
    Ok(())
}

pub(super) fn load_node(play: &mut Play) -> Result<()> {
    fetch(play, 5)
}

pub(super) fn prepare_haproxy(play: &mut Play) -> Result<()> {
    documents(play)?;
    play.file(
        "haproxy.cfg",
        &format!(
            "global\n daemon\n pidfile {{dir}}/haproxy.pid\n stats socket {{dir}}/control mode 600 level admin expose-fd listeners\n\
             defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend http\n mode http\n bind {{ip}}:{PORT}\n default_backend files\n\
             backend files\n mode http\n server one {{ip}}:8081\n\
             listen spliced\n mode tcp\n option splice-auto\n bind {{ip}}:8082\n server one {{ip}}:8081\n"
        ),
    )
}

pub(super) fn serve_haproxy(play: &mut Play) -> Result<()> {
    play.start("exec python3 -m http.server -d {dir}/www -b {ip} 8081")?;
    play.listening(Tcp, 8081)?;
    play.run(End::A, "haproxy -f {dir}/haproxy.cfg")?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_haproxy(play: &mut Play) -> Result<()> {
    fetch(play, 3)?;
    play.run(End::B, "curl -sS --fail -m 20 -o /dev/null http://{ip}:8082/large")?;
    // Slow enough that it still runs while the next process takes over.
    let slow = format!("curl -sS --fail -m 20 --limit-rate 400k -o /dev/null http://{{ip}}:{PORT}/large");
    let reload = "sleep 0.3; haproxy -f {dir}/haproxy.cfg -x {dir}/control -sf $(cat haproxy.pid); sleep 0.3";
    std::thread::scope(|scope| -> Result<()> {
        let under_way = scope.spawn(|| play.run(End::B, &slow));
        play.run(End::A, reload)?;
        fetch(play, 3)?;
        under_way.join().map_err(|_| anyhow::anyhow!("a client's thread panicked"))?
    })
}

pub(super) fn serve_uring(play: &mut Play) -> Result<()> {
    let bench = std::env::current_exe().context("cannot find this program")?;
    let bench: &Path = &bench;
    play.start(&format!("exec {} serve-uring {}", bench.display(), play.server(PORT)))?;
    play.listening(Tcp, PORT)
}

pub(super) fn load_uring(play: &mut Play) -> Result<()> {
    fetch(play, 6)
}

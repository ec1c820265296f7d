//! Delivery into logs: a real nats-server, and librdkafka's mock cluster of Kafka brokers.

#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Content, HOST, certificate};
use hone_ship::batch::{Batch, Format};
use hone_ship::config::Config;
use hone_ship::destination::{DeliveryError, Destination, Stop, open};
use hone_testing::{Guarded, ready, skip, wait_for};
use serde_json::{Value, json};

const ROWS: usize = 600;

/// A batch of connections and of one process, in this folder.
fn batch(folder: &Path) -> Batch {
    let connection = |number: usize| {
        json!({"host": HOST, "connection_uid": format!("c{number}"), "first_packet": "2026-07-30T12:00:00.000001Z",
            "local_address": "192.0.2.1", "remote_address": "192.0.2.2", "initiated": "local", "bytes_out": number, "bytes_in": 1})
    };
    let process = json!({"host": HOST, "process_uid": "p", "pid": 7, "name": "nginx", "started": "2026-07-30T11:00:00.000001Z"});
    let content = |table, file, rows: Vec<Value>| {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        Content { table, file, rows: rows.len(), bytes: zstd::encode_all(text.as_bytes(), 0).unwrap() }
    };
    let files = [
        content("connections", "0.jsonl.zst", (0..ROWS).map(connection).collect()),
        content("processes", "1.jsonl.zst", vec![process]),
    ];
    common::batch(folder, Format::Json, &files)
}

/// The destination of this address; `more`: further keys.
fn destination(url: &str, more: &str) -> Box<dyn Destination> {
    let text = format!("[destination]\nurl = '{url}'\ntimeout = 20\n{more}");
    let config = Config::parse(Path::new("ship.toml"), &text).unwrap();
    open(&config.destination).unwrap()
}

/// All ids that the batch's messages have.
fn ids() -> BTreeSet<String> {
    (0..ROWS).map(|line| format!("spool-12-0-{line}")).chain(["spool-12-1-0".to_owned()]).collect()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A nats-server with JetStream.
fn nats(folder: &Path, port: u16, more: &str) -> Guarded {
    let config = folder.join("nats.conf");
    let store = folder.join("store");
    let text =
        format!("listen: '127.0.0.1:{port}'\njetstream {{ store_dir: '{}' }}\n{more}\n", store.display());
    fs::write(&config, text).unwrap();
    let server = Guarded::spawn(
        Command::new("nats-server").arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()),
    );
    wait_for("nats-server", || TcpStream::connect(("127.0.0.1", port)).ok());
    server
}

/// Runs requests of a client of NATS.
fn with_nats<T>(
    port: u16,
    options: async_nats::ConnectOptions,
    work: impl AsyncFnOnce(async_nats::jetstream::Context) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = options.connect(format!("nats://127.0.0.1:{port}")).await.unwrap();
        work(async_nats::jetstream::new(client)).await
    })
}

/// Makes a stream of all that hone-ship sends, with the times that docs/fleet.md has.
fn make_stream(port: u16, options: async_nats::ConnectOptions) {
    with_nats(port, options, async |context| {
        let subjects = vec!["fleet.hone.>".to_owned()];
        let stream = async_nats::jetstream::stream::Config {
            name: "HONE".to_owned(),
            subjects,
            max_age: Duration::from_secs(30 * 86_400),
            duplicate_window: Duration::from_secs(2 * 3600),
            ..Default::default()
        };
        context.create_stream(stream).await.unwrap();
    });
}

/// Subject, id and content of all messages of the stream.
fn messages(port: u16) -> Vec<(String, String, Value)> {
    with_nats(port, async_nats::ConnectOptions::new(), async |context| {
        let mut stream = context.get_stream("HONE").await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        let mut all = Vec::new();
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let id = message.headers.get("Nats-Msg-Id").unwrap().as_str().to_owned();
            all.push((message.subject.to_string(), id, serde_json::from_slice(&message.payload).unwrap()));
        }
        all
    })
}

#[test]
fn nats_has_each_row_once_however_often_it_is_delivered() {
    if !ready(&["nats-server"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let batch = batch(folder.path());
    let port = free_port();
    let mut ship = destination(&format!("nats://127.0.0.1:{port}/fleet.hone"), "");
    // Not there yet.
    let error = ship.deliver(&batch, &Stop::default()).unwrap_err();
    assert!(matches!(error, DeliveryError::Away(_)), "{error:?}");
    let server = nats(folder.path(), port, "");
    let error = ship.deliver(&batch, &Stop::default()).unwrap_err();
    assert!(
        matches!(&error, DeliveryError::Away(text) if text.contains("nats stream add HONE --subjects 'fleet.hone.>'")),
        "{error:?}"
    );
    make_stream(port, async_nats::ConnectOptions::new());
    // The second time, as if the answers to the first were lost.
    for _ in 0..2 {
        ship.deliver(&batch, &Stop::default()).unwrap();
    }
    let all = messages(port);
    assert_eq!(all.len(), ROWS + 1);
    assert_eq!(all.iter().map(|message| message.1.clone()).collect::<BTreeSet<_>>(), ids());
    let (subject, id, event) = &all[7];
    assert_eq!((&**subject, &**id), ("fleet.hone.connections.web%2E1", "spool-12-0-7"));
    assert_eq!((&event["event"]["id"], &event["host"]["id"]), (&json!(id), &json!(HOST)));
    assert_eq!((&event["source"]["bytes"], &event["source"]["ip"]), (&json!(7), &json!("192.0.2.1")));
    assert_eq!(all[ROWS].2["process"]["entity_id"], "p");
    // Away for a while: nothing is lost, and nothing is there twice.
    drop(server);
    let error = ship.deliver(&batch, &Stop::default()).unwrap_err();
    assert!(matches!(error, DeliveryError::Away(_)), "{error:?}");
    let _server = nats(folder.path(), port, "");
    ship.deliver(&batch, &Stop::default()).unwrap();
    assert_eq!(messages(port).len(), ROWS + 1);
    // A batch that is damaged is not delivered.
    fs::write(batch.path(&batch.description.files[0]), b"something else").unwrap();
    let error = ship.deliver(&batch, &Stop::default()).unwrap_err();
    assert!(matches!(error, DeliveryError::Damaged(_)), "{error:?}");
}

/// A file of credentials with this password.
fn credentials(folder: &Path, password: &str) -> String {
    let path = folder.join("credentials");
    fs::write(&path, format!("password = '{password}'\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// The delivery was refused for this reason, and the password `guessed` is not shown.
fn is_denied(delivered: Result<(), DeliveryError>, said: &str) {
    match delivered {
        Err(DeliveryError::Denied(text)) => {
            assert!(text.to_lowercase().contains(said) && !text.contains("guessed"), "{said}: {text}");
        }
        other => panic!("{said}: {other:?}"),
    }
}

#[test]
fn nats_is_spoken_to_with_tls_and_credentials_and_a_refusal_says_why() {
    if !ready(&["nats-server", "openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let batch = batch(folder);
    certificate(folder, "localhost", "localhost");
    certificate(folder, "other", "other");
    let port = free_port();
    let path = |name: &str| folder.join(name).display().to_string();
    let _server = nats(
        folder,
        port,
        &format!(
            "tls {{ cert_file: '{}', key_file: '{}' }}\nauthorization {{ users: [ {{ user: ship, password: secret }}, \
             {{ user: reader, password: secret, permissions: {{ publish: 'nothing' }} }} ] }}",
            path("localhost.pem"),
            path("localhost.key")
        ),
    );
    let client = async_nats::ConnectOptions::new()
        .add_root_certificates(folder.join("localhost.pem"))
        .user_and_password("ship".to_owned(), "secret".to_owned());
    make_stream(port, client);
    let url = format!("nats://localhost:{port}/fleet.hone");
    let deliver = |ca: &str, user: &str, password: &str| {
        let credentials = credentials(folder, password);
        let more = format!(
            "ca_certificates = '{}'\ncredentials = '{credentials}'\n[destination.options]\nuser = '{user}'\n",
            path(ca)
        );
        destination(&url, &more).deliver(&batch, &Stop::default())
    };
    deliver("localhost.pem", "ship", "secret").unwrap();
    for (ca, user, password, said) in [
        ("other.pem", "ship", "secret", "certificate"),
        ("localhost.pem", "ship", "guessed", "authorization"),
        ("localhost.pem", "reader", "secret", "permissions violation"),
    ] {
        is_denied(deliver(ca, user, password), said);
    }
}

/// librdkafka's mock cluster.
struct Cluster {
    child: Guarded,
    lines: BufReader<std::process::ChildStdout>,
    broker: String,
}

impl Cluster {
    /// Starts it; `None` if it cannot be had. `front`: certificate, key, user and password, if it has TLS and SASL.
    fn start(front: &[&str]) -> Option<Self> {
        let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kafka-venv").join("bin/python");
        if !python.exists() {
            skip("there is no confluent-kafka: scripts/test installs it into the target directory");
            return None;
        }
        let mut command = Command::new(python);
        command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mock_kafka.py")).args(front);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Guarded::spawn(&mut command);
        let mut lines = BufReader::new(child.child().stdout.take().unwrap());
        let mut broker = String::new();
        lines.read_line(&mut broker).unwrap();
        Some(Self { child, lines, broker: broker.trim().to_owned() })
    }

    /// So many records from the beginning of the topic.
    fn records(&mut self, count: usize) -> Vec<Value> {
        writeln!(self.child.child().stdin.as_mut().unwrap(), "{count}").unwrap();
        let lines = self.lines.by_ref().lines().take(count);
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }
}

#[test]
fn kafka_has_each_row_under_its_host_and_duplicates_have_the_same_id() {
    let Some(mut cluster) = Cluster::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let batch = batch(folder.path());
    let url = format!("kafka://{}/hone", cluster.broker);
    let mut ship = destination(&url, "");
    ship.deliver(&batch, &Stop::default()).unwrap();
    let records = cluster.records(ROWS + 1);
    let id = |record: &Value| record["headers"]["hone-id"].as_str().unwrap().to_owned();
    assert_eq!(records.iter().map(id).collect::<BTreeSet<_>>(), ids());
    let partitions: BTreeSet<_> = records.iter().map(|record| record["partition"].as_i64()).collect();
    assert_eq!(partitions.len(), 1, "a host is in one partition");
    for record in &records {
        assert_eq!(record["key"], HOST);
        assert_eq!(record["value"]["event"]["id"], record["headers"]["hone-id"]);
    }
    assert_eq!(records[ROWS]["headers"]["hone-table"], "processes");
    // Delivered again, as if the answers were lost: the same ids, with the same content.
    ship.deliver(&batch, &Stop::default()).unwrap();
    let again = cluster.records(2 * (ROWS + 1));
    let contents = |records: &[Value]| -> BTreeSet<_> {
        records.iter().map(|record| (id(record), record["value"].to_string())).collect()
    };
    assert_eq!(contents(&again), contents(&records));
    // A topic that is not there.
    let other = format!("kafka://{}/other", cluster.broker);
    let error = destination(&other, "").deliver(&batch, &Stop::default()).unwrap_err();
    let command = "kafka-topics.sh --create --topic other";
    assert!(matches!(&error, DeliveryError::Away(text) if text.ends_with(command)), "{error:?}");
    // A cluster that is away.
    drop(cluster);
    let error = destination(&url, "").deliver(&batch, &Stop::default());
    assert!(matches!(error, Err(DeliveryError::Away(_))), "{error:?}");
}

#[test]
fn kafka_is_spoken_to_with_tls_and_credentials_and_a_refusal_says_why() {
    if !ready(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let batch = batch(folder);
    certificate(folder, "localhost", "localhost");
    certificate(folder, "other", "other");
    let path = |name: &str| folder.join(name).display().to_string();
    let front = [&*path("localhost.pem"), &*path("localhost.key"), "ship", "secret"];
    let Some(mut cluster) = Cluster::start(&front) else { return };
    let url = format!("kafka://{}/hone", cluster.broker);
    let deliver = |ca: &str, password: &str, mechanism: &str| {
        let credentials = credentials(folder, password);
        let more = format!(
            "ca_certificates = '{}'\ncredentials = '{credentials}'\n[destination.options]\nuser = 'ship'\n{mechanism}\n",
            path(ca)
        );
        destination(&url, &more).deliver(&batch, &Stop::default())
    };
    deliver("localhost.pem", "secret", "").unwrap();
    assert_eq!(cluster.records(ROWS + 1).len(), ROWS + 1);
    deliver("localhost.pem", "secret", "sasl_mechanism = 'PLAIN'").unwrap();
    for (ca, password, mechanism, said) in [
        ("other.pem", "secret", "", "certificate"),
        ("localhost.pem", "guessed", "", "saslauthenticationfailed"),
        ("localhost.pem", "secret", "sasl_mechanism = 'SCRAM-SHA-256'", "unsupported sasl mechanism"),
    ] {
        is_denied(deliver(ca, password, mechanism), said);
    }
}

#[test]
fn a_delivery_ends_when_the_program_is_to_end() {
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let batch = batch(folder.path());
    for url in [format!("nats://127.0.0.1:{port}/hone"), format!("kafka://127.0.0.1:{port}/hone")] {
        let stop = Stop::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            stopped.set();
        });
        let error = destination(&url, "").deliver(&batch, &stop).unwrap_err();
        assert!(matches!(error, DeliveryError::Stopped), "{error:?}");
        thread.join().unwrap();
    }
}

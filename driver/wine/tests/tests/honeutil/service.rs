//! The commands that manage the driver: statistics, open connections, start and stop, installation.

use hone_wine_tests::{Folder, NOW, driver, hex, start_processes};

/// The number of processes that have started, from the first line of `get-stats --json`.
fn starts(json: &str) -> u32 {
    let (_, rest) = json.split_once(r#""starts":"#).unwrap_or_else(|| panic!("{json}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("it is a number")
}

#[test]
fn statistics_are_told_as_text_and_json() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    probe.open().expect("it is opened");
    let text = driver.run_honeutil(&["get-stats"]).silently();
    let value = |label: &str| {
        let line =
            text.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{label}: {text}"));
        line[28..].to_owned()
    };
    assert_eq!(value("Readers"), "2 now, 2 ever");
    assert_eq!(value("Ring buffer of this reader"), "16.0 KiB (2,048 blocks)");
    assert_eq!(value("Dropped by queue manager"), "0 packets, 0 process events, 0 connection events");
    assert_eq!(value("Sensor's mechanism"), "callouts");
    assert!(!text.contains("honed"), "{text}");

    let before = starts(&driver.run_honeutil(&["get-stats", "--json"]).silently());
    start_processes(&mut driver, 10_000, 3);
    let json = driver.run_honeutil(&["get-stats", "--json"]).silently();
    for part in [r#""readers":{"now":2,"total":4}"#, &format!(r#""time":{NOW}"#)] {
        assert!(json.contains(part), "{part}: {json}");
    }
    assert_eq!((json.lines().count(), starts(&json)), (1, before + 3));
}

#[test]
fn statistics_are_watched_until_ctrl_c() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let honeutil = driver.honeutil(&["get-stats", "--json", "--watch", "0.1"]);
    honeutil.await_told("}\n");
    let before = starts(&honeutil.written());
    start_processes(&mut driver, 10_000, 2);
    honeutil.await_told(&format!(r#""starts":{}"#, before + 2));
    let told = honeutil.interrupted().silently();
    assert!(told.lines().count() >= 2 && told.lines().all(|line| line.ends_with('}')), "{told}");
    assert!(driver.stop(), "no reader is left");
}

#[test]
fn open_connections_are_sent_and_name_the_process_of_what_the_driver_has_not_seen_begin() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let (files, mut probe) = (driver.files(), driver.probe());
    let (pid, port) = (probe.pid(), probe.command("socket [::1]:0").expect("there is a port"));
    // The driver accepts only connections of running processes.
    driver.stand_in.tell(&format!("start {pid} 4 {} -", hex(br"C:\hone\hone-probe.exe")));
    let row = format!("udp       [::1]:{port} ");
    for arguments in [&["send-conns", "-v", "--dry-run"][..], &["send-conns", "-v"]] {
        let ended = driver.run_honeutil(arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let line =
            ended.stdout.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{ended:?}"));
        assert!(line.ends_with(&format!("{pid}  hone-probe.exe")), "{line}");
        let sent = ended.stdout.lines().count() - 1;
        let expected = if arguments.len() == 3 { "" } else { &format!("sent {sent} record") };
        assert!(
            ended.stderr.starts_with(expected) && ended.stderr.is_empty() == expected.is_empty(),
            "{ended:?}"
        );
    }

    let honeutil = driver.record(&files, "a.pcapng", &["--count", "1"]);
    let port: u16 = port.parse().expect("it is a port");
    let segment = format!("{port:04x}9c40000cdead01020304");
    let (own, other) = ("00000000000000000000000000000001", "00000000000000000000000000000001");
    driver
        .stand_in
        .tell(&format!("classify 13 endpoint=4711 protocol=17 local={own} remote={other} packet={segment}"));
    let ended = honeutil.end();
    assert!(
        ended.stderr.contains("Attributed  100 %") && ended.stderr.contains("hone-probe.exe"),
        "{ended:?}"
    );
}

#[test]
fn it_is_stopped_and_started_but_not_under_a_reader() {
    let Some(mut driver) = driver() else { return };
    let status = |driver: &hone_wine_tests::Driver| {
        let ended = driver.run_honeutil(&["status"]);
        assert_eq!(ended.stderr, "", "{ended:?}");
        (ended.code, ended.stdout)
    };
    let told = |driver: &hone_wine_tests::Driver, command: &str| {
        let ended = driver.run_honeutil(&[command]);
        assert_eq!(ended.stdout, "", "{ended:?}");
        (ended.code, ended.stderr)
    };
    let (code, text) = status(&driver);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("driver   runs since "), "{text}");
    assert!(text.contains("readers  0\nfile     ") && text.ends_with("starts   when asked for\n"), "{text}");
    assert_eq!(told(&driver, "start"), (Some(0), "the driver runs already\n".to_owned()));

    assert_eq!(told(&driver, "stop"), (Some(0), "the driver has stopped\n".to_owned()));
    let (code, text) = status(&driver);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("driver   does not run\nto do    `honeutil start` starts it\n"), "{text}");
    assert_eq!(told(&driver, "stop"), (Some(0), "the driver does not run\n".to_owned()));

    let wine = driver.wine();
    driver.load_by(|| wine.honeutil(&["start"]).end().stderr == "the driver has started\n");
    let files = driver.files();
    let honeutil = driver.record(&files, "a.pcapng", &[]);
    let (code, text) = status(&driver);
    assert!(code == Some(0) && text.contains("readers  1\n"), "{text}");
    let refused = "honeutil: the driver does not stop while programs read from it: end them first\n";
    driver.run_honeutil(&["stop"]).failed(refused);
    start_processes(&mut driver, 10_000, 1);
    assert_eq!(honeutil.interrupted().code, Some(0));
    assert!(crate::held(&files.read("a.pcapng")).processes.contains(&10_000), "it has read on");
}

#[test]
fn what_is_not_installed_is_told() {
    let Some(mut driver) = driver() else { return };
    assert!(driver.stop());
    driver.remove();
    let ended = driver.run_honeutil(&["status"]);
    let expected = "driver   is not installed\nto do    `honeutil install` installs it\n";
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), expected, ""));
    let ended = driver.run_honeutil(&["start"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.starts_with("honeutil: cannot start the driver: ")
            && ended.stderr.ends_with(": install it first (honeutil install)\n"),
        "{ended:?}"
    );
    assert_eq!(driver.run_honeutil(&["stop"]).stderr, "the driver does not run\n");
    driver.create();
}

#[test]
fn an_installation_can_be_tried_without_doing_it() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    let told = |arguments: &[&str]| {
        let ended = driver.run_honeutil(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
        ended.stderr
    };
    let name = files.name("hone.sys");
    assert_eq!(
        told(&["install", "--dry-run", "--driver", &name]),
        r"copy C:\hone\files\hone.sys to C:\windows\System32\drivers\hone.sys
register C:\windows\System32\drivers\hone.sys as the service hone, started with the system
add the provider, sublayer, callouts and filters of the filtering platform
"
    );
    assert_eq!(
        told(&["uninstall", "-n"]),
        r"stop the driver
remove its provider, sublayer, callouts and filters of the filtering platform
remove the service hone and C:\windows\System32\drivers\hone.sys
"
    );
    assert_eq!(Folder::NAME.len() + 9, name.len());
    let ended = driver.run_honeutil(&["status"]);
    assert!(ended.code == Some(0) && ended.stdout.contains("starts   when asked for"), "{ended:?}");
}

#[test]
fn help_speaks_of_windows() {
    let Some(driver) = driver() else { return };
    for command in [
        "",
        "read",
        "top",
        "get-stats",
        "send-conns",
        "log-level",
        "ring-size",
        "selftest",
        "start",
        "stop",
        "status",
        "install",
        "uninstall",
        "show",
        "completions",
    ] {
        let arguments = if command.is_empty() { vec!["--help"] } else { vec![command, "--help"] };
        let help = driver.run_honeutil(&arguments).silently();
        for word in [
            "honed",
            "SIG",
            "systemd",
            "root",
            "sudo",
            "--socket",
            "--local\n",
            "--local ",
            "kernel buffer",
            "/etc",
        ] {
            assert!(!help.contains(word), "{command} --help has {word:?}: {help}");
        }
    }
    let help = driver.run_honeutil(&["read", "--help"]).silently();
    for words in ["Ctrl-Break  end the file", "their owner and administrators only", r"\\.\pipe\NAME"] {
        assert!(help.contains(words), "{words:?} is not in {help}");
    }
    let completions = driver.run_honeutil(&["completions", "powershell"]).silently();
    assert!(completions.contains("Register-ArgumentCompleter") && completions.contains("'get-stats'"));
    let ended = driver.run_honeutil(&["read", "--duration", "never"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
}

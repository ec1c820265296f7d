//! The sentences that answer Wireshark's questions: extcap(4), and the Developer's Guide.

use std::fmt::Write as _;

use hone_select::Word;

use super::access::Interface;
use crate::platform;

/// The interface for everybody, as `honeutil read` records.
pub const HONE: &str = "hone";
/// The one that records without honed.
pub const LOCAL: &str = "hone-local";
/// All interfaces.
pub const INTERFACES: [&str; 2] = [HONE, LOCAL];

/// The number of the toolbar's field for the selection.
pub const SELECT: u8 = 0;
/// The number of the toolbar's log.
pub const LOG: u8 = 1;

/// The link type: packets are seen at their sockets, without a link layer.
pub const LINKS: &str = "dlt {number=101}{name=RAW}{display=Raw IP}\n";

/// The interfaces, and the toolbar of their captures. `version`: of Wireshark.
#[must_use]
pub fn interfaces(interfaces: &[Interface], version: Option<&str>) -> String {
    let mut text = format!("extcap {{version={}}}{{display=Hone}}\n", env!("CARGO_PKG_VERSION"));
    for Interface { name, display } in interfaces {
        let _ = writeln!(text, "interface {{value={name}}}{{display={}}}", plain(display));
    }
    // Toolbars came with Wireshark 2.4, before it said its version.
    if version.is_some() {
        let _ = writeln!(
            text,
            "control {{number={SELECT}}}{{type=string}}{{display=Hone selects}}\
             {{tooltip=Which packets from now on: words as of honeutil read, such as --name curl --not-port 22, or a \
             capture filter, such as tcp port 443. Empty: all}}{{placeholder=everything}}"
        );
        let _ = writeln!(
            text,
            "control {{number={LOG}}}{{type=button}}{{role=logger}}{{display=Log}}\
             {{tooltip=What Hone says about this capture}}"
        );
    }
    text
}

/// A setting.
struct Setting {
    call: &'static str,
    display: &'static str,
    kind: &'static str,
    tooltip: &'static str,
    group: &'static str,
    /// What an empty text field shows.
    example: &'static str,
}

/// The tabs of the dialog.
const CAPTURE: &str = "Capture";
const SELECT_TAB: &str = "Select";
const LEAVE_OUT: &str = "Leave out";
/// The kinds of settings. An editable list, which Wireshark 4.0 does not know, would refuse the whole dialog.
const TEXT: &str = "{type=string}";
const CHOICE: &str = "{type=selector}";
/// A list of what runs, which a button finds anew.
const RUNNING: &str = "{type=selector}{reload=true}{placeholder=Find what runs}";

/// The words of the dialog, with the name in the dialog, the kind, the help, and an example.
#[rustfmt::skip]
const WORDS: [(Word, &str, &str, &str, &str); 11] = [
    (Word::Name, "Program", TEXT, "File name of the executable, or its path", "curl, wget"),
    (Word::Pid, "Process id", RUNNING, "The process with this id", "1234, 1235"),
    (Word::Path, "Path", TEXT, "Path of the executable, or of a folder that it is in, with a slash at its end", "/usr/local/bin/"),
    (Word::User, "User", RUNNING, "User of the process, by name or number", "alice, 1000"),
    (Word::Group, "Group", TEXT, "Group of the process, by name or number", "www-data"),
    (Word::Unit, "systemd unit", RUNNING, "Unit of a service that the process runs in", "ssh.service, nginx"),
    (Word::Container, "Container", TEXT, "Beginning of the id or name of the container that the process runs in", "4f0c1a2b"),
    (Word::Port, "Port", TEXT, "Port at either end", "80, 443"),
    (Word::Host, "Host", TEXT, "Address at either end, or network", "192.0.2.1, 10.0.0.0/8"),
    (Word::Direction, "Direction", CHOICE, "Packets that this host receives, or those that it sends", ""),
    (Word::Filter, "Filter", TEXT, "Expression of tcpdump's language", "tcp port 443 and not net 10.0.0.0/8"),
];

/// Those that processes of this system can have a value of.
fn words() -> impl Iterator<Item = (Word, &'static str, &'static str, &'static str, &'static str)> {
    let has = |word| cfg!(target_os = "linux") || !matches!(word, Word::Group | Word::Unit | Word::Container);
    let here = WORDS.into_iter().filter(move |(word, ..)| has(*word));
    here.map(|(word, display, kind, tooltip, example)| match word {
        // Who has a process there, only a domain's computers may know.
        Word::User if cfg!(windows) => (
            word,
            display,
            TEXT,
            "User of the process, by name or identifier",
            "alice, DOMAIN\\alice, S-1-5-18",
        ),
        Word::Path if cfg!(windows) => (word, display, kind, tooltip, "C:\\Program Files\\curl\\"),
        Word::Name if cfg!(windows) => (word, display, kind, tooltip, "curl.exe, chrome.exe"),
        _ => (word, display, kind, tooltip, example),
    })
}

/// The settings of an interface.
#[must_use]
pub fn settings() -> String {
    let mut settings = vec![Setting {
        call: "snap-length",
        display: "Bytes of each packet (0: all)",
        kind: "{type=unsigned}{range=0,262144}{default=0}",
        tooltip: "Keep at most so many bytes of each packet",
        group: CAPTURE,
        example: "",
    }];
    settings.push(Setting {
        call: "format",
        display: "Format",
        kind: CHOICE,
        tooltip: "Process blocks of Wireshark fill its own process columns from 5.0 on. Older versions show each as a row without \
                  a time",
        group: CAPTURE,
        example: "",
    });
    if cfg!(target_os = "linux") {
        settings.extend([
            Setting {
                call: "include-own",
                display: "Record Wireshark, too",
                kind: "{type=boolflag}{default=false}",
                tooltip: "Else the traffic of Wireshark and of what it has started is left out, and the ssh connection \
                          that Wireshark was started through",
                group: CAPTURE,
            example: "",
            },
            Setting {
                call: "socket",
                display: "Socket of honed",
                kind: TEXT,
                tooltip: "Only if honed does not listen on its usual socket",
                group: CAPTURE,
            example: "/run/hone/hone.sock",
            },
        ]);
    }
    settings.extend(words().map(|(word, display, kind, tooltip, example)| Setting {
        call: word.name(),
        display,
        kind,
        tooltip,
        group: SELECT_TAB,
        example,
    }));
    settings.push(Setting {
        call: "children",
        display: "Descendants, too",
        kind: "{type=boolflag}{default=false}",
        tooltip: "All descendants of the processes that are selected, and of those that are left out",
        group: SELECT_TAB,
        example: "",
    });
    settings.extend(words().map(|(word, display, kind, tooltip, example)| Setting {
        call: word.opposite(),
        display,
        // Several can be left out.
        kind: if kind == RUNNING { TEXT } else { kind },
        tooltip,
        group: LEAVE_OUT,
        example,
    }));
    let mut text = String::new();
    for (number, Setting { call, display, kind, tooltip, group, example }) in settings.iter().enumerate() {
        let is_list = *group != CAPTURE && *kind == TEXT && !call.ends_with(Word::Filter.name());
        let more = if is_list { ". Several are separated by commas" } else { "" };
        let _ = write!(
            text,
            "arg {{number={number}}}{{call=--{call}}}{{display={display}}}{{tooltip={tooltip}{more}}}{kind}{{group={group}}}"
        );
        if *kind == TEXT {
            let _ = write!(text, "{{placeholder={example}}}");
        }
        text.push('\n');
        let choices: &[_] = match *kind {
            CHOICE if *call == "format" => {
                &[("", "Hone"), ("wireshark", "Hone with the process blocks of Wireshark 5")]
            }
            RUNNING => &[("", "any")],
            CHOICE if *group == LEAVE_OUT => &[("", "none"), ("in", "in"), ("out", "out")],
            CHOICE => &[("", "both"), ("in", "in"), ("out", "out")],
            _ => &[],
        };
        for (value, display) in choices {
            choice(&mut text, number, value, display);
        }
    }
    text
}

/// A choice of a setting; the empty one is the default.
fn choice(text: &mut String, number: usize, value: &str, display: &str) {
    let default = value.is_empty();
    let display = plain(display);
    let _ =
        writeln!(text, "value {{arg={number}}}{{value={value}}}{{display={display}}}{{default={default}}}");
}

/// The choices that a setting has at this moment: process ids, users or units of what runs.
#[must_use]
pub fn choices(setting: &str) -> String {
    let mut text = String::new();
    let settings = settings();
    let mut settings = settings.lines().filter(|line| line.starts_with("arg "));
    let call = format!("{{call=--{setting}}}");
    if let Some(number) = settings.position(|line| line.contains(&call) && line.contains(RUNNING)) {
        choice(&mut text, number, "", "any");
        let choices: Vec<(String, String)> = match Word::read(setting) {
            Some((Word::User, _)) => platform::users(),
            Some((Word::Unit, _)) => platform::units().into_iter().map(|unit| (unit.clone(), unit)).collect(),
            _ => {
                let processes = platform::processes().into_iter();
                processes.map(|(pid, name)| (pid.to_string(), format!("{name} ({pid})"))).collect()
            }
        };
        for (value, display) in choices {
            choice(&mut text, number, &plain(&value), &display);
        }
    }
    text
}

/// A text without what means something in a sentence.
fn plain(text: &str) -> String {
    text.chars().map(|char| if "{}\n\r".contains(char) { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_and_the_toolbar_word_for_word() {
        let list = [Interface { name: HONE, display: "a {b}".to_owned() }];
        let first = format!(
            "extcap {{version={}}}{{display=Hone}}\ninterface {{value=hone}}{{display=a  b }}\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(interfaces(&list, None), first, "a version that does not say it has no toolbar");
        let controls = interfaces(&list, Some("4.0")).split_off(first.len());
        let controls: Vec<&str> = controls.lines().collect();
        assert!(controls[0].starts_with("control {number=0}{type=string}{display=Hone selects}{tooltip="));
        assert_eq!(
            controls.last(),
            Some(
                &"control {number=1}{type=button}{role=logger}{display=Log}{tooltip=What Hone says about this capture}"
            )
        );
        assert_eq!(LINKS, "dlt {number=101}{name=RAW}{display=Raw IP}\n");
    }

    #[cfg(windows)]
    #[test]
    fn settings_are_those_that_processes_of_windows_have() {
        let settings = settings();
        for word in Word::ALL {
            let is_there =
                !matches!(word, Word::Conn | Word::Domain | Word::Group | Word::Unit | Word::Container);
            for word in [word.name(), word.opposite()] {
                assert_eq!(settings.contains(&format!("{{call=--{word}}}")), is_there, "{word}");
            }
        }
        assert!(!settings.contains("--include-own") && !settings.contains("--socket"), "{settings}");
        assert!(choices("pid").lines().count() > 1, "{}", choices("pid"));
        assert_eq!(choices("user"), "");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn settings_word_for_word() {
        let settings = settings();
        for line in [
            "arg {number=0}{call=--snap-length}{display=Bytes of each packet (0: all)}{tooltip=Keep at most so many bytes of each \
             packet}{type=unsigned}{range=0,262144}{default=0}{group=Capture}",
            "arg {number=4}{call=--name}{display=Program}{tooltip=File name of the executable, or its path. Several are \
             separated by commas}{type=string}{group=Select}{placeholder=curl, wget}",
            "arg {number=5}{call=--pid}{display=Process id}{tooltip=The process with this id}{type=selector}{reload=true}\
             {placeholder=Find what runs}{group=Select}",
            "value {arg=5}{value=}{display=any}{default=true}",
            "arg {number=7}{call=--user}{display=User}{tooltip=User of the process, by name or number}{type=selector}\
             {reload=true}{placeholder=Find what runs}{group=Select}",
            "value {arg=1}{value=wireshark}{display=Hone with the process blocks of Wireshark 5}{default=false}",
            "value {arg=13}{value=out}{display=out}{default=false}",
            "arg {number=26}{call=--not-filter}{display=Filter}{tooltip=Expression of tcpdump's language}{type=string}\
             {group=Leave out}{placeholder=tcp port 443 and not net 10.0.0.0/8}",
        ] {
            assert!(settings.lines().any(|found| found == line), "{line}\n{settings}");
        }
        let every = Word::ALL.into_iter().filter(|word| !matches!(word, Word::Conn | Word::Domain));
        for word in every.flat_map(|word| [word.name(), word.opposite()]) {
            assert!(settings.contains(&format!("{{call=--{word}}}")), "{word}");
        }
        assert!(choices("pid").starts_with("value {arg=5}{value=}{display=any}{default=true}\n"));
        assert!(choices("pid").contains("\nvalue {arg=5}{value=1}{display="), "{}", choices("pid"));
        assert!(choices("user").starts_with("value {arg=7}{value=}{display=any}{default=true}\n"));
        assert!(choices("user").contains("{value=root}{display=root (0)}{default=false}\n"));
        assert!(choices("unit").starts_with("value {arg=9}{value=}{display=any}"), "{}", choices("unit"));
        for setting in ["name", "x", "not-user", "format"] {
            assert!(choices(setting).is_empty(), "{setting}");
        }
    }
}

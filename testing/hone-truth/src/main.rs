//! `hone-truth`: the truth bench. Its generators send and receive in every way that the kernel offers, and report which
//! process really did it. Its scorer compares a recording with these reports.
//!
//! ```text
//!  scenarios ──► actors (forked processes in namespaces) ──► facts ─┐
//!      │                        │ packets                           ├─► score ──► table
//!      └► network               └──────► recorder ──► recording ────┘
//! ```
//!
//! It shares no code with the sensor, the engine or the utility, so that it repeats none of their mistakes. The only
//! exception is `hone-pcapng`, which reads their files. [`scenarios`] explains how to add a scenario, [`told`] defines
//! the facts, and [`score`] defines what is compared. It needs root, `ip` (iproute2) and the recorder, and runs in the
//! initial process id namespace.

mod apps;
mod craft;
mod netlink;
mod network;
mod packet;
mod recorder;
mod recording;
mod ring;
mod run;
mod scenarios;
mod score;
mod soak;
mod sockets;
mod stage;
mod table;
mod tag;
mod tcpdump;
mod told;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

const CONNECTIONS_HELP: &str = "\
Other tools' output, by connection (--connections): one line for each process that a tool says has a connection:

    protocol local remote pid

protocol  tcp, udp, icmp, sctp or ip-NUMBER
local     ADDRESS:PORT, IPv6 in brackets
remote    the same; * if the tool does not say it
pid       as the initial process id namespace has it

Lines that begin with # are skipped. A connection that a process held is right if every line about it names a process \
that held it, wrong if one does not, missing if there is none.";

/// Measures how well a recorder knows which process sent or received each packet
#[derive(Debug, Parser)]
#[command(name = "hone-truth", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the scenarios
    List,
    /// Play scenarios while a recorder records, and score them
    ///
    /// Exit status 1 if anything is wrong, missing, recorded twice or without an owner that it has, if a packet names a
    /// process too early (EARLY), or if a connection is not closed once (CLOSES).
    Run(RunArguments),
    /// Score a recording that was made before
    #[command(after_long_help = CONNECTIONS_HELP)]
    Score(ScoreArguments),
    /// Run programs that people run while a recorder records, and judge it by their system calls
    ///
    /// Exit status 1 if any packet has the wrong owner, none although it has one, stands before its process, is missing
    /// or recorded twice, or if a falsified owner is not found. What is not installed is skipped.
    Apps(AppsArguments),
    /// Run honed and readers under mixed load, and see that nothing grows, leaks or goes uncounted
    ///
    /// Processes, connections, readers and a honed come and go; everything is in network namespaces of its own. Exit status
    /// 1 if memory, descriptors, threads, BPF objects or tables grow, if counts do not balance, or if something is left.
    Soak(soak::SoakArguments),
    /// A part of the load of `soak`, which starts it
    #[command(hide = true)]
    SoakLoad(soak::LoadArguments),
    /// A server that uses io_uring; `apps` starts it
    #[command(hide = true)]
    ServeUring { address: SocketAddr },
    /// What an actor does that has become another program; `run` starts it
    #[command(hide = true)]
    Actor {
        #[arg(long)]
        facts: PathBuf,
        #[arg(long)]
        scenario: String,
        words: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Through {
    /// The recorder's own sensor
    Local,
    /// A honed that is started for it
    Honed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mechanism {
    /// The sensor's choice
    Auto,
    Trampolines,
    Tracepoints,
}

impl Mechanism {
    /// The value for the recorder's option. `None`: the option is not used.
    fn name(self) -> Option<String> {
        let value = self.to_possible_value().filter(|_| self != Self::Auto);
        value.map(|value| value.get_name().to_owned())
    }
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Only scenarios with this name, in which * stands for anything; may be repeated
    #[arg(long, value_name = "GLOB")]
    scenario: Vec<String>,
    /// Start CMD (a shell's words, {file} in which is the recording) instead of `honeutil read`
    ///
    /// It must write pcapng with Hone's options, begin to write when it records, and end well on SIGINT.
    #[arg(long, value_name = "CMD")]
    recorder: Option<String>,
    /// Whose sensor honeutil records with
    #[arg(long, value_enum, default_value = "local", conflicts_with = "recorder")]
    through: Through,
    /// How the sensor follows sockets
    #[arg(long, value_enum, default_value = "auto", conflicts_with = "recorder")]
    mechanism: Mechanism,
    /// Keep facts, recording and what the recorder says in DIR
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Do not score: `score` does it later, perhaps on a faster machine
    #[arg(long, requires = "keep", conflicts_with_all = ["json", "tcpdump"])]
    unscored: bool,
    /// Print the scores as JSON
    #[arg(long)]
    json: bool,
    /// Compare with what tcpdump sees at both ends of each network
    #[arg(long)]
    tcpdump: bool,
    /// Crowds of 500 processes, not 10,000
    #[arg(long)]
    quick: bool,
    /// Crowds of so many processes, at most 20,000
    #[arg(long, value_name = "N", conflicts_with = "quick", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    crowd: Option<u16>,
}

#[derive(Debug, Args)]
struct AppsArguments {
    /// Only these
    name: Vec<String>,
    /// List the programs, what each is an example of, and its Debian packages
    #[arg(long)]
    list: bool,
    /// Install the packages of the chosen programs with apt-get, and do nothing else
    ///
    /// As Debian has it, installing a server also starts it: nginx, sshd and others then run on this machine.
    #[arg(long, conflicts_with = "list")]
    install: bool,
    /// Record through a honed that is started for it
    #[arg(long)]
    honed: bool,
    /// How the sensor follows sockets
    #[arg(long, value_enum, default_value = "auto")]
    mechanism: Mechanism,
    /// Start the recorder when the server runs already
    #[arg(long)]
    late: bool,
    /// Change some owners in the recording, and show how that is found
    #[arg(long)]
    falsify: bool,
    /// Keep configuration, logs and recordings in DIR
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the outcomes as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ScoreArguments {
    /// The facts that `run --keep` left
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// A recording: pcapng with Hone's options
    #[arg(long, value_name = "FILE", required_unless_present = "connections")]
    recording: Option<PathBuf>,
    /// What another tool says, one connection a line
    #[arg(long, value_name = "FILE", conflicts_with = "recording")]
    connections: Option<PathBuf>,
    /// Print the scores as JSON
    #[arg(long, conflicts_with = "connections")]
    json: bool,
}

fn main() -> ExitCode {
    match act(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hone-truth: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs a command. Returns whether there was no failure.
fn act(command: Command) -> Result<bool> {
    match command {
        Command::List => {
            for scenario in scenarios::TABLE {
                let families = if scenario.families.len() == 2 { "v4 v6" } else { "v4   " };
                println!("{:20} {families}  {}", scenario.name, scenario.about);
            }
            Ok(true)
        }
        Command::Run(arguments) => {
            let json = arguments.json;
            match run::run(&options(arguments))? {
                Some(scores) => Ok(print(&scores, json)),
                None => Ok(true),
            }
        }
        Command::Score(ScoreArguments { truth, connections: Some(lines), .. }) => {
            let facts = score::Facts::new(told::read(&truth)?);
            let scores = score::connections(&facts, &recording::read_connections(&lines)?);
            print!("{}", table::connections(&scores));
            Ok(scores.iter().all(|score| score.wrong + score.missing == 0))
        }
        Command::Score(ScoreArguments { truth, recording, json, .. }) => {
            let scores = run::score(&truth, &recording.unwrap_or_default(), None)?;
            Ok(print(&scores, json))
        }
        Command::Apps(arguments) => run_apps(arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::SoakLoad(arguments) => soak::play(arguments).map(|()| true),
        Command::ServeUring { address } => apps::uring::serve(address).map(|()| true),
        Command::Actor { facts, scenario, words } => {
            scenarios::continued(&facts, &scenario, &words)?;
            Ok(true)
        }
    }
}

fn run_apps(arguments: AppsArguments) -> Result<bool> {
    let AppsArguments { name, list, install, honed, mechanism, late, falsify, keep, json } = arguments;
    if list {
        print!("{}", apps::list());
        return Ok(true);
    }
    if install {
        apps::install(&name)?;
        return Ok(true);
    }
    let plan = recorder::Plan { command: None, through_honed: honed, mechanism: mechanism.name() };
    let outcomes = apps::run(&apps::Options { names: name, plan, late, falsify, keep })?;
    print!("{}", if json { apps::json(&outcomes) } else { apps::table(&outcomes) });
    Ok(outcomes.iter().all(apps::Outcome::good))
}

fn options(arguments: RunArguments) -> run::Options {
    let RunArguments {
        scenario, recorder, through, mechanism, keep, unscored, tcpdump, quick, crowd, ..
    } = arguments;
    run::Options {
        scenarios: scenario,
        plan: recorder::Plan {
            command: recorder,
            through_honed: matches!(through, Through::Honed),
            mechanism: mechanism.name(),
        },
        keep,
        unscored,
        tcpdump,
        crowd: crowd.map_or(if quick { 500 } else { 10_000 }, usize::from),
    }
}

fn print(scores: &[score::Score], json: bool) -> bool {
    print!("{}", if json { table::json(scores) } else { table::scores(scores) });
    scores.iter().all(score::Score::good)
}

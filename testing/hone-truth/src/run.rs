//! Plays scenarios while a recorder records, and scores them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::network::{Family, Network};
use crate::recorder::{Plan, Recorder};
use crate::recording::Recording;
use crate::scenarios::{Scenario, Skipped, TABLE};
use crate::score::{Facts, Score, Seen};
use crate::stage::Stage;
use crate::tcpdump::Tcpdump;
use crate::told::{self, Fact};

/// The options of a run.
#[derive(Debug)]
pub(crate) struct Options {
    /// Names of scenarios, with `*` for any text. Empty means every scenario.
    pub(crate) scenarios: Vec<String>,
    pub(crate) plan: Plan,
    /// The directory that keeps facts and recording. `None`: they are not kept.
    pub(crate) keep: Option<PathBuf>,
    pub(crate) unscored: bool,
    pub(crate) tcpdump: bool,
    /// Number of processes in a crowd.
    pub(crate) crowd: usize,
}

/// A scenario's name with its address family, as facts and tables use it.
pub(crate) fn full_name(scenario: &Scenario, family: Family) -> String {
    format!("{}/{}", scenario.name, if family == Family::V4 { "v4" } else { "v6" })
}

/// Whether a name matches a pattern. `*` stands for any text; a pattern without a family matches both families.
fn fits(pattern: &str, name: &str) -> bool {
    fn glob(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| glob(rest, &name[skip..])),
            ([one, rest @ ..], [other, others @ ..]) => one == other && glob(rest, others),
            _ => false,
        }
    }
    let short = name.split('/').next().unwrap_or(name);
    glob(pattern.as_bytes(), name.as_bytes()) || glob(pattern.as_bytes(), short.as_bytes())
}

/// The directory of one run. Removed when dropped, unless it is kept.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    keep: bool,
}

impl Place {
    /// Makes the directory: at `keep`, or a temporary one.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn new(keep: Option<&Path>) -> Result<Self> {
        let path = match keep {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("hone-truth-{}", std::process::id())),
        };
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, keep: keep.is_some() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Plays the chosen scenarios and scores them. `None`: they are not to be scored.
///
/// # Errors
/// Something that all scenarios need does not work.
pub(crate) fn run(options: &Options) -> Result<Option<Vec<Score>>> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces and recorders need root");
    let place = Place::new(options.keep.as_deref())?;
    let (facts, file) = (place.path.join("facts"), place.path.join("recording.pcapng"));
    for old in [&facts, &file] {
        if old.exists() {
            std::fs::remove_file(old).with_context(|| format!("cannot replace {}", old.display()))?;
        }
    }
    let chosen = chosen(&options.scenarios)?;
    let networks = chosen.iter().enumerate().map(|(number, _)| Network::new(number));
    let networks: Vec<Network> = networks.collect::<Result<_>>()?;
    let mut stages = Vec::new();
    for ((scenario, families), network) in chosen.iter().zip(&networks) {
        for family in families {
            let name = full_name(scenario, *family);
            let mut stage = Stage::new(network, *family, options.crowd, &facts, &name)?;
            let ready = scenario.before.map_or(Ok(()), |before| before(&mut stage));
            let ready = ready.inspect_err(|_| stage.waiting.clear());
            stages.push((name, scenario, stage, ready));
        }
    }
    let recorder = Recorder::start(&options.plan, &place.path, &file)?;
    let mut seen = options.tcpdump.then(Vec::new);
    for (name, scenario, stage, ready) in &mut stages {
        eprintln!("{name}: {}", scenario.about);
        let ready = std::mem::replace(ready, Ok(()));
        if let Err(error) = ready.and_then(|()| play(scenario, stage, seen.as_mut(), &place.path)) {
            stage.tell(&match error.downcast_ref::<Skipped>() {
                Some(Skipped { .. }) => Fact::Skipped(error.to_string()),
                None => Fact::Failed(format!("{error:#}")),
            })?;
        }
    }
    recorder.stop()?;
    drop(stages);
    if options.unscored {
        return Ok(None);
    }
    score(&facts, &file, seen.as_deref()).map(Some)
}

fn play(
    scenario: &Scenario,
    stage: &mut Stage<'_>,
    seen: Option<&mut Vec<Seen>>,
    directory: &Path,
) -> Result<()> {
    let Some(seen) = seen else { return (scenario.play)(stage) };
    let tcpdump = Tcpdump::start(stage.network, directory)?;
    (scenario.play)(stage)?;
    seen.extend(tcpdump.stop(stage.network)?);
    Ok(())
}

fn chosen(patterns: &[String]) -> Result<Vec<(&'static Scenario, Vec<Family>)>> {
    let wanted = |scenario: &Scenario, family: Family| {
        let name = full_name(scenario, family);
        patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, &name))
    };
    let all = TABLE.iter().map(|scenario| {
        let families = scenario.families.iter().copied().filter(|family| wanted(scenario, *family));
        (scenario, families.collect::<Vec<_>>())
    });
    let chosen: Vec<_> = all.filter(|(_, families)| !families.is_empty()).collect();
    if chosen.is_empty() {
        bail!("no scenario is named {patterns:?}; `hone-truth list` lists them");
    }
    Ok(chosen)
}

/// Scores a recording.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn score(facts: &Path, file: &Path, seen: Option<&[Seen]>) -> Result<Vec<Score>> {
    let facts = Facts::new(told::read(facts)?);
    let recording = Recording::read(file, |data| facts.scenario(data).is_some())?;
    if recording.lost > 0 {
        eprintln!("hone-truth: the recorder says that it lost {} packets of the whole host", recording.lost);
    }
    Ok(facts.score(&recording, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_scenarios() {
        assert!(fits("tcp", "tcp/v4") && fits("tcp/v6", "tcp/v6") && fits("*shared*", "udp-shared-read/v4"));
        assert!(fits("*/v6", "tcp/v6") && !fits("tcp", "tcp-exec/v4") && !fits("tcp/v4", "tcp/v6"));
    }
}

//! `honeutil show FILE`: prints all, or says that it did not.

use std::process::Command;

use hone_testing::{Faults, points};
use honeutil::output::Target;
use honeutil::record::recorder::Options;

use crate::common::{self, Script, Step};
use crate::run::{HONEUTIL, count, run};

#[test]
fn show_prints_all_or_says_that_it_did_not() {
    let Some(faults) = Faults::build() else { return };
    let directory = hone_testing::directory();
    let file = directory.path().join("a.pcapng");
    let mut steps = common::packets(1, 1000, 200);
    steps.push(Step::Stop);
    let (_, _, result) = common::record(Script::new(steps), Target::File(file.clone()), Options::default());
    result.expect("it records");
    let compressed = directory.path().join("a.pcapng.zst");
    let plain = std::fs::read(&file).expect("it is there");
    std::fs::write(&compressed, zstd::stream::encode_all(&plain[..], 1).expect("it compresses"))
        .expect("there is room");

    for (arguments, file) in [(&["show"][..], &file), (&["show", "--json"], &compressed)] {
        let command = || {
            let mut command = Command::new(HONEUTIL);
            command.args(arguments).arg(file);
            command
        };
        let whole = run(&faults, None, &mut command()).stdout;
        assert!(whole.iter().filter(|byte| **byte == b'\n').count() > 1000);
        for (class, calls) in count(&faults, &mut command()) {
            for (nth, fault) in points(class, calls, 6) {
                let shown = run(&faults, Some((class, nth, fault)), &mut command());
                let good = shown.assert_orderly();
                assert!(whole.starts_with(&shown.stdout), "not what is in the file: {:?}", shown.fault);
                assert!(
                    !good || shown.stdout == whole,
                    "not all was shown: {:?} {}",
                    shown.fault,
                    shown.stderr
                );
            }
        }
    }
}

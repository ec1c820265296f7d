//! The table of the driver's imports is complete, and says what is not allowed.

use std::collections::BTreeSet;

use hone_documented::{IMPORTS, Irql, import};

/// The driver's declarations of what it imports.
const DECLARED: &str = include_str!("../../kernel/hone-wdm/src/sys/functions.rs");
/// Looked up at run time, because older versions of Windows do not have them.
const LOOKED_UP: [&str; 2] = ["KeQuerySystemTimePrecise", "PsSetCreateProcessNotifyRoutineEx2"];

#[test]
fn there_is_one_row_for_each_import_and_no_other() {
    let declared = DECLARED.lines().filter_map(|line| {
        let line = line.trim_start();
        let name = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub static "))?;
        name.split(|end: char| !end.is_alphanumeric()).next()
    });
    let called: BTreeSet<&str> = declared.chain(LOOKED_UP).collect();
    let rows: BTreeSet<&str> = IMPORTS.iter().map(|import| import.name).collect();
    assert_eq!(rows.len(), IMPORTS.len(), "a function has two rows");
    let (missing, idle) = (called.difference(&rows), rows.difference(&called));
    let [missing, idle] = [missing.collect::<Vec<_>>(), idle.collect::<Vec<_>>()];
    assert!(missing.is_empty() && idle.is_empty(), "without a row: {missing:?}; not called: {idle:?}");
}

#[test]
fn a_call_above_the_maximum_is_refused_with_the_name_and_both_levels() {
    let close = import("ZwClose").expect("it has a row");
    assert!(close.check(Irql::Passive).is_ok());
    let message = close.check(Irql::Dispatch).expect_err("it is too high").to_string();
    assert_eq!(
        message,
        "ZwClose is called at DISPATCH_LEVEL, but at most PASSIVE_LEVEL is allowed (page nf-wdm-zwclose)"
    );
    let event = import("KeSetEvent").expect("it has a row");
    assert!(event.check(Irql::Passive).is_ok() && event.check(Irql::Dispatch).is_ok());
    let device = import("IoCreateDevice").expect("it has a row");
    assert!(device.check(Irql::Apc).is_ok() && device.check(Irql::Dispatch).is_err());
}

#[test]
fn an_import_without_a_row_is_refused_and_the_message_says_where_to_add_one() {
    let message = import("ZwNewFunction").expect_err("it has no row").to_string();
    assert!(
        message.contains("ZwNewFunction") && message.contains("driver/documented/src/irql.rs"),
        "{message}"
    );
}

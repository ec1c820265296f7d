//! Whether a live test can run here.

/// What nearly every test needs, besides these programs; if something is missing, says what.
///
/// # Panics
/// If it is and `HONE_LIVE=required` is set.
pub(crate) fn ready(programs: &[&str]) -> bool {
    hone_testing::ready(&[&["nsenter", "tshark", "capinfos", "tcpdump"], programs].concat())
}

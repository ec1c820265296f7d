//! Corrections of earlier packets, of several inputs. `hone-rows` collects and applies them.

use std::io::Write as _;
use std::rc::Rc;

pub(crate) use hone_rows::corrections::Corrections;
use hone_select::Selection;

use super::input::Input;
use crate::messages::Messages;

/// Takes in those of all inputs that can be read twice.
pub(crate) fn collect_all(
    corrections: &mut Corrections,
    inputs: &[Input],
    selection: &Rc<Selection>,
    chunk: &mut [u8],
) {
    let opened = inputs.iter().map(|input| if input.is_file() { input.open().ok() } else { None });
    corrections.collect_all(opened, selection, chunk);
    report_left_out(corrections);
}

/// Reports that there was no room for some.
pub(crate) fn report_left_out(corrections: &Corrections) {
    if corrections.left_out() > 0 {
        let _ = writeln!(
            Messages,
            "honeutil: there is no room for {} of the corrections: their packets are shown as they were recorded; \
             show fewer files at once",
            corrections.left_out()
        );
    }
}

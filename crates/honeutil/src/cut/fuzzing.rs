//! Entry point for the fuzz target (`hone-fuzz`): a cut of one stream, in memory.

use std::rc::Rc;

use hone_pcapng::view::BlockView;
use hone_select::Selection;

use crate::reduce::{Lane, Reduce};
use crate::show::corrections::Corrections;
use crate::show::event::{Event, Shown};
use crate::show::stream::{Source, Stream};

/// What is cut out of a stream of blocks up to the first invalid place, and the packets in it, one after the other.
///
/// `is_merged`: its sections become one, whether they fit together or not.
#[must_use]
pub fn cut(
    bytes: &[u8],
    selection: &Rc<Selection>,
    all_events: bool,
    is_merged: bool,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut corrections = Corrections::default();
    let (mut reduce, mut lane) = (Reduce::new(all_events), Lane::new(0));
    reduce.begin(is_merged);
    let (mut out, mut packets) = (Vec::new(), Vec::new());
    for is_second in [false, true] {
        corrections.begin(0);
        let mut stream = Stream::new(selection);
        let _ = stream.feed(bytes);
        let mut step = |source: Source<'_>, shown: Option<Shown<'_>>| match source {
            Source::Record(_) => {}
            Source::Block(_) if !is_second => {
                shown.iter().for_each(|shown| corrections.collect(shown));
            }
            Source::Block(item) => {
                let shown = shown.map(|shown| corrections.apply(shown));
                let is_wanted = shown.as_ref().is_some_and(|shown| shown.is_selected(selection, &[]));
                if is_wanted && shown.is_some_and(|shown| matches!(shown.event, Event::Packet(_))) {
                    packets.push(item.raw.to_vec());
                }
                reduce.take(&mut lane, BlockView::new(item.raw, item.order), is_wanted, &mut out);
            }
        };
        while let Ok(Some(())) = stream.step(&mut step) {}
    }
    (out, packets)
}

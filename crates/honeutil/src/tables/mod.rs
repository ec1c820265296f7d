//! Rows of tables from recordings: for `export`, `report`, and whatever else asks about whole recordings.
//!
//! [`read`] gets events from [`show`](crate::show), selected and corrected as `show` shows them. `hone-rows` makes rows of
//! them.

use std::io::Read;
use std::rc::Rc;

use hone_rows::rows::Maker;
use hone_select::Selection;
use hone_tables::Rows;

use crate::show::corrections::{self, Corrections};
use crate::show::input::Input;
use crate::show::stream::{FillError, Stream, StreamError};
use crate::show::time::Span;
use crate::show::{CHUNK_BYTES, Notes, ShowError, names};

/// Reads the inputs, in their order, and gives `rows` what the selection and the span admit. `failed` gets the error of
/// an input that cannot be read to its end: what comes before is given, and the other inputs too.
///
/// Files are read twice, as their corrections come after the packets that they correct.
///
/// # Errors
/// That of `rows`.
pub fn read<R: Rows>(
    inputs: &[Input],
    selection: &Rc<Selection>,
    span: Span,
    rows: &mut R,
    mut failed: impl FnMut(&Input, &ShowError),
) -> Result<(), R::Error> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut corrections = Corrections::default();
    corrections::collect_all(&mut corrections, inputs, selection, &mut chunk);
    let mut maker = Maker::new(selection, span);
    names::collect_all(maker.names(), inputs, selection, &mut chunk);
    for input in inputs {
        let name = input.name();
        rows.input(&name)?;
        maker.begin(name, input.stem());
        let ended = match input.open() {
            Ok(bytes) => take(bytes, input, selection, &mut maker, &mut corrections, rows, &mut chunk),
            Err(source) => Err(Stop::Input(ShowError::Open { name: input.name(), source })),
        };
        match ended {
            Ok(()) => {}
            Err(Stop::Rows(error)) => return Err(error),
            Err(Stop::Input(error)) => failed(input, &error),
        }
        maker.end(rows)?;
        corrections.next_input();
    }
    Ok(())
}

/// Why the loop over an input stops early.
enum Stop<E> {
    Input(ShowError),
    Rows(E),
}

/// Why the events of a chunk stop early.
enum Stopped<E> {
    Stream(StreamError),
    Rows(E),
}

impl<E> From<StreamError> for Stopped<E> {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

fn take<R: Rows>(
    mut bytes: impl Read,
    input: &Input,
    selection: &Rc<Selection>,
    maker: &mut Maker<'_>,
    corrections: &mut Corrections,
    rows: &mut R,
    chunk: &mut [u8],
) -> Result<(), Stop<R::Error>> {
    let malformed = |source| Stop::Input(ShowError::Malformed { name: input.name(), source });
    let mut stream = Stream::new(selection);
    let mut notes = Notes::new(&input.name(), selection);
    let mut offset = 0;
    loop {
        let filled = match stream.fill(&mut bytes, chunk) {
            Ok(0) => return stream.finish().map_err(malformed),
            Ok(count) => {
                offset += count as u64;
                Ok(())
            }
            Err(FillError::Stream(error)) => Err(Stopped::Stream(error)),
            Err(FillError::Input(source)) => {
                return Err(Stop::Input(ShowError::Read { name: input.name(), offset, source }));
            }
        };
        let taken = filled.and_then(|()| {
            stream.drain(|shown| {
                let shown = corrections.apply(shown);
                notes.of(&shown);
                maker.event(&shown, rows).map_err(Stopped::Rows)
            })
        });
        notes.libpcap(stream.classic_link_type());
        notes.unread(&mut stream);
        match taken {
            Ok(()) => {}
            Err(Stopped::Stream(error)) => return Err(malformed(error)),
            Err(Stopped::Rows(error)) => return Err(Stop::Rows(error)),
        }
    }
}

//! Why a recording fails.

use hone_engine::{AttachError, OutOfMemory, ReadError, RestartError, SelectionError};

use super::source::SourceError;
use crate::convert::live::LiveError;
use crate::output::OutputError;
use crate::platform::ServiceError;

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The source failed.
    #[error(transparent)]
    Source(SourceError),
    /// The service failed, or ended the stream.
    #[error(transparent)]
    Service(ServiceError),
    /// The output failed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// No memory for the engine.
    #[error("cannot start recording: {0}")]
    Memory(#[from] OutOfMemory),
    /// The engine refuses the reader.
    #[error("cannot start recording: {0}")]
    Attach(#[from] AttachError),
    /// The engine has no room for the selection.
    #[error("cannot select packets: {0}")]
    Selection(#[from] SelectionError),
    /// The source has no selections.
    #[error("what is recorded from cannot select packets")]
    CannotSelect,
    /// The selection's text form is not sound: a fault in Hone.
    #[error("cannot select packets: {0}; please report this")]
    SelectionText(#[from] hone_select::ParseError),
    /// The engine refuses to be read: a fault in Hone.
    #[error("cannot read the engine's blocks: {0}; please report this")]
    Read(#[from] ReadError),
    /// A block cannot be converted: a fault in Hone.
    #[error("cannot write the recording in another form: {0}; please report this")]
    Form(#[from] LiveError),
    /// The section cannot be ended.
    #[error("cannot end the section with its statistics: {0}")]
    Restart(#[from] RestartError),
}

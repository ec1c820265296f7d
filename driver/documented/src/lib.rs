//! What Microsoft documents about the interfaces that `hone.sys` uses, as tables. The tests' fake kernel and the
//! stand-in under Wine refuse what these tables do not list, so that no test relies on what Windows does not do.
//!
//! Each table names its source. These are pages of learn.microsoft.com, whose text is in the repositories
//! MicrosoftDocs/windows-driver-docs (network drivers), MicrosoftDocs/windows-driver-docs-ddi (fwpsk.h) and
//! MicrosoftDocs/win32 (Windows Filtering Platform).
#![no_std]
#![forbid(unsafe_code)]

mod data;
mod fields;
mod irql;
mod metadata;

pub use data::{Data, data};
pub use fields::{Field, Kind, fields, index};
pub use hone_types::{Direction, protocol};
pub use irql::{IMPORTS, Import, Irql, Violation, import};
pub use metadata::{Metadata, has, metadata};

//! Columns of numbers, as the page reads them: little-endian, each at a multiple of eight bytes.

use std::io::{self, Write};

/// A number that a column can have.
pub(super) trait Number: Copy {
    /// What the page calls the type.
    const KIND: &'static str;
    /// Appends it.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($type:ty: $kind:literal,)+) => {
        $(impl Number for $type {
            const KIND: &'static str = $kind;
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        })+
    };
}

numbers! {
    u8: "u8",
    u16: "u16",
    u32: "u32",
    f64: "f64",
}

/// Columns begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 64 << 10;

/// Where a column is, for the page: its type, its first byte behind the head, and its length in numbers.
pub(super) type Place = (&'static str, u64, usize);

/// A column of any type.
pub(super) trait Column {
    /// Its place, if it begins at this byte.
    fn place(&self, offset: u64) -> Place;
    /// Its bytes, with what follows up to where the next one begins.
    fn bytes(&self) -> u64;
    /// Writes it, up to where the next one begins.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl<N: Number> Column for Vec<N> {
    fn place(&self, offset: u64) -> Place {
        (N::KIND, offset, self.len())
    }

    fn bytes(&self) -> u64 {
        size_of_val(&self[..]).next_multiple_of(ALIGNMENT) as u64
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for numbers in self.chunks(CHUNK_BYTES / size_of::<N>()) {
            chunk.clear();
            numbers.iter().for_each(|number| number.put(&mut chunk));
            out.write_all(&chunk)?;
        }
        let bytes = size_of_val(&self[..]);
        out.write_all(&[0; ALIGNMENT][..bytes.next_multiple_of(ALIGNMENT) - bytes])
    }
}

/// Declares a table that is kept as columns, and the row of it.
macro_rules! table {
    (
        $(#[$about:meta])*
        $table:ident, $row:ident, $name:literal { $($(#[$about_column:meta])* $column:ident: $type:ty,)+ }
    ) => {
        #[doc = concat!("A row of [`", stringify!($table), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(super) struct $row { $($(#[$about_column])* pub(super) $column: $type,)+ }

        $(#[$about])*
        #[derive(Debug, Default)]
        pub(super) struct $table { $(pub(super) $column: Vec<$type>,)+ }

        impl $table {
            /// Appends a row.
            pub(super) fn push(&mut self, row: $row) {
                $(self.$column.push(row.$column);)+
            }

            /// Replaces a row.
            #[allow(dead_code, reason = "rows of most tables are complete when they come")]
            pub(super) fn set(&mut self, at: usize, row: $row) {
                $(self.$column[at] = row.$column;)+
            }

            /// The columns, with their names.
            pub(super) fn columns(&self) -> Vec<(&'static str, &dyn $crate::report::columns::Column)> {
                vec![$((concat!($name, ".", stringify!($column)), &self.$column as &dyn $crate::report::columns::Column),)+]
            }

            /// Keeps only the rows that are marked.
            #[allow(dead_code, reason = "not every table is too long at some time")]
            pub(super) fn keep(&mut self, marks: &[bool]) {
                $({
                    let mut at = 0;
                    self.$column.retain(|_| { at += 1; marks[at - 1] });
                })+
            }
        }
    };
}
pub(super) use table;

#[cfg(test)]
mod tests {
    table! {
        /// Things.
        Things, Thing, "things" { size: u16, weight: f64, }
    }

    #[test]
    fn columns_are_written_where_their_places_say() {
        let mut things = Things::default();
        for size in 1..=3 {
            things.push(Thing { size, weight: f64::from(size) * 0.5 });
        }
        things.keep(&[true, false, true]);
        let mut out = Vec::new();
        let mut places = Vec::new();
        for (name, column) in things.columns() {
            places.push((name, column.place(out.len() as u64)));
            column.write(&mut out).unwrap();
        }
        assert_eq!(places, [("things.size", ("u16", 0, 2)), ("things.weight", ("f64", 8, 2))]);
        assert_eq!(out[..8], [1, 0, 3, 0, 0, 0, 0, 0]);
        assert_eq!(out[16..], 1.5_f64.to_le_bytes());
    }
}

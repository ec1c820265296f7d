//! Fixed layouts. Each is declared once, as a table of offsets. The type, its bytes and the check that the offsets
//! leave no gap are made from that table.

use hone_types::SnapLength;

/// A value of fixed length: what a [`List`](crate::List) is made of. Sealed.
pub trait Fixed: Copy + sealed::Bytes {
    /// How many bytes it takes.
    const LENGTH: usize = <Self as sealed::Bytes>::BYTES;
}

impl<T: Copy + sealed::Bytes> Fixed for T {}

pub(crate) mod sealed {
    /// Little-endian bytes. Both methods get exactly [`BYTES`](Self::BYTES) of them.
    pub trait Bytes: Sized {
        const BYTES: usize;
        fn put(&self, to: &mut [u8]);
        fn get(from: &[u8]) -> Self;
    }
}

pub(crate) use sealed::Bytes;

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl Bytes for $number {
            const BYTES: usize = size_of::<Self>();

            fn put(&self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_le_bytes());
            }

            fn get(from: &[u8]) -> Self {
                let mut bytes = [0; size_of::<Self>()];
                bytes.copy_from_slice(from);
                Self::from_le_bytes(bytes)
            }
        }
    )+};
}

numbers!(u8 u16 u32 i32 u64 i64);

/// As a u64; 0: all.
impl Bytes for SnapLength {
    const BYTES: usize = u64::BYTES;

    fn put(&self, to: &mut [u8]) {
        u64::from(self.number()).put(to);
    }

    fn get(from: &[u8]) -> Self {
        Self::lenient(u64::get(from).try_into().unwrap_or(u32::MAX))
    }
}

impl<T: Bytes, const N: usize> Bytes for [T; N] {
    const BYTES: usize = N * T::BYTES;

    fn put(&self, to: &mut [u8]) {
        for (value, to) in self.iter().zip(to.chunks_exact_mut(T::BYTES)) {
            value.put(to);
        }
    }

    fn get(from: &[u8]) -> Self {
        core::array::from_fn(|index| T::get(&from[index * T::BYTES..][..T::BYTES]))
    }
}

/// Declares a structure of `LENGTH` bytes: `[offset] field: type`, in order. A wrong offset or length does not compile.
macro_rules! layout {
    (
        $(#[$about:meta])*
        pub struct $name:ident, $length:literal bytes {
            $($(#[$about_field:meta])* [$offset:literal] $field:ident: $kind:ty,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$about_field])* pub $field: $kind,)+
        }

        const _: () = {
            let mut end = 0;
            $(
                assert!(end == $offset, "the fields follow each other");
                end += <$kind as $crate::layout::Bytes>::BYTES;
            )+
            assert!(end == $length, "the fields fill the structure");
        };

        impl $crate::layout::Bytes for $name {
            const BYTES: usize = $length;

            fn put(&self, to: &mut [u8]) {
                $($crate::layout::Bytes::put(
                    &self.$field,
                    &mut to[$offset..][..<$kind as $crate::layout::Bytes>::BYTES],
                );)+
            }

            fn get(from: &[u8]) -> Self {
                Self {
                    $($field: $crate::layout::Bytes::get(
                        &from[$offset..][..<$kind as $crate::layout::Bytes>::BYTES],
                    ),)+
                }
            }
        }

        impl $name {
            /// The structure's bytes.
            #[must_use]
            pub fn encode(&self) -> [u8; $length] {
                let mut bytes = [0; $length];
                $crate::layout::Bytes::put(self, &mut bytes);
                bytes
            }

            /// The structure of these bytes.
            #[must_use]
            pub fn decode(bytes: &[u8; $length]) -> Self {
                $crate::layout::Bytes::get(bytes)
            }
        }
    };
}
pub(crate) use layout;

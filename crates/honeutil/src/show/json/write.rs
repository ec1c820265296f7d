//! Writes the fields of an object as JSON, byte for byte as `serde_json` does, but faster: the keys are names of fields, which
//! need no escaping, and nothing is looked at twice.

use std::fmt::Display;

use serde::Serialize;
use serde::de::value::Error;
use serde::ser::{Error as _, Impossible, SerializeSeq, SerializeStruct, Serializer};

/// Appends a value. It may have what the fields here have: objects, arrays, texts, whole numbers, true and false.
pub(super) fn write(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(Writer { out })
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn number(self, number: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

/// The fields of an object, or the elements of an array.
struct Parts<'a> {
    out: &'a mut Vec<u8>,
    end: u8,
    is_first: bool,
}

impl<'a> Parts<'a> {
    fn of(out: &'a mut Vec<u8>, begin: u8, end: u8) -> Self {
        out.push(begin);
        Self { out, end, is_first: true }
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.next();
        debug_assert!(
            key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'@')),
            "{key}"
        );
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), Error> {
        self.out.push(self.end);
        Ok(())
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.next();
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), Error> {
        self.out.push(self.end);
        Ok(())
    }
}

/// A text in quotes.
fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Usually there is none.
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..=0x1F | b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let byte = special[0];
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0C => out.extend(b"\\f"),
            _ => out.extend(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &special[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// What no field has.
fn none<T>() -> Result<T, Error> {
    Err(Error::custom("no field has such a value"))
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        text(value, self.out);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        text(&value.to_string(), self.out);
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(Parts::of(self.out, b'[', b']'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(Parts::of(self.out, b'{', b'}'))
    }

    fn serialize_i8(self, _: i8) -> Result<(), Error> {
        none()
    }

    fn serialize_i16(self, _: i16) -> Result<(), Error> {
        none()
    }

    fn serialize_i32(self, _: i32) -> Result<(), Error> {
        none()
    }

    fn serialize_i64(self, _: i64) -> Result<(), Error> {
        none()
    }

    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        none()
    }

    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        none()
    }

    fn serialize_char(self, _: char) -> Result<(), Error> {
        none()
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        none()
    }

    fn serialize_none(self) -> Result<(), Error> {
        none()
    }

    fn serialize_unit(self) -> Result<(), Error> {
        none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Error> {
        none()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        none()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        none()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        none()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        none()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        none()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Inner<'a> {
        name: &'a str,
        ip: std::net::IpAddr,
    }

    #[derive(Serialize)]
    struct Outer<'a> {
        #[serde(rename = "@timestamp")]
        time: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        none: Option<u8>,
        all: Vec<Inner<'a>>,
        empty: &'a [u8],
        is: bool,
    }

    #[test]
    fn it_is_what_serde_json_writes() {
        let every: String =
            (0..=0x2FF).filter_map(char::from_u32).chain("\u{2028}\u{10FFFF}".chars()).collect();
        for name in ["", "curl", "\"", "a\\", "\n\n", &every] {
            let inner = |ip: &str| Inner { name, ip: ip.parse().unwrap() };
            let all = vec![inner("192.0.2.1"), inner("2001:db8::1"), inner("::ffff:10.0.0.1")];
            let outer = Outer { time: Some(u64::MAX), none: None, all, empty: &[], is: true };
            let mut out = Vec::new();
            write(&outer, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&outer).unwrap());
        }
    }
}

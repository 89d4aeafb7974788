// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a request's body with bounded memory: a tree of values for a body of brackets would need thirty times its size,
//! and a server reads many bodies at once.

use crate::error::Error;
use serde_core::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Values in the fields that are read; a legal request has at most some ten thousand.
const VALUES_MAX: usize = 65_536;

/// The body's fields among `known`; the others are checked to be JSON, and not kept.
///
/// A body that is not an object is given as the value it is, with nothing in it.
pub(super) fn read(
    body: &[u8],
    known: &[&str],
) -> Result<Result<Map<String, Value>, Value>, Error> {
    let room = Cell::new(VALUES_MAX);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_any(Root { known, room: &room });
    read.and_then(|read| reader.end().map(|()| read)).map_err(|error| match room.get() {
        0 => Error::argument(format!("the body has more than {VALUES_MAX} values")),
        _ => Error::argument("the body is not JSON").with_cause(error),
    })
}

/// Visits every kind of scalar as the `Value` that it is.
macro_rules! scalars {
    ($make:expr) => {
        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok($make(&self, Value::Bool(value)))
        }

        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok($make(&self, Value::from(value)))
        }

        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok($make(&self, Value::from(value)))
        }

        fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
            Ok($make(&self, Number::from_f64(value).map_or(Value::Null, Value::Number)))
        }

        fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
            Ok($make(&self, Value::from(value)))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($make(&self, Value::Null))
        }

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
    };
}

/// The whole body.
struct Root<'a> {
    known: &'a [&'a str],
    room: &'a Cell<usize>,
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = Result<Map<String, Value>, Value>;

    scalars!(|_: &Self, value| Err(value));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(Err(Value::Array(Vec::new())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if self.known.contains(&key.as_str()) {
                map.insert(key, fields.next_value_seed(Kept(self.room))?);
            } else {
                fields.next_value_seed(Skip)?;
            }
        }
        Ok(Ok(map))
    }
}

/// A value of a field that is read, as long as there is room.
#[derive(Clone, Copy)]
struct Kept<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Kept<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.0.get().saturating_sub(1);
        self.0.set(left);
        if left == 0 {
            return Err(D::Error::custom("too many values"));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = Value;

    scalars!(|_: &Self, value| value);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            kept.push(value);
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            kept.insert(key, fields.next_value_seed(self)?);
        }
        Ok(Value::Object(kept))
    }
}

/// A value that is skipped. Unlike serde's own type it keeps the parser's limit of depth.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key::<String>()?.is_some() {
            fields.next_value_seed(Skip)?;
        }
        Ok(())
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_known_is_kept_as_it_is() {
        let all = json!({"a": [1, -1, 1.5, "x\n", null, true], "b": {"c": {}}, "d": "é"});
        let text = all.to_string();
        assert_eq!(Value::Object(read(text.as_bytes(), &["a", "b", "d"]).unwrap().unwrap()), all);
        assert_eq!(read(text.as_bytes(), &[]).unwrap().unwrap(), Map::new());
        assert_eq!(read(b"[1]", &[]).unwrap().unwrap_err(), json!([]));
        assert_eq!(read(b"7", &[]).unwrap().unwrap_err(), json!(7));
    }

    #[test]
    fn what_is_passed_over_has_to_be_json_all_the_same() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for body in ["{\"x\":tru}", "{\"x\":1", "{\"x\":1}}", "{\"x\":\"\\u\"}", "{x:1}", &deep] {
            let error = read(body.as_bytes(), &[]).unwrap_err();
            assert!(error.message().contains("not JSON"), "{error}");
        }
    }

    #[test]
    fn a_body_of_brackets_costs_little() {
        let brackets = |key: &str| format!("{{\"{key}\":[{}[]]}}", "[],".repeat(1 << 20));
        assert_eq!(read(brackets("x").as_bytes(), &["a"]).unwrap().unwrap(), Map::new());
        let error = read(brackets("a").as_bytes(), &["a"]).unwrap_err();
        assert!(error.message().contains("65536"), "{error}");
    }
}

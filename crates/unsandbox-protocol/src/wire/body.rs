// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a request's body with bounded memory: a tree of values for a body of brackets would need thirty times its size,
//! and a server reads many bodies at once.

use crate::error::Error;
use crate::rules::shown;
use serde_core::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// Values in the fields that are read; a legal request has at most some ten thousand.
const VALUES_MAX: usize = 65_536;
/// Names of unknown fields that are kept, to be named in the reply.
const UNKNOWN_MAX: usize = 16;

/// The fields of a body.
#[derive(Default, Debug)]
pub(super) struct Read {
    pub(super) known: Map<String, Value>,
    /// The first names of the others.
    pub(super) unknown: Vec<String>,
}

/// The body's fields among `known`; the others are checked to be JSON, and only their names are kept.
///
/// A body that is not an object is given as the value it is, with nothing in it.
pub(super) fn read(body: &[u8], known: &[&str]) -> Result<Result<Read, Value>, Error> {
    let state = State { room: Cell::new(VALUES_MAX), twice: RefCell::default() };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_any(Root { known, state: &state });
    read.and_then(|read| reader.end().map(|()| read)).map_err(|error| {
        match (state.twice.into_inner(), state.room.get()) {
            (Some(name), _) => {
                let name = shown(&name);
                Error::argument(format!("the body has {name} twice in one object; send it once"))
            }
            (None, 0) => Error::argument(format!("the body has more than {VALUES_MAX} values")),
            (None, _) => Error::argument("the body is not JSON").with_cause(error),
        }
    })
}

/// What the visitors of one body share.
struct State {
    room: Cell<usize>,
    /// The name that an object has twice: which of both its sender means is unknown.
    twice: RefCell<Option<String>>,
}

impl State {
    fn refuse_twice<E: serde_core::de::Error>(&self, name: &str) -> E {
        *self.twice.borrow_mut() = Some(name.to_string());
        E::custom("a name is there twice")
    }
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
    state: &'a State,
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = Result<Read, Value>;

    scalars!(|_: &Self, value| Err(value));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(Err(Value::Array(Vec::new())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut read = Read::default();
        while let Some(key) = fields.next_key::<String>()? {
            if read.known.contains_key(&key) || read.unknown.contains(&key) {
                return Err(self.state.refuse_twice(&key));
            }
            if self.known.contains(&key.as_str()) {
                read.known.insert(key, fields.next_value_seed(Kept(self.state))?);
            } else {
                fields.next_value_seed(Skip)?;
                if read.unknown.len() < UNKNOWN_MAX {
                    read.unknown.push(key);
                }
            }
        }
        Ok(Ok(read))
    }
}

/// A value of a field that is read, as long as there is room.
#[derive(Clone, Copy)]
struct Kept<'a>(&'a State);

impl<'de> DeserializeSeed<'de> for Kept<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.0.room.get().saturating_sub(1);
        self.0.room.set(left);
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
            if kept.contains_key(&key) {
                return Err(self.0.refuse_twice(&key));
            }
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
        let whole = read(text.as_bytes(), &["a", "b", "d"]).unwrap().unwrap();
        assert_eq!((Value::Object(whole.known), whole.unknown.len()), (all, 0));
        let nothing = read(text.as_bytes(), &[]).unwrap().unwrap();
        assert_eq!(
            (nothing.known, nothing.unknown),
            (Map::new(), ["a", "b", "d"].map(String::from).to_vec())
        );
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
    fn a_name_that_is_there_twice_is_refused() {
        for body in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"x":1,"x":2}"#,
        ] {
            let error = read(body.as_bytes(), &["a"]).unwrap_err();
            assert!(error.message().contains("twice in one object"), "{body}: {error}");
        }
        read(br#"{"a":[{"b":1},{"b":1}],"c":{"a":1}}"#, &["a"]).unwrap().unwrap();
    }

    #[test]
    fn a_body_of_brackets_costs_little() {
        let brackets = |key: &str| format!("{{\"{key}\":[{}[]]}}", "[],".repeat(1 << 20));
        assert_eq!(read(brackets("x").as_bytes(), &["a"]).unwrap().unwrap().known, Map::new());
        let names: String = (0..1000).map(|n| format!("\"{n}\":1,")).collect();
        let many = read(format!("{{{names}\"a\":1}}").as_bytes(), &["a"]).unwrap().unwrap();
        assert_eq!((many.known.len(), many.unknown.len()), (1, UNKNOWN_MAX));
        let error = read(brackets("a").as_bytes(), &["a"]).unwrap_err();
        assert!(error.message().contains("65536"), "{error}");
    }
}

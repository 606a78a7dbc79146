//! Values of the very form a field asks for. By itself serde takes texts for bytes, bytes for texts,
//! lists of numbers for bytes and lists for structs, which the format refuses.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// What a field asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    Text,
    Bytes,
    List,
    Map,
}

/// A deserializer, or a part of one, that gives a field only what it asks for.
pub(super) struct Strict<T>(pub(super) T);

struct Guard<V> {
    visitor: V,
    form: Form,
}

macro_rules! ask {
    ($($name:ident($($argument:ident: $kind:ty),*) => $form:ident;)+) => {$(
        fn $name<V: Visitor<'de>>(
            self,
            $($argument: $kind,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.0.$name($($argument,)* Guard { visitor, form: Form::$form })
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    ask! {
        deserialize_any() => Any;
        deserialize_option() => Any;
        deserialize_ignored_any() => Any;
        deserialize_identifier() => Text;
        deserialize_str() => Text;
        deserialize_string() => Text;
        deserialize_bytes() => Bytes;
        deserialize_byte_buf() => Bytes;
        deserialize_seq() => List;
        deserialize_map() => Map;
        deserialize_newtype_struct(name: &'static str) => Any;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) => Map;
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char unit unit_struct tuple tuple_struct enum
    }
}

impl<V> Guard<V> {
    fn check<'de, E: Error>(&self, form: Form, found: Unexpected<'_>) -> Result<(), E>
    where
        V: Visitor<'de>,
    {
        if self.form == Form::Any || self.form == form {
            return Ok(());
        }
        Err(E::invalid_type(found, &self.visitor))
    }
}

macro_rules! pass {
    ($($name:ident($kind:ty) => $form:ident as $found:ident;)+) => {$(
        fn $name<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.check::<E>(Form::$form, Unexpected::$found(&value))?;
            self.visitor.$name(value)
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Guard<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.visitor.expecting(out)
    }

    pass! {
        visit_str(&str) => Text as Str;
        visit_borrowed_str(&'de str) => Text as Str;
        visit_string(String) => Text as Str;
        visit_bytes(&[u8]) => Bytes as Bytes;
        visit_borrowed_bytes(&'de [u8]) => Bytes as Bytes;
        visit_byte_buf(Vec<u8>) => Bytes as Bytes;
    }

    // Nothing takes these for something else.
    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.visitor.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.visitor.visit_i64(value)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<V::Value, E> {
        self.visitor.visit_i128(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.visitor.visit_u64(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Strict(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Strict(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.check::<A::Error>(Form::List, Unexpected::Seq)?;
        self.visitor.visit_seq(Strict(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.check::<A::Error>(Form::Map, Unexpected::Map)?;
        self.visitor.visit_map(Strict(map))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Strict(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(inner))
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::{ByteArray, ByteBuf};

    use super::super::codec::{decode, encode};
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Body {
        v: u64,
        text: Option<String>,
        bytes: Option<ByteBuf>,
        id: Option<ByteArray<4>>,
        inner: Option<Inner>,
        texts: Option<Vec<String>>,
    }

    #[derive(Deserialize, Serialize)]
    struct Inner {
        number: u64,
    }

    /// Whether a body with `value` as its field `name` is taken.
    fn takes<T: Serialize>(name: &str, value: T) -> bool {
        let mut body = std::collections::BTreeMap::new();
        body.insert("v".to_owned(), serde_cbor::Value::Integer(1));
        body.insert(name.to_owned(), serde_cbor::value::to_value(value).unwrap());
        let bytes = encode(&body).unwrap();
        decode::<Body>("the body", &bytes, 1 << 20).is_ok()
    }

    #[test]
    fn a_field_takes_only_the_form_it_asks_for() {
        let bytes = || ByteBuf::from(*b"four");
        assert!(takes("text", "four") && !takes("text", bytes()));
        assert!(takes("bytes", bytes()) && !takes("bytes", "four"));
        assert!(!takes("bytes", vec![1_u8, 2, 3, 4]));
        assert!(takes("id", bytes()) && !takes("id", "four") && !takes("id", vec![1_u8, 2, 3, 4]));
        assert!(takes("inner", Inner { number: 1 }) && !takes("inner", vec![1_u64]));
        assert!(takes("texts", vec!["four"]) && !takes("texts", vec![bytes()]));
        assert!(takes("text", None::<u64>) && takes("unknown", vec![bytes()]));
    }
}

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::{CodedError, PackedValue, Packer, Value, check_field_name};

use super::JsonValueError;

/// Whether `{"$commitTs":null}` is a value here; it is so only inside a running mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitTsPolicy {
    Allow,
    Reject,
}

/// Parses the wire form into packed bytes.
pub fn pack_encoded(text: &str, commit_ts: CommitTsPolicy) -> Result<PackedValue, JsonValueError> {
    pack_text(text, Dialect::Encoded(commit_ts))
}

/// Reads the wire form from an already parsed JSON tree.
pub fn pack_encoded_value(
    json: &serde_json::Value,
    commit_ts: CommitTsPolicy,
) -> Result<PackedValue, JsonValueError> {
    let mut session = Session::new(Dialect::Encoded(commit_ts));
    let outcome = ValueSeed(&mut session).deserialize(json);
    session.finish(outcome)
}

/// Parses the form of export files into packed bytes.
pub fn pack_export(text: &str) -> Result<PackedValue, JsonValueError> {
    pack_text(text, Dialect::Export)
}

/// Parses plain JSON, in which nothing is special, into packed bytes.
pub fn pack_plain(text: &str) -> Result<PackedValue, JsonValueError> {
    pack_text(text, Dialect::Plain)
}

/// Parses the object of a `db.patch`: `None` (from `{"$undefined":null}`) removes the field. Of two fields with the
/// same name the later wins.
pub fn parse_patch(text: &str) -> Result<Vec<(String, Option<Value>)>, JsonValueError> {
    let mut fields = Vec::new();
    let mut error = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = PatchSeed {
        fields: &mut fields,
        error: &mut error,
    };
    let outcome = seed
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (error, outcome) {
        (Some(error), _) => Err(JsonValueError::Invalid(error)),
        (None, Err(error)) => Err(JsonValueError::Syntax(error.to_string())),
        (None, Ok(())) => Ok(fields),
    }
}

/// What numbers and `$` objects mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Encoded(CommitTsPolicy),
    Export,
    Plain,
}

/// The value being written and the first broken rule, which serde's errors cannot carry.
struct Session {
    packer: Packer,
    dialect: Dialect,
    error: Option<CodedError>,
}

impl Session {
    fn new(dialect: Dialect) -> Self {
        Self {
            packer: Packer::new(),
            dialect,
            error: None,
        }
    }

    fn finish(self, outcome: Result<(), serde_json::Error>) -> Result<PackedValue, JsonValueError> {
        match (self.error, outcome) {
            (Some(error), _) => Err(JsonValueError::Invalid(error)),
            (None, Err(error)) => Err(JsonValueError::Syntax(error.to_string())),
            (None, Ok(())) => Ok(self.packer.finish()),
        }
    }

    fn write<E: serde::de::Error>(&mut self, result: Result<(), CodedError>) -> Result<(), E> {
        result.map_err(|error| {
            self.error = Some(error);
            E::custom("not a value")
        })
    }
}

fn pack_text(text: &str, dialect: Dialect) -> Result<PackedValue, JsonValueError> {
    let mut session = Session::new(dialect);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = ValueSeed(&mut session)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    session.finish(outcome)
}

struct ValueSeed<'s>(&'s mut Session);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        let written = self.0.packer.null();
        self.0.write(written)
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<(), E> {
        let written = self.0.packer.boolean(flag);
        self.0.write(written)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        let packer = &mut self.0.packer;
        let written = if self.0.dialect == Dialect::Export {
            packer.int64(number)
        } else {
            packer.float64(number as f64)
        };
        self.0.write(written)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        let written = if self.0.dialect == Dialect::Export {
            match i64::try_from(number) {
                Ok(number) => self.0.packer.int64(number),
                Err(_) => Err(malformed(format!(
                    "Integer {number} does not fit into an Int64"
                ))),
            }
        } else {
            self.0.packer.float64(number as f64)
        };
        self.0.write(written)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        let written = self.0.packer.float64(number);
        self.0.write(written)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let written = self.0.packer.string(text);
        self.0.write(written)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let session = self.0;
        let written = session.packer.begin_array();
        session.write(written)?;
        while elements.next_element_seed(ValueSeed(session))?.is_some() {}
        let written = session.packer.end();
        session.write(written)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let session = self.0;
        let mut next = fields.next_key_seed(KeySeed {
            session,
            position: KeyPosition::First,
        })?;
        if let Some(Key::Special(name)) = next {
            return visit_special(session, name, fields);
        }
        if next.is_none() {
            let written = session.packer.begin_object();
            session.write(written)?;
        }
        while next.is_some() {
            fields.next_value_seed(ValueSeed(session))?;
            next = fields.next_key_seed(KeySeed {
                session,
                position: KeyPosition::Later,
            })?;
        }
        let written = session.packer.end();
        session.write(written)
    }
}

/// Where a field name stands: only the first can make its object a special form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyPosition {
    First,
    Later,
}

enum Key {
    /// An ordinary name, already written; the object is open.
    Written,
    /// A first name beginning with `$`; nothing is written yet.
    Special(String),
}

/// Hands a borrowed field name to the packer, so that names cost no allocation.
struct KeySeed<'s> {
    session: &'s mut Session,
    position: KeyPosition,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
        let Self { session, position } = self;
        if position == KeyPosition::First {
            if name.starts_with('$') && session.dialect != Dialect::Plain {
                return Ok(Key::Special(name.to_owned()));
            }
            let written = session.packer.begin_object();
            session.write(written)?;
        }
        let written = session.packer.key(name);
        session.write(written)?;
        Ok(Key::Written)
    }
}

/// Reads the rest of an object whose first field name begins with `$`: one such field is a special form, more make the
/// name invalid. A repeated name counts once and the last content wins, as for any object.
fn visit_special<'de, A: MapAccess<'de>>(
    session: &mut Session,
    name: String,
    mut fields: A,
) -> Result<(), A::Error> {
    let mut content: SpecialContent = fields.next_value()?;
    while let Some(other) = fields.next_key::<String>()? {
        if other != name {
            // The limits of what follows do not matter any more, but it still has to be JSON.
            fields.next_value::<IgnoredAny>()?;
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return session.write(check_field_name(&name));
        }
        content = fields.next_value()?;
    }
    let written = write_special(session, &name, content);
    session.write(written)
}

fn write_special(
    session: &mut Session,
    name: &str,
    content: SpecialContent,
) -> Result<(), CodedError> {
    let packer = &mut session.packer;
    match name {
        "$integer" => packer.int64(i64::from_le_bytes(content.eight_bytes(name)?)),
        "$float" => {
            let number = f64::from_le_bytes(content.eight_bytes(name)?);
            if number.is_finite() && number != 0.0 {
                return Err(malformed(format!(
                    "Float64 {number} should be encoded as a number"
                )));
            }
            packer.float64(number)
        }
        "$bytes" => packer.bytes(&content.bytes(name)?),
        "$commitTs" if session.dialect == Dialect::Encoded(CommitTsPolicy::Allow) => {
            if !matches!(content, SpecialContent::Null) {
                return Err(malformed("Malformed $commitTs field".to_owned()));
            }
            packer.commit_ts()
        }
        "$set" => Err(malformed(
            "Received a Set which is no longer supported as a Convex type.".to_owned(),
        )),
        "$map" => Err(malformed(
            "Received a Map which is no longer supported as a Convex type.".to_owned(),
        )),
        _ => check_field_name(name),
    }
}

/// The content of a special form; what cannot be right is not kept.
enum SpecialContent {
    Null,
    Text(String),
    Other,
}

impl SpecialContent {
    fn bytes(&self, name: &str) -> Result<Vec<u8>, CodedError> {
        let Self::Text(text) = self else {
            return Err(malformed(format!(
                "Malformed {name} field: expected a base64 string"
            )));
        };
        STANDARD
            .decode(text)
            .map_err(|error| malformed(format!("Malformed {name} field: {error}")))
    }

    fn eight_bytes(&self, name: &str) -> Result<[u8; 8], CodedError> {
        let bytes = self.bytes(name)?;
        let len = bytes.len();
        bytes
            .try_into()
            .map_err(|_| malformed(format!("Received {len} bytes, expected 8 for {name}")))
    }
}

impl<'de> serde::Deserialize<'de> for SpecialContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpecialContentVisitor)
    }
}

struct SpecialContentVisitor;

impl<'de> Visitor<'de> for SpecialContentVisitor {
    type Value = SpecialContent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the content of a special value")
    }

    fn visit_unit<E>(self) -> Result<SpecialContent, E> {
        Ok(SpecialContent::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<SpecialContent, E> {
        Ok(SpecialContent::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<SpecialContent, E> {
        Ok(SpecialContent::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<SpecialContent, E> {
        Ok(SpecialContent::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<SpecialContent, E> {
        Ok(SpecialContent::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<SpecialContent, E> {
        Ok(SpecialContent::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<SpecialContent, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(SpecialContent::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<SpecialContent, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(SpecialContent::Other)
    }
}

struct PatchSeed<'s> {
    fields: &'s mut Vec<(String, Option<Value>)>,
    error: &'s mut Option<CodedError>,
}

impl<'de> DeserializeSeed<'de> for PatchSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PatchSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            // Each field is parsed from its own text, which costs a scan but keeps one parser for all values.
            let text = fields
                .next_value::<&'de serde_json::value::RawValue>()?
                .get();
            let field = check_field_name(&name)
                .map_err(JsonValueError::Invalid)
                .and_then(|()| parse_patch_field(text));
            match field {
                Ok(value) => {
                    self.fields.retain(|(other, _)| *other != name);
                    self.fields.push((name, value));
                }
                Err(JsonValueError::Invalid(error)) => {
                    *self.error = Some(error);
                    return Err(A::Error::custom("not a value"));
                }
                Err(JsonValueError::Syntax(message)) => return Err(A::Error::custom(message)),
            }
        }
        Ok(())
    }
}

fn parse_patch_field(text: &str) -> Result<Option<Value>, JsonValueError> {
    if is_undefined(text) {
        return Ok(None);
    }
    pack_encoded(text, CommitTsPolicy::Allow).map(|packed| Some(packed.unpack()))
}

fn is_undefined(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Undefined {
        #[serde(rename = "$undefined")]
        _undefined: (),
    }
    // The name of the one field cannot be longer, so ordinary objects are not parsed twice.
    text.starts_with('{')
        && text.contains("$undefined")
        && serde_json::from_str::<Undefined>(text).is_ok()
}

#[cold]
fn malformed(message: String) -> CodedError {
    CodedError::bad_request("InvalidValue", message)
}

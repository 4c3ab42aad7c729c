use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::{DocumentId, ObjectRef, PackedValue, TableKind, TableNames, ValueRef, render};

use super::{Literal, ObjectValidator, Validator};

/// Why a value does not pass; displays as the exact text users see.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ValidationError {
    pub(crate) message: String,
}

impl ValidationError {
    pub(crate) fn new(message: String) -> Self {
        Self { message }
    }
}

impl Validator {
    /// Checks a value; the unresolved commit timestamp counts as an int64.
    pub fn check(
        &self,
        value: ValueRef<'_>,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        self.check_borrowed(value, tables)
            .map_err(|failure| ValidationError::new(failure.to_string()))
    }

    /// Checks a document against this document type, ignoring its top-level fields that begin with `_`.
    pub fn check_document(
        &self,
        document: ObjectRef<'_>,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        if matches!(self, Self::Any) {
            return Ok(());
        }
        // A copy without the system fields is a few memory copies, and messages print it as it was checked.
        let user_fields: PackedValue = document.without_system_fields();
        self.check(user_fields.as_ref(), tables)
    }

    fn check_borrowed<'a>(
        &'a self,
        value: ValueRef<'a>,
        tables: &'a dyn TableNames,
    ) -> Result<(), Failure<'a>> {
        let matches = match (self, value) {
            (Self::Any, _)
            | (Self::Null, ValueRef::Null)
            | (Self::Float64, ValueRef::Float64(_))
            | (Self::Int64 | Self::CommitTs, ValueRef::Int64(_) | ValueRef::CommitTs)
            | (Self::Boolean, ValueRef::Boolean(_))
            | (Self::String, ValueRef::String(_))
            | (Self::Bytes, ValueRef::Bytes(_)) => true,
            (Self::Literal(literal), _) => {
                let reason = Reason::Literal { value, literal };
                return if literal.as_value_ref() == value {
                    Ok(())
                } else {
                    Err(Failure::new(reason))
                };
            }
            (Self::Id(table), ValueRef::String(id)) => match table_of(id, tables) {
                Some(TableKind::User(found)) if found == table => true,
                Some(TableKind::User(found)) => {
                    return Err(Failure::new(Reason::TableNamesDoNotMatch {
                        id,
                        found,
                        table,
                    }));
                }
                Some(TableKind::System) => {
                    return Err(Failure::new(Reason::SystemTableReference { id, table }));
                }
                None => false,
            },
            (Self::Array(element), ValueRef::Array(array)) => {
                for (position, value) in array.iter().enumerate() {
                    element
                        .check_borrowed(value, tables)
                        .map_err(|e| e.inside(Segment::Index(position)))?;
                }
                true
            }
            (Self::Record { keys, values }, ValueRef::Object(object)) => {
                for (name, value) in object.iter() {
                    keys.check_borrowed(ValueRef::String(name), tables)
                        .map_err(|e| e.inside(Segment::Keys))?;
                    values
                        .check_borrowed(value, tables)
                        .map_err(|e| e.inside(Segment::Values))?;
                }
                true
            }
            (Self::Object(validator), ValueRef::Object(object)) => {
                return validator.check_borrowed(object, tables);
            }
            (Self::Union(members), _) => match &members[..] {
                // A single member keeps its own, more precise message.
                [member] => return member.check_borrowed(value, tables),
                _ => members
                    .iter()
                    .any(|member| member.check_borrowed(value, tables).is_ok()),
            },
            _ => false,
        };
        if matches {
            Ok(())
        } else {
            Err(Failure::new(Reason::NoMatch {
                value,
                validator: self,
            }))
        }
    }
}

impl ObjectValidator {
    pub(crate) fn check(
        &self,
        object: ObjectRef<'_>,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        self.check_borrowed(object, tables)
            .map_err(|failure| ValidationError::new(failure.to_string()))
    }

    /// Goes over declared and present fields together, both in byte order; extra fields are reported only when all
    /// declared ones are right.
    fn check_borrowed<'a>(
        &'a self,
        object: ObjectRef<'a>,
        tables: &'a dyn TableNames,
    ) -> Result<(), Failure<'a>> {
        let mut present = object.iter().peekable();
        let mut extra = None;
        for (name, declared) in &self.0 {
            while let Some((other, _)) = present.next_if(|(other, _)| *other < name.as_str()) {
                extra = extra.or(Some(other));
            }
            match present.next_if(|(other, _)| other == name) {
                Some((_, value)) => {
                    declared
                        .validator
                        .check_borrowed(value, tables)
                        .map_err(|e| e.inside(Segment::Field(name)))?;
                }
                None if declared.is_optional => {}
                None => {
                    let reason = Reason::MissingRequiredField {
                        field: name,
                        object,
                        validator: self,
                    };
                    return Err(Failure::new(reason));
                }
            }
        }
        match extra.or_else(|| present.next().map(|(other, _)| other)) {
            Some(field) => Err(Failure::new(Reason::ExtraField {
                field,
                object,
                validator: self,
            })),
            None => Ok(()),
        }
    }
}

fn table_of<'t>(id: &str, tables: &'t dyn TableNames) -> Option<TableKind<'t>> {
    tables.name_of(DocumentId::parse(id).ok()?.table)
}

/// A failure that borrows what it talks about: members of a union fail all the time and must not render anything.
struct Failure<'a> {
    reason: Reason<'a>,
    /// Innermost segment first.
    path: Vec<Segment<'a>>,
}

enum Reason<'a> {
    TableNamesDoNotMatch {
        id: &'a str,
        found: &'a str,
        table: &'a str,
    },
    SystemTableReference {
        id: &'a str,
        table: &'a str,
    },
    Literal {
        value: ValueRef<'a>,
        literal: &'a Literal,
    },
    MissingRequiredField {
        field: &'a str,
        object: ObjectRef<'a>,
        validator: &'a ObjectValidator,
    },
    ExtraField {
        field: &'a str,
        object: ObjectRef<'a>,
        validator: &'a ObjectValidator,
    },
    NoMatch {
        value: ValueRef<'a>,
        validator: &'a Validator,
    },
}

enum Segment<'a> {
    Field(&'a str),
    Index(usize),
    Keys,
    Values,
}

impl<'a> Failure<'a> {
    fn new(reason: Reason<'a>) -> Self {
        Self {
            reason,
            path: Vec::new(),
        }
    }

    fn inside(mut self, segment: Segment<'a>) -> Self {
        self.path.push(segment);
        self
    }

    fn context(&self) -> String {
        let mut context = String::new();
        if !self.path.is_empty() {
            context.push_str("Path: ");
        }
        for segment in self.path.iter().rev() {
            let written = match segment {
                Segment::Field(name) => write!(context, ".{name}"),
                Segment::Index(position) => write!(context, "[{position}]"),
                Segment::Keys => context.write_str(".keys()"),
                Segment::Values => context.write_str(".values()"),
            };
            written.expect("invariant: writing to a String cannot fail");
        }
        context
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.context();
        match &self.reason {
            Reason::TableNamesDoNotMatch { id, found, table } => write!(
                f,
                "Found ID \"{id}\" from table `{found}`, which does not match the table name in validator \
                 `v.id(\"{table}\")`.{context}"
            ),
            Reason::SystemTableReference { id, table } => write!(
                f,
                "Found ID \"{id}\" from a system table, which does not match the table name in validator \
                 `v.id(\"{table}\")`.{context}"
            ),
            Reason::Literal { value, literal } => {
                let value = render(*value);
                write!(
                    f,
                    "`{value}` does not match literal validator `v.literal({literal})`.{context}"
                )
            }
            Reason::MissingRequiredField {
                field,
                object,
                validator,
            } => {
                let object = render(ValueRef::Object(*object));
                write!(
                    f,
                    "Object is missing the required field `{field}`. Consider wrapping the field validator in \
                     `v.optional(...)` if this is expected.\n{context}\nObject: {object}\nValidator: {validator}"
                )
            }
            Reason::ExtraField {
                field,
                object,
                validator,
            } => {
                let object = render(ValueRef::Object(*object));
                write!(
                    f,
                    "Object contains extra field `{field}` that is not in the validator.\n{context}\nObject: \
                     {object}\nValidator: {validator}"
                )
            }
            Reason::NoMatch { value, validator } => {
                let value = render(*value);
                write!(
                    f,
                    "Value does not match validator.\n{context}\nValue: {value}\nValidator: {validator}"
                )
            }
        }
    }
}

use std::{fmt, str::FromStr};

use crate::{
    CodedError,
    limits::{FIELD_NAME_LEN_MAX, IDENTIFIER_LEN_MAX},
};

/// Checks the rules of identifiers: table, index and component names, validator fields, path segments.
pub fn check_identifier(name: &str) -> Result<(), CodedError> {
    let invalid = |message: String| Err(CodedError::bad_request("InvalidIdentifier", message));
    let Some(first) = name.chars().next() else {
        return invalid("Identifier cannot be empty".to_owned());
    };
    if !first.is_ascii_alphabetic() && first != '_' {
        return invalid(format!(
            "Invalid first character {first:?} in {name}: Identifiers must start with an alphabetic character or \
             underscore"
        ));
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && *c != '_')
    {
        return invalid(format!(
            "Identifier {name} has invalid character {bad:?}: Identifiers can only contain alphanumeric characters or \
             underscores"
        ));
    }
    if name.len() > IDENTIFIER_LEN_MAX {
        return invalid(format!(
            "Identifier is too long ({} > maximum {IDENTIFIER_LEN_MAX})",
            name.len()
        ));
    }
    if name.bytes().all(|b| b == b'_') {
        return invalid(format!(
            "Identifier {name} cannot have exclusively underscores"
        ));
    }
    Ok(())
}

/// Checks the (much wider) rules of field names in any object; the empty name is allowed.
pub fn check_field_name(name: &str) -> Result<(), CodedError> {
    let bytes = name.as_bytes();
    let is_plain = bytes.len() <= FIELD_NAME_LEN_MAX
        && bytes.first() != Some(&b'$')
        && bytes.iter().all(|b| (0x20..0x7f).contains(b));
    if is_plain {
        Ok(())
    } else {
        Err(field_name_error(name))
    }
}

#[cold]
fn field_name_error(name: &str) -> CodedError {
    let message = if name.starts_with('$') {
        format!("Field name {name} starts with '$', which is reserved.")
    } else if name.len() > FIELD_NAME_LEN_MAX {
        format!(
            "Field name is too long ({} > maximum {FIELD_NAME_LEN_MAX})",
            name.len()
        )
    } else {
        let bad = name
            .chars()
            .find(|c| !(' '..='~').contains(c))
            .unwrap_or_default();
        format!(
            "Field name {name} has invalid character {bad:?}: Field names can only contain non-control ASCII characters"
        )
    };
    CodedError::bad_request("InvalidFieldName", message)
}

/// A path of field names from the root of a document; it passes through objects only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Makes a path from checked segments.
    pub fn new(segments: Vec<String>) -> Result<Self, CodedError> {
        if segments.is_empty() {
            check_identifier("")?;
        }
        segments
            .iter()
            .try_for_each(|segment| check_identifier(segment))?;
        Ok(Self(segments))
    }

    pub fn id() -> Self {
        Self(vec!["_id".to_owned()])
    }

    pub fn creation_time() -> Self {
        Self(vec!["_creationTime".to_owned()])
    }

    pub fn segments(&self) -> &[String] {
        &self.0
    }

    pub fn is_id(&self) -> bool {
        self.0 == ["_id"]
    }

    pub fn is_creation_time(&self) -> bool {
        self.0 == ["_creationTime"]
    }
}

impl FromStr for FieldPath {
    type Err = CodedError;

    fn from_str(text: &str) -> Result<Self, CodedError> {
        Self::new(
            text.trim_matches('.')
                .split('.')
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Prints the path in double quotes, as error messages about indexes do.
impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Result<(), &str>) {
        assert_eq!(
            check_identifier(name)
                .map_err(|e| e.message)
                .as_ref()
                .map_err(String::as_str)
                .copied(),
            expected
        );
    }

    #[test]
    fn identifiers() {
        check("a_1", Ok(()));
        check("_a", Ok(()));
        check(&"a".repeat(64), Ok(()));
        check(
            &"a".repeat(65),
            Err("Identifier is too long (65 > maximum 64)"),
        );
        check("", Err("Identifier cannot be empty"));
        check(
            "__",
            Err("Identifier __ cannot have exclusively underscores"),
        );
        check(
            "1a",
            Err(
                "Invalid first character '1' in 1a: Identifiers must start with an alphabetic character or underscore",
            ),
        );
        check(
            "a-b",
            Err(
                "Identifier a-b has invalid character '-': Identifiers can only contain alphanumeric characters or \
                 underscores",
            ),
        );
    }

    #[test]
    fn field_names() {
        assert!(check_field_name("").is_ok());
        assert!(check_field_name("a b.c~").is_ok());
        assert!(check_field_name(&"x".repeat(1024)).is_ok());
        let message = |name: &str| check_field_name(name).unwrap_err().message;
        assert_eq!(
            message("$a"),
            "Field name $a starts with '$', which is reserved."
        );
        assert_eq!(
            message(&"x".repeat(1025)),
            "Field name is too long (1025 > maximum 1024)"
        );
        assert_eq!(
            message("é"),
            "Field name é has invalid character 'é': Field names can only contain non-control ASCII characters"
        );
        assert_eq!(
            message("a\n"),
            "Field name a\n has invalid character '\\n': Field names can only contain non-control ASCII characters"
        );
    }

    #[test]
    fn field_paths() {
        let path: FieldPath = ".a.b_c.".parse().unwrap();
        assert_eq!(path.segments(), ["a", "b_c"]);
        assert_eq!(format!("{path} {path:?}"), "a.b_c \"a.b_c\"");
        assert!("a..b".parse::<FieldPath>().is_err());
        assert!("".parse::<FieldPath>().is_err());
        assert!("a.$b".parse::<FieldPath>().is_err());
    }
}

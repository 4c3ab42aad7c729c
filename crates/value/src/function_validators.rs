use crate::{
    ArrayRef, CodedError, ObjectValidator, TableNames, ValidationError, Validator, ValueRef, render,
};

/// What a function accepts as its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgsValidator {
    /// No validator, or `v.any()`: the arguments are not looked at.
    Unvalidated,
    Object(ObjectValidator),
}

/// What a function promises to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnsValidator {
    /// No validator.
    Unvalidated,
    Validator(Validator),
}

impl ArgsValidator {
    /// Reads the validator JSON text a function exports for its arguments.
    pub fn parse(text: &str) -> Result<Self, CodedError> {
        let validator =
            Validator::parse(text).map_err(|error| error.prefixed("Error in args validator: "))?;
        match validator {
            Validator::Any => Ok(Self::Unvalidated),
            Validator::Object(object) => Ok(Self::Object(object)),
            _ => Err(CodedError::bad_request(
                "InvalidArgsValidator",
                "Args validator must be an object or any",
            )),
        }
    }

    /// Checks the array of positional arguments; the error text is complete, prefix included.
    pub fn check(
        &self,
        args: ArrayRef<'_>,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        let Self::Object(validator) = self else {
            return Ok(());
        };
        let checked = match (args.len(), args.get(0)) {
            (1, Some(ValueRef::Object(object))) => validator
                .check(object, tables)
                .map_err(|error| error.to_string()),
            (1, Some(value)) => Err(format!(
                "Expected to receive an object as the function's argument. Instead received: {}",
                render(value)
            )),
            (count, _) => Err(format!(
                "Expected to receive a single object as the function's argument. Instead received {count} arguments: {}",
                render(ValueRef::Array(args))
            )),
        };
        checked
            .map_err(|message| ValidationError::new(format!("ArgumentValidationError: {message}")))
    }
}

impl ReturnsValidator {
    /// Reads the validator JSON text a function exports for its result.
    pub fn parse(text: &str) -> Result<Self, CodedError> {
        match Validator::parse(text)
            .map_err(|error| error.prefixed("Error in returns validator: "))?
        {
            Validator::Any => Ok(Self::Unvalidated),
            validator => Ok(Self::Validator(validator)),
        }
    }

    /// Checks the returned value; the error text is complete, prefix included.
    pub fn check(
        &self,
        value: ValueRef<'_>,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        match self {
            Self::Unvalidated => Ok(()),
            Self::Validator(validator) => validator
                .check(value, tables)
                .map_err(|error| ValidationError::new(format!("ReturnsValidationError: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TableKind, TableNumber, json};

    struct NoTables;

    impl TableNames for NoTables {
        fn name_of(&self, _: TableNumber) -> Option<TableKind<'_>> {
            None
        }
    }

    const ONE_STRING: &str =
        r#"{"type":"object","value":{"a":{"fieldType":{"type":"string"},"optional":false}}}"#;

    fn check_args(validator: &str, args: &str, expected: Option<&str>) {
        let args = json::parse_encoded(args).unwrap().pack();
        let error = ArgsValidator::parse(validator)
            .unwrap()
            .check(args.as_ref().as_array().unwrap(), &NoTables)
            .err();
        assert_eq!(error.map(|e| e.to_string()).as_deref(), expected);
    }

    #[test]
    fn args() {
        check_args(r#"{"type":"any"}"#, "[1,2]", None);
        check_args(ONE_STRING, r#"[{"a":"x"}]"#, None);
        check_args(
            ONE_STRING,
            r#"[{"a":1}]"#,
            Some(
                "ArgumentValidationError: Value does not match validator.\nPath: .a\nValue: 1.0\nValidator: v.string()",
            ),
        );
        check_args(
            ONE_STRING,
            r#"[1,"x"]"#,
            Some(
                "ArgumentValidationError: Expected to receive a single object as the function's argument. Instead \
                 received 2 arguments: [1.0, \"x\"]",
            ),
        );
        check_args(
            ONE_STRING,
            "[null]",
            Some(
                "ArgumentValidationError: Expected to receive an object as the function's argument. Instead received: \
                 null",
            ),
        );
    }

    #[test]
    fn returns() {
        let validator = ReturnsValidator::parse(r#"{"type":"null"}"#).unwrap();
        assert!(validator.check(ValueRef::Null, &NoTables).is_ok());
        assert_eq!(
            validator
                .check(ValueRef::Int64(5), &NoTables)
                .unwrap_err()
                .to_string(),
            "ReturnsValidationError: Value does not match validator.\n\nValue: 5\nValidator: v.null()"
        );
    }

    #[test]
    fn broken_validators_name_their_place() {
        let message = |text| ArgsValidator::parse(text).unwrap_err().message;
        assert_eq!(
            message(r#"{"type":"string"}"#),
            "Args validator must be an object or any"
        );
        assert_eq!(
            message(r#"{"type":"x"}"#),
            "Error in args validator: Unknown validator type `x`"
        );
        assert_eq!(
            ReturnsValidator::parse("{}").unwrap_err().message,
            "Error in returns validator: Validator is missing `type`"
        );
    }
}

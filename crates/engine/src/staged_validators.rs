//! Staged validators: document types announced for later (data model spec 5.2).
//!
//! Nothing enforces one. The background work checks the stored documents against
//! it, every write checks what it writes, and the first document that does not
//! match fails it. While one is valid, a schema that accepts all that it accepts
//! needs no walk over the table.

use std::sync::Arc;

use hull_store::TabletId;
use hull_value::{CodedError, InternalId, Schema, Validator, Value};

use crate::document;
use crate::metadata::{Namespace, TableInfo, TableState};
use crate::system;
use crate::transaction::Transaction;

/// One stored staged validator. Its row is a new one each time it is staged, so
/// that no walk goes on where one over other documents has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedValidator {
    pub(crate) row: InternalId,
    pub(crate) namespace: Namespace,
    pub tablet: TabletId,
    pub validator: Arc<Validator>,
    pub state: StagedValidatorState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StagedValidatorState {
    /// Stored documents are being checked.
    Pending,
    /// Every document matches.
    Valid,
    Failed {
        error: String,
    },
}

impl StagedValidator {
    pub(crate) fn parse(
        row: InternalId,
        value: hull_value::ValueRef<'_>,
    ) -> Result<StagedValidator, String> {
        let number = |field: &str| {
            document::int(value, field)
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| format!("field {field} is missing or of another type"))
        };
        let text = document::text(value, "validator").unwrap_or_default();
        let validator = Validator::parse(text).map_err(|error| error.message)?;
        let state = match (
            document::text(value, "state"),
            document::text(value, "error"),
        ) {
            (Some("pending"), _) => StagedValidatorState::Pending,
            (Some("valid"), _) => StagedValidatorState::Valid,
            (Some("failed"), Some(error)) => StagedValidatorState::Failed {
                error: error.to_owned(),
            },
            (other, _) => return Err(format!("unknown state {other:?} of a staged validator")),
        };
        Ok(StagedValidator {
            row,
            namespace: Namespace(number("namespace")?),
            tablet: TabletId(number("tablet")?),
            validator: Arc::new(validator),
            state,
        })
    }

    fn to_row(&self) -> hull_value::PackedValue {
        let (state, error) = match &self.state {
            StagedValidatorState::Pending => ("pending", Value::Null),
            StagedValidatorState::Valid => ("valid", Value::Null),
            StagedValidatorState::Failed { error } => ("failed", Value::String(error.clone())),
        };
        document::row([
            ("namespace", Value::Int64(self.namespace.0.into())),
            ("tablet", Value::Int64(self.tablet.0.into())),
            (
                "validator",
                Value::String(self.validator.to_json().to_string()),
            ),
            ("state", Value::String(state.to_owned())),
            ("error", error),
        ])
    }
}

impl Transaction {
    /// Stages the validators of a schema and drops those it does not stage any
    /// more. One that has failed is tried again.
    pub fn stage_validators(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
    ) -> Result<(), CodedError> {
        self.record_schema_of(namespace);
        let metadata = self.metadata.clone();
        let wanted_of = |table: &TableInfo| {
            let table = schema.tables.get(&table.name)?;
            table.staged_document_type.as_ref()
        };
        for staged in metadata.staged_validators() {
            let table = metadata.table(staged.tablet);
            let table = table.filter(|table| table.state == TableState::Active);
            let is_kept = staged.namespace == namespace
                && !matches!(staged.state, StagedValidatorState::Failed { .. })
                && table.and_then(|table| wanted_of(table)) == Some(&*staged.validator);
            if staged.namespace == namespace && !is_kept {
                self.put_system_row(system::STAGED_VALIDATORS, staged.row, None)?;
            }
        }
        for (name, table_schema) in &schema.tables {
            let Some(validator) = &table_schema.staged_document_type else {
                continue;
            };
            let table = self.table_or_create(namespace, name)?;
            if self.metadata().staged_validator(table.tablet).is_none() {
                let staged = StagedValidator {
                    row: self.new_id(),
                    namespace,
                    tablet: table.tablet,
                    validator: Arc::new(validator.clone()),
                    state: StagedValidatorState::Pending,
                };
                self.put_staged_validator(&staged)?;
            }
        }
        Ok(())
    }

    /// Changes the state of a staged validator that is `Pending` or `Valid`; one
    /// that has failed or is gone stays so.
    pub(crate) fn set_staged_validator_state(
        &mut self,
        staged: &StagedValidator,
        state: StagedValidatorState,
    ) -> Result<(), CodedError> {
        self.record_schema_of(staged.namespace);
        let known = self.metadata().staged_validator(staged.tablet).cloned();
        let known = known.filter(|known| known.row == staged.row);
        match known {
            Some(known) if !matches!(known.state, StagedValidatorState::Failed { .. }) => self
                .put_staged_validator(&StagedValidator {
                    state,
                    ..StagedValidator::clone(&known)
                }),
            _ => Ok(()),
        }
    }

    fn put_staged_validator(&mut self, staged: &StagedValidator) -> Result<(), CodedError> {
        self.put_system_row(system::STAGED_VALIDATORS, staged.row, Some(staged.to_row()))
    }
}

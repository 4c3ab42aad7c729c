//! What a push of a schema would have to do, asked beforehand (deploy spec 6.8).

use hull_value::{CodedError, Schema, Validator};

use crate::metadata::{IndexState, Namespace, SchemaState};
use crate::schema_change::{IndexChange, is_implied, is_staged_valid};
use crate::staged_validators::{StagedValidator, StagedValidatorState};
use crate::transaction::Transaction;

/// What a push of one schema would do.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaPrediction {
    pub tables: Vec<TablePrediction>,
    pub indexes: Vec<IndexPrediction>,
    /// Staged validators, pending or valid, whose checks the push would throw away.
    pub discarded: Vec<DiscardedValidator>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TablePrediction {
    pub name: String,
    pub outcome: TableOutcome,
    pub documents: u64,
    pub size_bytes: u64,
    /// The validator that is staged for the table now.
    pub staged: Option<StagedValidator>,
    /// Whether the staged validator, once valid, spares the walk.
    pub can_skip_after_staged_validation: bool,
}

/// Whether stored documents must be checked, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOutcome {
    /// The schema says nothing about the table's documents.
    NotValidated,
    /// What is enforced now is accepted.
    SupersetOfEnforced,
    /// What a valid staged validator accepts is accepted.
    SupersetOfStagedValidated,
    /// There are no documents.
    SupersetOfShape,
    MustWalk,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IndexPrediction {
    pub index: IndexChange,
    pub change: IndexChangeKind,
    pub needs_backfill: bool,
    pub documents: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexChangeKind {
    Added,
    Identical,
    Enabled,
    Disabled,
    Dropped,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DiscardedValidator {
    pub table: String,
    pub staged: StagedValidator,
    /// Whether another validator is staged in its place.
    pub replaced: bool,
}

impl Transaction {
    /// Tells what a push of `schema` would do. Costs O(tables + indexes).
    pub fn predict_schema(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
    ) -> Result<SchemaPrediction, CodedError> {
        let mut tables = Vec::new();
        for (name, table_schema) in &schema.tables {
            tables.push(self.predict_table(
                namespace,
                schema,
                name,
                table_schema.document_type.as_ref(),
            )?);
        }
        let diff = self.diff_indexes(namespace, schema);
        let kinds = [
            (diff.added, IndexChangeKind::Added),
            (diff.identical, IndexChangeKind::Identical),
            (diff.enabled, IndexChangeKind::Enabled),
            (diff.disabled, IndexChangeKind::Disabled),
            (diff.removed, IndexChangeKind::Dropped),
        ];
        let mut indexes = Vec::new();
        for (changes, change) in kinds {
            for index in changes {
                let stored = self.stored_index(namespace, &index);
                let is_built = stored.is_some_and(|stored| stored.state != IndexState::Backfilling);
                let documents = self.table_usage(namespace, &index.table)?.documents;
                indexes.push(IndexPrediction {
                    needs_backfill: !is_built && change != IndexChangeKind::Dropped,
                    index,
                    change,
                    documents,
                });
            }
        }
        Ok(SchemaPrediction {
            tables,
            indexes,
            discarded: self.discarded_validators(namespace, schema),
        })
    }

    fn predict_table(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
        name: &str,
        document_type: Option<&Validator>,
    ) -> Result<TablePrediction, CodedError> {
        let usage = self.table_usage(namespace, name)?;
        let metadata = self.metadata.clone();
        let active = metadata.active_schema(namespace);
        let pending = metadata.pending_schema(namespace);
        // A schema that was checked in an earlier push is as good as enforced.
        let checked = pending.filter(|slot| slot.state == SchemaState::Validated);
        let enforced = [active, checked].into_iter().flatten();
        let table = metadata.table_by_name(namespace, name);
        let staged = table.and_then(|table| metadata.staged_validator(table.tablet));
        let is_enough = |staged: &StagedValidator| {
            document_type.is_some_and(|wanted| staged.validator.is_subset_of(wanted))
        };
        let outcome = match document_type {
            None | Some(Validator::Any) => TableOutcome::NotValidated,
            _ if !schema.schema_validation => TableOutcome::NotValidated,
            _ if usage.documents == 0 => TableOutcome::SupersetOfShape,
            _ if enforced
                .into_iter()
                .any(|slot| is_implied(schema, Some(&slot.schema), name)) =>
            {
                TableOutcome::SupersetOfEnforced
            }
            _ if table.is_some_and(|table| is_staged_valid(schema, &metadata, table)) => {
                TableOutcome::SupersetOfStagedValidated
            }
            _ => TableOutcome::MustWalk,
        };
        let waits = outcome == TableOutcome::MustWalk
            && staged.is_some_and(|staged| {
                staged.state == StagedValidatorState::Pending && is_enough(staged)
            });
        Ok(TablePrediction {
            name: name.to_owned(),
            outcome,
            documents: usage.documents,
            size_bytes: usage.bytes,
            staged: staged.map(|staged| StagedValidator::clone(staged)),
            can_skip_after_staged_validation: waits,
        })
    }

    fn discarded_validators(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
    ) -> Vec<DiscardedValidator> {
        let metadata = self.metadata.clone();
        let mut discarded = Vec::new();
        for staged in metadata.staged_validators() {
            let Some(table) = metadata.table(staged.tablet) else {
                continue;
            };
            if staged.namespace != namespace
                || matches!(staged.state, StagedValidatorState::Failed { .. })
            {
                continue;
            }
            let wanted = schema.tables.get(&table.name);
            let restaged = wanted.and_then(|wanted| wanted.staged_document_type.as_ref());
            let applied = wanted.and_then(|wanted| wanted.document_type.as_ref());
            let is_applied = applied.is_some_and(|applied| {
                schema.schema_validation
                    && *applied != Validator::Any
                    && staged.validator.is_subset_of(applied)
                    // Not so for one that is weaker than what is enforced already.
                    && !is_implied(schema, active(&metadata, namespace), &table.name)
            });
            if restaged != Some(&*staged.validator) && !is_applied {
                discarded.push(DiscardedValidator {
                    table: table.name.clone(),
                    staged: StagedValidator::clone(staged),
                    replaced: restaged.is_some(),
                });
            }
        }
        discarded.sort_by(|a, b| a.table.cmp(&b.table));
        discarded
    }
}

fn active(metadata: &crate::Metadata, namespace: Namespace) -> Option<&Schema> {
    metadata.active_schema(namespace).map(|slot| &*slot.schema)
}

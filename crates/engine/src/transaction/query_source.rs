use hull_store::Order;
use hull_value::{CodedError, keys::Interval};

use super::Transaction;
use crate::key_space::KeySpace;
use crate::metadata::{IndexState, Namespace};
use crate::query::{IndexedDocument, QuerySource, ReadLimits, ResolvedIndex};
use crate::snapshot::ScanTarget;
use crate::system;

/// A transaction as the queries of one component see it.
pub struct ComponentReads<'a> {
    pub transaction: &'a mut Transaction,
    pub namespace: Namespace,
}

impl QuerySource for ComponentReads<'_> {
    fn resolve_index(
        &mut self,
        table: &str,
        index: &str,
    ) -> Result<Option<ResolvedIndex>, CodedError> {
        let Some(info) = self.transaction.user_table(self.namespace, table)? else {
            return Ok(None);
        };
        if index == "by_id" {
            return Ok(Some(ResolvedIndex {
                // by_id has no entries of its own: the tablet is the index.
                index: hull_store::IndexId(0),
                tablet: info.tablet,
                table_number: info.number,
                fields: Vec::new(),
                is_by_id: true,
            }));
        }
        let key = system::index_key(info.tablet, index);
        self.transaction.record(
            KeySpace::Index(system::INDEXES_BY_TABLET),
            Interval::point(key),
        );
        let name = format!("{table}.{index}");
        let Some(found) = info.index(index) else {
            return Err(CodedError::bad_request(
                "IndexNotFoundError",
                format!("Index {name} not found."),
            ));
        };
        let hull_value::IndexSpec::Database { .. } = found.spec else {
            return Err(CodedError::bad_request(
                "IndexNotADatabaseIndex",
                format!("Index {name} is not a database index"),
            ));
        };
        match found.state {
            IndexState::Enabled => {}
            _ if found.staged => {
                return Err(CodedError::bad_request(
                    "IndexStagedError",
                    format!(
                        "Index {name} is currently staged and not available to query until it is enabled."
                    ),
                ));
            }
            _ => {
                return Err(CodedError::bad_request(
                    "IndexBackfillingError",
                    format!(
                        "Index {name} is currently backfilling and not available to query yet."
                    ),
                ));
            }
        }
        Ok(Some(ResolvedIndex {
            index: found.index,
            tablet: info.tablet,
            table_number: info.number,
            fields: found.fields.clone(),
            is_by_id: false,
        }))
    }

    fn fetch(
        &mut self,
        index: &ResolvedIndex,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexedDocument>, CodedError> {
        let rows = if index.is_by_id {
            self.transaction
                .scan(ScanTarget::Tablet(index.tablet), interval, order, limit)?
        } else {
            let info = self
                .transaction
                .metadata()
                .table(index.tablet)
                .and_then(|table| table.indexes.iter().find(|info| info.index == index.index))
                .cloned();
            // The table was rolled back together with the nested call that made it.
            let Some(info) = info else {
                return Ok(Vec::new());
            };
            self.transaction
                .scan(ScanTarget::Index(&info), interval, order, limit)?
        };
        Ok(rows
            .into_iter()
            .map(|row| IndexedDocument {
                key: row.key,
                id: row.id,
                ts: row.ts,
                value: row.value,
            })
            .collect())
    }

    fn record_interval(
        &mut self,
        index: &ResolvedIndex,
        interval: Interval,
    ) -> Result<(), CodedError> {
        let space = if index.is_by_id {
            KeySpace::Tablet(index.tablet)
        } else {
            KeySpace::Index(index.index)
        };
        self.transaction.record(space, interval.clone());
        self.transaction.charge_interval(space, interval)
    }

    fn read_limits(&self) -> ReadLimits {
        let ceilings = &self.transaction.usage().ceilings;
        ReadLimits {
            documents: ceilings.documents_read,
            bytes: ceilings.bytes_read,
        }
    }

    fn record_document(
        &mut self,
        index: &ResolvedIndex,
        document: &IndexedDocument,
    ) -> Result<(), CodedError> {
        if index.table_number.0 < 10_000 {
            return Ok(());
        }
        let size = document.value.as_ref().size();
        self.transaction.usage_mut().charge_read(size)
    }
}

use hull_value::{CodedError, ValueRef};

use super::{Filter, IndexedDocument, Operator};

/// The operators of a running query.
#[derive(Debug)]
pub(super) struct Pipeline(Vec<Stage>);

#[derive(Debug)]
enum Stage {
    Filter(Filter),
    Limit { left: usize },
}

impl Pipeline {
    pub(super) fn new(operators: Vec<Operator>) -> Self {
        let stages = operators.into_iter().map(|operator| match operator {
            Operator::Filter(filter) => Stage::Filter(filter),
            Operator::Limit(left) => Stage::Limit { left },
        });
        Self(stages.collect())
    }

    /// Whether no further row can come out, so that none need be read.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0
            .iter()
            .any(|stage| matches!(stage, Stage::Limit { left: 0 }))
    }

    /// How many rows can still go in; `None`: as many as it takes.
    pub(super) fn wanted_max(&self) -> Option<usize> {
        let mut wanted: Option<usize> = None;
        for stage in &self.0 {
            match stage {
                Stage::Limit { left } => {
                    wanted = Some(wanted.map_or(*left, |wanted| wanted.min(*left)))
                }
                Stage::Filter(_) => break,
            }
        }
        wanted
    }

    /// Whether every row that goes in comes out, until a limit is reached.
    pub(super) fn has_no_filter(&self) -> bool {
        !self.0.iter().any(|stage| matches!(stage, Stage::Filter(_)))
    }

    /// Passes a row through the operators; `true` if it comes out.
    pub(super) fn admit(&mut self, row: &IndexedDocument) -> Result<bool, CodedError> {
        let ValueRef::Object(document) = row.value.as_ref() else {
            return Err(CodedError::internal(format!(
                "document {:?} is not an object",
                row.id
            )));
        };
        for stage in &mut self.0 {
            match stage {
                Stage::Filter(filter) => {
                    if !filter.accepts(document)? {
                        return Ok(false);
                    }
                }
                Stage::Limit { left } => *left = left.saturating_sub(1),
            }
        }
        Ok(true)
    }
}

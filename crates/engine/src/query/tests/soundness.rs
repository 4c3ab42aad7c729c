//! What was recorded is enough: a write outside of it cannot change the outcome.

use hull_value::{InternalId, PackedValue};
use proptest::prelude::*;

use super::super::{
    Page, PageRequest, Query, QueryStream, paginate,
    testing::{HexCodec, MemorySource, strategies},
};

#[derive(Clone, Debug)]
enum Run {
    /// Pulls so many rows, as `first`, `take` and a loop with `break` do.
    Take(usize),
    Collect,
    /// Reads so many pages, each from the end of the one before, as separate functions would.
    Pages {
        count: usize,
        page_size: usize,
        maximum_rows_read: Option<usize>,
        is_rerun: bool,
    },
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Rows(Vec<PackedValue>),
    Pages(Vec<Page>),
}

fn run() -> impl Strategy<Value = Run> {
    prop_oneof![
        (0_usize..8).prop_map(Run::Take),
        Just(Run::Collect),
        (
            1_usize..4,
            1_usize..6,
            prop::option::of(1_usize..8),
            any::<bool>()
        )
            .prop_map(
                |(count, page_size, maximum_rows_read, is_rerun)| Run::Pages {
                    count,
                    page_size,
                    maximum_rows_read,
                    is_rerun
                }
            ),
    ]
}

impl Run {
    fn execute(&self, query: &Query, source: &mut MemorySource) -> Outcome {
        match self {
            Self::Take(count) => Outcome::Rows(take(query, *count, source)),
            Self::Collect => Outcome::Rows(take(query, usize::MAX, source)),
            Self::Pages {
                count,
                page_size,
                maximum_rows_read,
                is_rerun,
            } => {
                let mut request = PageRequest {
                    page_size: *page_size,
                    maximum_rows_read: *maximum_rows_read,
                    ..PageRequest::default()
                };
                let pages = (0..*count).map(|_| {
                    request.journal_end_cursor = None;
                    let mut page = paginate(query.clone(), &request, &HexCodec, source).unwrap();
                    if *is_rerun {
                        request.journal_end_cursor = Some(page.journal_end_cursor.clone());
                        page = paginate(query.clone(), &request, &HexCodec, source).unwrap();
                    }
                    request.cursor = Some(page.continue_cursor.clone());
                    page
                });
                Outcome::Pages(pages.collect())
            }
        }
    }
}

fn take(query: &Query, count: usize, source: &mut MemorySource) -> Vec<PackedValue> {
    let mut stream = QueryStream::open(query.clone(), source).unwrap();
    std::iter::from_fn(|| stream.next(source).unwrap())
        .take(count)
        .collect()
}

#[derive(Clone, Debug)]
enum Write {
    /// Inserts, or replaces the document with this id.
    Put((InternalId, PackedValue)),
    Delete(prop::sample::Index),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        2 => strategies::document().prop_map(Write::Put),
        1 => any::<prop::sample::Index>().prop_map(Write::Delete),
    ]
}

/// Applies a write unless it touches what was read; tells whether it did.
fn apply_outside(write: &Write, source: &mut MemorySource) -> bool {
    let (id, new) = match write {
        Write::Put((id, document)) => (*id, Some(document.clone())),
        Write::Delete(_) if source.documents.is_empty() => return false,
        Write::Delete(at) => {
            let ids: Vec<InternalId> = source.documents.keys().copied().collect();
            (*at.get(&ids), None)
        }
    };
    let old = source.documents.get(&id);
    if old
        .into_iter()
        .chain(&new)
        .any(|document| source.is_read(id, document))
    {
        return false;
    }
    match new {
        Some(document) => source.documents.insert(id, document),
        None => source.documents.remove(&id),
    };
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn write_outside_of_the_read_set_changes_nothing(
        documents in strategies::documents(30),
        query in strategies::query(),
        run in run(),
        writes in prop::collection::vec(write(), 1..40),
    ) {
        let mut source = MemorySource::new(documents);
        let before = run.execute(&query, &mut source);
        let applied = writes.iter().filter(|write| apply_outside(write, &mut source)).count();
        source.begin();
        let after = run.execute(&query, &mut source);
        prop_assert_eq!(before, after, "after {} writes", applied);
    }
}

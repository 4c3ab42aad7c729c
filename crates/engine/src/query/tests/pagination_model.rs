//! A list of pages as a client keeps it: writes, new pages and splits in any
//! order, every page re-run with its journal after each.

use hull_value::{InternalId, PackedValue};
use proptest::prelude::*;

use super::super::{
    Page, PageRequest, Query, paginate,
    testing::{HexCodec, MemorySource, naive, strategies},
};

#[derive(Clone, Debug)]
enum Step {
    Put((InternalId, PackedValue)),
    Delete(prop::sample::Index),
    LoadMore {
        page_size: usize,
        maximum_rows_read: Option<usize>,
    },
    Split(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => strategies::document().prop_map(Step::Put),
        2 => any::<prop::sample::Index>().prop_map(Step::Delete),
        2 => (1_usize..6, prop::option::of(1_usize..8))
            .prop_map(|(page_size, maximum_rows_read)| Step::LoadMore { page_size, maximum_rows_read }),
        1 => any::<prop::sample::Index>().prop_map(Step::Split),
    ]
}

struct List {
    query: Query,
    source: MemorySource,
    pages: Vec<(PageRequest, Page)>,
}

impl List {
    fn read(&mut self, request: &PageRequest) -> Page {
        paginate(self.query.clone(), request, &HexCodec, &mut self.source).unwrap()
    }

    /// Loads a page behind the last one; `false` if that was the end.
    fn load_more(&mut self, page_size: usize, maximum_rows_read: Option<usize>) -> bool {
        if self.pages.last().is_some_and(|(_, page)| page.is_done) {
            return false;
        }
        let cursor = self
            .pages
            .last()
            .map(|(_, page)| page.continue_cursor.clone());
        let mut request = PageRequest {
            cursor,
            page_size,
            maximum_rows_read,
            ..PageRequest::default()
        };
        let page = self.read(&request);
        assert!(page.page.len() <= page_size);
        request.journal_end_cursor = Some(page.journal_end_cursor.clone());
        self.pages.push((request, page));
        true
    }

    fn split(&mut self, at: usize) {
        let (request, page) = self.pages[at].clone();
        let Some(split_cursor) = page.split_cursor else {
            return;
        };
        let half = |cursor, end_cursor: &str| PageRequest {
            cursor,
            end_cursor: Some(end_cursor.to_owned()),
            journal_end_cursor: None,
            ..request.clone()
        };
        let halves = [
            half(request.cursor.clone(), &split_cursor),
            half(Some(split_cursor.clone()), &page.continue_cursor),
        ];
        let halves = halves.map(|request| {
            let page = self.read(&request);
            (request, page)
        });
        self.pages.splice(at..=at, halves);
    }

    fn rerun(&mut self) {
        for at in 0..self.pages.len() {
            let (request, before) = self.pages[at].clone();
            let page = self.read(&request);
            assert_eq!(
                page.continue_cursor, before.continue_cursor,
                "the page keeps its end"
            );
            assert_eq!(page.journal_end_cursor, before.journal_end_cursor);
            assert_eq!(page.is_done, before.is_done);
            self.pages[at].1 = page;
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let listed: Vec<&PackedValue> =
            self.pages.iter().flat_map(|(_, page)| &page.page).collect();
        let expected = naive::results(&self.source, &self.query);
        let is_done = self.pages.last().is_some_and(|(_, page)| page.is_done);
        prop_assert!(
            listed.len() <= expected.len(),
            "{:?} of {:?}",
            listed,
            expected
        );
        let prefix_len = if is_done {
            expected.len()
        } else {
            listed.len()
        };
        let expected: Vec<&PackedValue> = expected[..prefix_len].iter().collect();
        prop_assert_eq!(listed, expected);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pages_list_every_row_once_whatever_is_written(
        documents in strategies::documents(25),
        query in strategies::paged_query(),
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut list = List { query, source: MemorySource::new(documents), pages: Vec::new() };
        list.load_more(3, None);
        for step in steps {
            match step {
                Step::Put((id, document)) => {
                    list.source.documents.insert(id, document);
                }
                Step::Delete(at) => {
                    let ids: Vec<InternalId> = list.source.documents.keys().copied().collect();
                    if !ids.is_empty() {
                        list.source.documents.remove(at.get(&ids));
                    }
                }
                Step::LoadMore { page_size, maximum_rows_read } => {
                    list.load_more(page_size, maximum_rows_read);
                }
                Step::Split(at) => {
                    let at = at.index(list.pages.len());
                    list.split(at);
                }
            }
            list.rerun();
            list.check()?;
        }
        // Every page makes progress, so that there are fewer of them than documents and steps.
        for _ in 0..=50 {
            list.load_more(4, Some(3));
        }
        prop_assert!(list.pages.last().is_some_and(|(_, page)| page.is_done));
        list.check()?;
    }
}

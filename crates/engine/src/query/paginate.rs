use std::collections::VecDeque;

use hull_store::Order;
use hull_value::{CodedError, ErrorClass, FieldPath, PackedValue, keys::Interval};
use serde_json::Value as Json;

use super::{
    CursorCodec, Query, QuerySource, ReadLimits, Source,
    cursor::Position,
    fingerprint::{self, Fingerprint},
    parse,
    pipeline::Pipeline,
    scan::{self, IndexScan},
    stream::{self, Resolved},
};

/// Rows one page may ask for.
pub const PAGE_SIZE_MAX: usize = 32_000;
/// Results of a page above which the client should split it.
const SPLIT_RESULTS: usize = 6_144;

/// What `1.0/queryPage` asks for besides the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Where the page starts; `None`: at the beginning.
    pub cursor: Option<String>,
    /// Where the page ends, whatever its size.
    pub end_cursor: Option<String>,
    /// Where the page ended when the same subscription last ran; holds if
    /// `end_cursor` is not given. One that does not fit the query or does not
    /// lie behind `cursor` is ignored: it was made by another version of it.
    pub journal_end_cursor: Option<String>,
    pub page_size: usize,
    pub maximum_rows_read: Option<usize>,
    pub maximum_bytes_read: Option<usize>,
}

/// One page of results.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub page: Vec<PackedValue>,
    pub is_done: bool,
    pub continue_cursor: String,
    pub split_cursor: Option<String>,
    pub page_status: Option<PageStatus>,
    /// To be kept in the journal of the function.
    pub journal_end_cursor: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStatus {
    /// The page has grown large; two smaller ones would be cheaper.
    SplitRecommended,
    /// A limit was hit before the page was complete.
    SplitRequired,
}

impl PageStatus {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SplitRecommended => "SplitRecommended",
            Self::SplitRequired => "SplitRequired",
        }
    }
}

impl PageRequest {
    /// Parses the arguments of `1.0/queryPage`; the journal is the caller's to add.
    pub fn parse(args: &Json) -> Result<Self, CodedError> {
        let given = |name: &str| args.get(name).filter(|value| !value.is_null());
        let cursor = |name: &'static str| -> Result<Option<String>, CodedError> {
            given(name)
                .map(|cursor| parse::string(cursor, name))
                .transpose()
        };
        let count = |name: &'static str| {
            given(name)
                .map(|count| parse::count(count, name))
                .transpose()
        };
        let page_size = count("pageSize")?.ok_or_else(|| {
            CodedError::bad_request("InvalidArgument", "Missing required argument 'pageSize'")
        })?;
        Ok(Self {
            cursor: cursor("cursor")?,
            end_cursor: cursor("endCursor")?,
            journal_end_cursor: None,
            page_size,
            maximum_rows_read: count("maximumRowsRead")?,
            maximum_bytes_read: count("maximumBytesRead")?,
        })
    }

    fn check(&self) -> Result<(), CodedError> {
        if self.page_size == 0 {
            return Err(CodedError::bad_request(
                "NoDocumentsForPagination",
                "Must request at least 1 document while paginating",
            ));
        }
        if self.page_size > PAGE_SIZE_MAX {
            return Err(CodedError::bad_request(
                "PageSizeTooLarge",
                format!("Requested too many items: {}", self.page_size),
            ));
        }
        if self.maximum_rows_read == Some(0) || self.maximum_bytes_read == Some(0) {
            return Err(CodedError::bad_request(
                "InvalidPaginationLimit",
                "maximumRowsRead and maximumBytesRead must be greater than 0",
            ));
        }
        Ok(())
    }
}

/// Reads one page of a query.
///
/// A page with an end reads everything up to it, so that its neighbours keep
/// fitting when rows come and go; one without ends after `page_size` results
/// and does not look whether there is another.
pub fn paginate(
    query: Query,
    request: &PageRequest,
    codec: &dyn CursorCodec,
    source: &mut (impl QuerySource + ?Sized),
) -> Result<Page, CodedError> {
    request.check()?;
    let resolved = stream::resolve(&query.source, source)?;
    let fields = match &resolved {
        Some(resolved) => resolved.index.fields.clone(),
        None => stream::builtin_fields(query.source.names().1),
    };
    let limits = source.read_limits();
    let context = Context::new(&query, &fields, request, limits, codec)?;
    let pages = match resolved {
        Some(resolved) if context.start != Some(Position::End) => {
            context.read(resolved, Pipeline::new(query.operators), source)?
        }
        // No table or no rows left: an empty last page.
        _ => Rows {
            stop: Some(Stop::Exhausted),
            ..Rows::default()
        },
    };
    Ok(context.page(pages))
}

/// A request with its cursors decoded.
struct Context<'a> {
    request: &'a PageRequest,
    limits: ReadLimits,
    codec: &'a dyn CursorCodec,
    fingerprint: Fingerprint,
    start: Option<Position>,
    end: Option<Position>,
}

/// What reading a page came to.
#[derive(Default)]
struct Rows {
    page: Vec<PackedValue>,
    rows_read: usize,
    bytes_read: usize,
    last_key: Vec<u8>,
    /// The keys from the middle one of those read to the last.
    latter_keys: VecDeque<Vec<u8>>,
    stop: Option<Stop>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// There are no more rows, or none before the end cursor.
    Exhausted,
    /// The page has all the results it was asked for.
    Full,
    /// A limit on rows or bytes was hit.
    Limited,
}

impl<'a> Context<'a> {
    fn new(
        query: &Query,
        fields: &[FieldPath],
        request: &'a PageRequest,
        limits: ReadLimits,
        codec: &'a dyn CursorCodec,
    ) -> Result<Self, CodedError> {
        let order = match query.source {
            Source::FullTableScan { order, .. } | Source::IndexRange { order, .. } => order,
            Source::Search { .. } => Order::Asc,
        };
        let fingerprint = fingerprint::of(query, fields);
        let decode = |cursor: &String| Position::decode(cursor, &fingerprint, codec);
        let start = request.cursor.as_ref().map(decode).transpose()?;
        let end = match &request.end_cursor {
            Some(end) => Some(decode(end)?),
            None => request
                .journal_end_cursor
                .as_ref()
                .and_then(|journal| decode(journal).ok())
                .filter(|end| end.is_beyond(start.as_ref(), order)),
        };
        Ok(Self {
            request,
            limits,
            codec,
            fingerprint,
            start,
            end,
        })
    }

    fn read(
        &self,
        resolved: Resolved,
        mut pipeline: Pipeline,
        source: &mut (impl QuerySource + ?Sized),
    ) -> Result<Rows, CodedError> {
        let Resolved {
            index,
            interval,
            order,
        } = resolved;
        let mut scan = IndexScan::new(index, self.between_cursors(interval, order), order);
        let mut rows = Rows::default();
        let outcome = self.fill(&mut rows, &mut scan, &mut pipeline, source);
        let recorded = scan.record(source);
        for result in [outcome, recorded] {
            match result {
                Ok(()) => {}
                // Not for a page without rows: the client would ask for it for ever.
                Err(error) if error.class == ErrorClass::PaginationLimit && rows.rows_read > 0 => {
                    rows.stop = Some(Stop::Limited);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    fn fill(
        &self,
        rows: &mut Rows,
        scan: &mut IndexScan,
        pipeline: &mut Pipeline,
        source: &mut (impl QuerySource + ?Sized),
    ) -> Result<(), CodedError> {
        while rows.stop.is_none() {
            rows.stop = self.stop_before_next(rows, pipeline);
            if rows.stop.is_some() {
                return Ok(());
            }
            let Some(row) = scan.next(source, self.wanted_max(rows, pipeline))? else {
                rows.stop = Some(Stop::Exhausted);
                return Ok(());
            };
            let is_result = pipeline.admit(&row)?;
            rows.rows_read += 1;
            rows.bytes_read += row.value.as_ref().size();
            rows.last_key.clone_from(&row.key);
            rows.latter_keys.push_back(row.key);
            if rows.rows_read > 1 && rows.rows_read % 2 == 1 {
                rows.latter_keys.pop_front();
            }
            if is_result {
                rows.page.push(row.value);
            }
        }
        Ok(())
    }

    fn stop_before_next(&self, rows: &Rows, pipeline: &Pipeline) -> Option<Stop> {
        let request = self.request;
        if pipeline.is_exhausted() {
            return Some(Stop::Exhausted);
        }
        if self.end.is_some() {
            return None;
        }
        if rows.page.len() >= request.page_size {
            return Some(Stop::Full);
        }
        let is_limited = request
            .maximum_rows_read
            .is_some_and(|max| rows.rows_read >= max)
            || request
                .maximum_bytes_read
                .is_some_and(|max| rows.bytes_read >= max);
        is_limited.then_some(Stop::Limited)
    }

    fn wanted_max(&self, rows: &Rows, pipeline: &Pipeline) -> Option<usize> {
        let mut wanted = pipeline.wanted_max();
        let mut at_most =
            |rows: usize| wanted = Some(wanted.map_or(rows, |wanted| wanted.min(rows)));
        if self.end.is_none() {
            if pipeline.has_no_filter() {
                at_most(self.request.page_size - rows.page.len());
            }
            if let Some(max) = self.request.maximum_rows_read {
                at_most(max - rows.rows_read);
            }
        }
        wanted
    }

    /// The part of the query's interval after the start and up to the end.
    fn between_cursors(&self, interval: Interval, order: Order) -> Interval {
        let everything = Interval::all();
        let after_start = match &self.start {
            Some(Position::After(key)) => scan::beyond(&everything, key, order),
            _ => everything.clone(),
        };
        let up_to_end = match &self.end {
            Some(Position::After(key)) => scan::through(&everything, key, order),
            _ => everything,
        };
        interval.intersect(&after_start).intersect(&up_to_end)
    }

    fn page(&self, rows: Rows) -> Page {
        let encode = |position: &Position| position.encode(&self.fingerprint, self.codec);
        let reached = match (&self.end, rows.stop) {
            (Some(end), _) => end.clone(),
            (None, Some(Stop::Exhausted)) => Position::End,
            (None, _) => Position::After(rows.last_key.clone()),
        };
        let split_cursor = (rows.rows_read > 2)
            .then(|| rows.latter_keys.front())
            .flatten()
            .map(|key| encode(&Position::After(key.clone())));
        let continue_cursor = encode(&reached);
        Page {
            page_status: self.status(&rows),
            page: rows.page,
            is_done: reached == Position::End,
            split_cursor,
            journal_end_cursor: continue_cursor.clone(),
            continue_cursor,
        }
    }

    fn status(&self, rows: &Rows) -> Option<PageStatus> {
        let rows_max = self.request.maximum_rows_read;
        let rows_max = rows_max.unwrap_or(self.limits.documents);
        let bytes_max = self.request.maximum_bytes_read;
        let bytes_max = bytes_max.unwrap_or(self.limits.bytes);
        let exceeds_three_quarters = |used: usize, max: usize| used > max - max.div_ceil(4);
        if rows.stop == Some(Stop::Limited) {
            Some(PageStatus::SplitRequired)
        } else if exceeds_three_quarters(rows.rows_read, rows_max)
            || exceeds_three_quarters(rows.bytes_read, bytes_max)
            || rows.page.len() > SPLIT_RESULTS
        {
            Some(PageStatus::SplitRecommended)
        } else {
            None
        }
    }
}

//! Times the hot paths on a page of 100 documents with 10 fields each. Run with `--release`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program"
)]

use std::{hint::black_box, time::Instant};

use hull_value::{DocumentId, InternalId, Object, PackedValue, TableNumber, Value, json, keys};

/// Few rounds but many batches: the best batch is one that no other process disturbed.
const ROUNDS: u32 = 5;
const BATCHES: usize = 1000;

fn document(number: u8) -> Value {
    let id = DocumentId::new(TableNumber(10001), InternalId([number; 16]));
    Value::from(Object::from([
        ("_id", Value::from(id.to_string())),
        ("_creationTime", 1_700_000_000_123.456_7.into()),
        ("author", "Ann \"the\" Author".into()),
        (
            "body",
            "A message of a usual length, with nothing special in it.".into(),
        ),
        ("channel", id.to_string().into()),
        ("count", f64::from(number).into()),
        ("isRead", true.into()),
        ("likes", vec![Value::from(1.0), 2.5.into()].into()),
        ("meta", Object::from([("kind", "text")]).into()),
        ("parent", Value::Null),
    ]))
}

fn time(name: &str, mut work: impl FnMut()) {
    let best = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| work());
            start.elapsed() / ROUNDS
        })
        .min();
    println!("{name:<32} {:?}", best.unwrap());
}

fn main() {
    let page = Value::from((0..100).map(document).collect::<Vec<_>>()).pack();
    let text = json::to_string(page.as_ref());
    println!(
        "page of {} packed bytes, {} bytes of JSON",
        page.as_bytes().len(),
        text.len()
    );
    let mut out = Vec::with_capacity(text.len());
    time("encode page", || {
        out.clear();
        json::encode(black_box(page.as_ref()), &mut out);
    });
    time("parse page to packed", || {
        drop(black_box(
            PackedValue::from_encoded_json(black_box(&text)).unwrap(),
        ))
    });
    time("check page bytes", || {
        drop(black_box(
            PackedValue::from_bytes(page.as_bytes().clone()).unwrap(),
        ))
    });
    time("size of page", || {
        black_box(black_box(page.as_ref()).size());
    });
    time("unpack page to tree", || drop(black_box(page.unpack())));
    let documents: Vec<_> = page.as_ref().as_array().unwrap().iter().collect();
    time("get one field of 100 documents", || {
        for document in &documents {
            black_box(document.as_object().unwrap().get("isRead"));
        }
    });
    let id = DocumentId::new(TableNumber(10001), InternalId([1; 16]));
    let fields = ["channel".parse().unwrap(), "_creationTime".parse().unwrap()];
    time("100 index keys", || {
        for document in &documents {
            black_box(keys::index_key(document.as_object().unwrap(), &fields, &id));
        }
    });
    let text = id.to_string();
    time("100 id parses", || {
        (0..100).for_each(|_| drop(black_box(DocumentId::parse(black_box(&text)))));
    });
}

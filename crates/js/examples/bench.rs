//! Micro benchmark of calls, without database or network: `cargo run --release -p hull-js --example bench`.

#[path = "../tests/support.rs"]
mod support;

use std::time::{Duration, Instant};

use hull_js::{CallKind, Image};
use support::{App, TestHost, documents, request};

const ROUNDS: usize = 400;

fn main() {
    let worker = std::thread::Builder::new().stack_size(hull_js::worker_stack_size());
    worker
        .spawn(run)
        .expect("thread")
        .join()
        .expect("benchmark runs");
}

fn run() {
    let started = Instant::now();
    let app = App::fixtures();
    report("compile all fixtures", started.elapsed(), "");
    let messages = timed_image(&app, "messages.js");
    let zod = timed_image(&app, "zodapp.js");
    let page = r#"[{"paginationOpts":{"numItems":100,"cursor":null}}]"#;
    let cases = [
        (&messages, "noop", "[{}]", "budget 50 µs"),
        (&messages, "listPage", page, "budget 600 µs"),
        (
            &messages,
            "listCollect",
            r#"[{"channel":"general"}]"#,
            "budget 600 µs",
        ),
        (&messages, "listTake", "[{}]", ""),
        (&zod, "noop", "[{}]", "budget 100 µs"),
        (&zod, "check", "[{}]", ""),
    ];
    for (image, export, args, note) in cases {
        measure(image, export, args, note);
    }
    report(
        "memory of all images",
        Duration::ZERO,
        &format!("{} KB", app.engine.bytes() >> 10),
    );
}

fn timed_image(app: &App, entry: &str) -> std::sync::Arc<Image> {
    let started = Instant::now();
    let image = app.image(entry);
    assert!(image.import_error.is_none(), "{:?}", image.import_error);
    report(
        &format!("image {entry}"),
        started.elapsed(),
        &format!("{} KB", image.bytes() >> 10),
    );
    image
}

fn measure(image: &std::sync::Arc<Image>, export: &str, args: &str, note: &str) {
    let mut host = TestHost {
        documents: documents(100),
        ..Default::default()
    };
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            host.calls.clear();
            let started = Instant::now();
            let mut isolate = image.isolate().expect("isolate");
            let outcome = isolate.call(&request(CallKind::Query, export, args), &mut host);
            drop(isolate);
            let elapsed = started.elapsed();
            outcome.result.expect("succeeds");
            elapsed
        })
        .collect();
    times.sort();
    report(
        export,
        times[times.len() / 2],
        &format!("p90 {:?} {note}", times[times.len() * 9 / 10]),
    );
}

fn report(what: &str, time: Duration, note: &str) {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{what:28} {time:>12.1?}  {note}").expect("stdout");
}

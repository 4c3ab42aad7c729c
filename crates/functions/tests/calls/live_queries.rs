//! Clients with live queries while mutations run: each result is right at its
//! timestamp, and in the end everybody sees the newest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hull_functions::{Evaluation, LiveQuery};
use hull_value::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use crate::app::{App, Outcome, function_call, user};

const SOURCE: &str = r#"
const one = async (name) => (await collect({
    source: { type: "FullTableScan", tableName: "rows", order: null },
    operators: [{ filter: { $eq: [{ $field: "name" }, { $literal: name }] } }],
}))[0];
export const setUp = mutation(async ({ names }) => { for (const name of names) await insert("rows", { name, n: 0 }); });
/** Moves one from a row to another, and tells what both were. */
export const move = mutation(async ({ from, to }) => {
    const [source, target] = [await one(from), await one(to)];
    await call("1.0/shallowMerge", { id: source._id, value: { n: source.n - 1 } });
    await call("1.0/shallowMerge", { id: target._id, value: { n: (await one(to)).n + 1 } });
    return [source.n, target.n];
});
export const row = query(async ({ name }) => (await one(name)).n);
export const sum = query(async () => (await collect(all("rows"))).reduce((sum, { n }) => sum + n, 0));
export const rows = query(async () => {
    const rows = await collect(all("rows"));
    return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
});
export const mine = query(async () => {
    const identity = await call("1.0/getUserIdentity", {});
    return [identity.subject, (await one(identity.subject)).n];
});
"#;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A client: its queries, and everything it was shown.
struct Client {
    name: &'static str,
    queries: Vec<LiveQuery>,
    woken: Arc<Notify>,
    shown: Vec<(Timestamp, Vec<Json>)>,
}

impl Client {
    fn new(app: &App, name: &'static str) -> Client {
        let woken = Arc::new(Notify::new());
        let notify = woken.clone();
        let waker: hull_functions::Waker = Arc::new(move || notify.notify_one());
        let questions = [
            ("row", json!({ "name": name })),
            ("sum", json!({})),
            ("rows", json!({})),
            ("mine", json!({})),
        ];
        let queries = questions
            .map(|(function, args)| app.subscribe(function, &args, user(name), waker.clone()));
        Client {
            name,
            queries: queries.into(),
            woken,
            shown: Vec::new(),
        }
    }

    async fn look(&mut self, app: &App) {
        let queries: Vec<&LiveQuery> = self.queries.iter().collect();
        let evaluation = app.deployment.evaluate(&queries, Timestamp(0)).await;
        let Evaluation { ts, results } = evaluation.unwrap();
        let results = results.iter().map(|result| {
            let outcome = Outcome::new(result.result.clone(), Vec::new());
            outcome.result.unwrap()
        });
        self.shown.push((ts, results.collect()));
    }
}

fn expected(name: &str, rows: &BTreeMap<String, f64>) -> Vec<Json> {
    let sum: f64 = rows.values().sum();
    vec![
        json!(rows[name]),
        json!(sum),
        json!(rows),
        json!([name, rows[name]]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_see_is_serializable_with_what_mutations_do() {
    const WRITERS: usize = 4;
    const MOVES: usize = 30;
    let app = Arc::new(App::new(SOURCE).await);
    let set_up = function_call("setUp", &json!({ "names": NAMES }));
    let set_up = app.deployment.mutation(set_up, None).await.unwrap();
    let done = Arc::new(Notify::new());
    let clients: Vec<_> = NAMES
        .into_iter()
        .cycle()
        .take(6)
        .map(|name| {
            let (app, done) = (app.clone(), done.clone());
            tokio::spawn(async move {
                let mut client = Client::new(&app, name);
                let ended = done.notified();
                let mut ended = std::pin::pin!(ended);
                ended.as_mut().enable();
                loop {
                    client.look(&app).await;
                    tokio::select! {
                        biased;
                        () = client.woken.notified() => {}
                        () = &mut ended => break,
                    }
                }
                client
            })
        })
        .collect();
    let log = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (app, log) = (app.clone(), log.clone());
            tokio::spawn(async move {
                for n in 0..MOVES {
                    let from = NAMES[(writer + n) % 3];
                    let to = NAMES[(writer * 2 + n / 3) % 3];
                    let call = function_call("move", &json!({ "from": from, "to": to }));
                    let outcome = app.deployment.mutation(call, None).await.unwrap();
                    let ts = outcome.ts;
                    let told = Outcome::new(outcome.result, Vec::new()).result.unwrap();
                    log.lock().unwrap().push((ts, from, to, told));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }

    // The order of commits explains what each mutation read.
    let mut log = std::mem::take(&mut *log.lock().unwrap());
    // One that changed nothing has no timestamp of its own: it saw the commit it names.
    log.sort_by_key(|(ts, from, to, _)| (*ts, from == to));
    let mut rows: BTreeMap<String, f64> = NAMES.map(|name| (name.to_owned(), 0.0)).into();
    let mut states = BTreeMap::from([(set_up.ts, rows.clone())]);
    for (ts, from, to, told) in log {
        assert_eq!(
            told,
            json!([rows[from], rows[to]]),
            "{from} to {to} at {ts}"
        );
        *rows.get_mut(from).unwrap() -= 1.0;
        *rows.get_mut(to).unwrap() += 1.0;
        states.insert(ts, rows.clone());
    }

    // Whoever has been woken looks once more before it ends.
    let last = *states.last_key_value().unwrap().0;
    let mut looks = 0;
    done.notify_waiters();
    for client in clients {
        let mut client = client.await.unwrap();
        let shown = std::mem::take(&mut client.shown);
        assert!(shown.is_sorted_by_key(|(ts, _)| *ts));
        looks += shown.len();
        for (ts, results) in &shown {
            let (_, state) = states.range(..=*ts).next_back().unwrap();
            assert_eq!(
                *results,
                expected(client.name, state),
                "{} at {ts}",
                client.name
            );
        }
        client.look(&app).await;
        let (ts, results) = &client.shown[0];
        assert!(*ts >= last);
        assert_eq!(*results, expected(client.name, &rows));
    }
    assert!(looks > 6, "clients were woken");
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn the_log_says_where_queries_came_from_and_which_ran() {
    let app = App::new(SOURCE).await;
    let waker: hull_functions::Waker = Arc::new(|| {});
    let live = app.subscribe("sum", &json!({}), user("a"), waker);
    app.deployment
        .evaluate(&[&live], Timestamp(0))
        .await
        .unwrap();
    app.query("sum", json!({})).await;
    // By an admin, so another question: it runs, then it is there.
    app.query("sum", json!({})).await;
    let query = hull_functions::LogQuery::default();
    let page = app.deployment.logs().poll(query, Duration::ZERO).await;
    let sums = page.entries.iter().map(|entry| &entry.completion);
    let logged: Vec<_> = sums
        .filter(|completion| completion.identifier == "m:sum")
        .map(|completion| {
            (
                completion.caller,
                completion.cached_result,
                completion.request_id == "0123456789abcdef",
            )
        })
        .collect();
    use hull_functions::Caller::{HttpApi, SyncWorker};
    assert_eq!(
        logged,
        [
            (SyncWorker, false, false),
            (HttpApi, false, true),
            (HttpApi, true, true)
        ]
    );
    app.deployment.shutdown().await;
}

//! Queries, mutations, subscriptions and values through the official client.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use convex::{ConvexClient, FunctionResult, Value};
use futures::StreamExt;

const LIMIT: Duration = Duration::from_secs(20);

async fn client() -> ConvexClient {
    let url = std::env::var("HULL_URL")
        .expect("HULL_URL is not set: these tests run through `cargo xtask test`");
    ConvexClient::new(&url).await.expect("the client connects")
}

/// A hang is a failure, not a wait.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing after {LIMIT:?}"),
    }
}

fn args<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn value(result: FunctionResult) -> Value {
    match result {
        FunctionResult::Value(value) => value,
        other => panic!("not a value: {other:?}"),
    }
}

/// Equal only when types and bits are, so that -0 is not 0 and NaN is NaN.
fn exact(value: &Value) -> String {
    match value {
        Value::Float64(float) if float.is_nan() => "NaN".to_owned(),
        Value::Float64(float) => format!("float {:016x}", float.to_bits()),
        Value::Array(items) => format!("{:?}", items.iter().map(exact).collect::<Vec<_>>()),
        Value::Object(fields) => {
            format!(
                "{:?}",
                fields
                    .iter()
                    .map(|(k, v)| (k, exact(v)))
                    .collect::<Vec<_>>()
            )
        }
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn values_round_trip() {
    let mut client = client().await;
    let cases = [
        Value::Null,
        Value::Boolean(true),
        Value::String("naïve 🐋 \u{2028} \"quoted\"".to_owned()),
        Value::Float64(2.0),
        Value::Float64(-0.0),
        Value::Float64(5e-324),
        Value::Float64(1e21),
        Value::Float64(f64::NAN),
        Value::Float64(f64::INFINITY),
        Value::Float64(f64::NEG_INFINITY),
        Value::Int64(0),
        Value::Int64(i64::MIN),
        Value::Int64(i64::MAX),
        Value::Bytes(vec![]),
        Value::Bytes(vec![0, 255, 127, 128, 10]),
        Value::Array(vec![
            Value::Int64(1),
            Value::Array(vec![Value::Float64(-0.0)]),
        ]),
        Value::Object(args([
            ("", Value::String("empty key".to_owned())),
            (
                "nested",
                Value::Object(args([("bytes", Value::Bytes(vec![1]))])),
            ),
        ])),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let name = Value::String(format!("rust {number}"));
        let put = args([("name", name.clone()), ("value", case.clone())]);
        let echoed = client.query("values:echo", args([("value", case.clone())]));
        assert_eq!(
            exact(&value(soon("echo", echoed).await.unwrap())),
            exact(&case)
        );
        let stored = client.mutation("values:put", put);
        assert_eq!(
            exact(&value(soon("put", stored).await.unwrap())),
            exact(&case)
        );
        let got = client.query("values:get", args([("name", name)]));
        assert_eq!(exact(&value(soon("get", got).await.unwrap())), exact(&case));
    }
}

#[tokio::test]
async fn subscription_sees_every_mutation_of_another_client() {
    let mut reader = client().await;
    let mut writer = client().await;
    let channel = ("channel", Value::String("rust".to_owned()));
    let mut updates = reader
        .subscribe("messages:list", args([channel.clone()]))
        .await
        .unwrap();
    let first = soon("the first result", updates.next()).await.unwrap();
    assert_eq!(value(first), Value::Array(vec![]));

    let mut expected = Vec::new();
    for number in 0..10 {
        let body = Value::String(number.to_string());
        expected.push(body.clone());
        let sent = writer.mutation("messages:send", args([channel.clone(), ("body", body)]));
        value(soon("send", sent).await.unwrap());
        // The client reports a query at every transition, changed or not.
        let before = Value::Array(expected[..number].to_vec());
        loop {
            let update = value(soon("an update", updates.next()).await.unwrap());
            if update == Value::Array(expected.clone()) {
                break;
            }
            assert_eq!(update, before);
        }
    }
}

#[tokio::test]
async fn errors_arrive_as_what_they_are() {
    let mut client = client().await;
    let data = Value::Object(args([("code", Value::Int64(7))]));
    for result in [
        soon(
            "query",
            client.query("errors:failingQuery", args([("data", data.clone())])),
        )
        .await,
        // This client waits for the transition that follows a failed mutation.
        soon(
            "mutation",
            client.mutation("errors:failingMutation", args([("data", data.clone())])),
        )
        .await,
    ] {
        match result.unwrap() {
            FunctionResult::ConvexError(error) => assert_eq!(error.data, data),
            other => panic!("not a ConvexError: {other:?}"),
        }
    }
    for (path, text) in [
        (
            "messages:nope",
            "Could not find public function for 'messages:nope'",
        ),
        ("errors:plainError", "Uncaught TypeError: boom"),
    ] {
        match soon(path, client.query(path, BTreeMap::new()))
            .await
            .unwrap()
        {
            FunctionResult::ErrorMessage(message) => {
                assert!(message.contains(text), "{message}");
            }
            other => panic!("not an error message: {other:?}"),
        }
    }
}

#[tokio::test]
async fn mutation_that_writes_nothing_resolves() {
    let mut client = client().await;
    let channel = args([("channel", Value::String("rust nothing".to_owned()))]);
    let result = soon("look", client.mutation("messages:look", channel))
        .await
        .unwrap();
    assert_eq!(value(result), Value::Null);
}

#[tokio::test]
async fn a_large_result_arrives_in_one_frame() {
    let mut client = client().await;
    let length = 6_000_000;
    let asked = client.query(
        "values:large",
        args([("length", Value::Float64(f64::from(length)))]),
    );
    match value(soon("large", asked).await.unwrap()) {
        Value::String(text) => assert_eq!(text.len(), length as usize),
        other => panic!("not a string: {other:?}"),
    }
}

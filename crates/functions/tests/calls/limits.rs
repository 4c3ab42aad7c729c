//! Limits of calls, at the bound and one past it, and what warns of them
//! (data model spec 8, function runtime spec 4).

use std::time::Duration;

use hull_functions::FunctionLimits;
use serde_json::json;

use crate::app::App;

const SOURCE: &str = r#"
export const depth = query(({ n }) =>
    n === 0 ? "deep" : call("1.0/runUdf", { udfType: "query", name: "m:depth", args: { n: n - 1 } }));
export const returns = query(({ bytes }) => "x".repeat(bytes - 2));
export const takes = query(({ text }) => text.length);
export const forever = query(() => { for (;;); });
export const logs = query(({ n }) => { for (let i = 0; i < n; i += 1) console.log(i); });
export const pages = query(async ({ n, bad }) => {
    const errors = [];
    for (let i = 0; i < n; i += 1) {
        const pageSize = i === 0 && bad ? "many" : 10;
        try {
            await call("1.0/queryPage", { query: all("none"), cursor: null, pageSize });
        } catch (error) {
            errors.push(error.message);
        }
    }
    return errors;
});
export const reads = query(async ({ n }) => {
    for (let i = 0; i < n; i += 1) {
        await collect({
            source: { type: "IndexRange", indexName: "rows.by_creation_time", order: null,
                range: [{ type: "Eq", fieldPath: "_creationTime", value: i }] },
            operators: [],
        });
    }
});
export const seed = mutation(async ({ count, bytes }) => {
    const ids = [];
    for (let i = 0; i < count; i += 1) ids.push((await insert("rows", { text: "x".repeat(bytes) }))._id);
    return ids[0];
});
export const gets = query(async ({ id, n }) => { for (let i = 0; i < n; i += 1) await call("1.0/get", { id }); });
export const patches = mutation(async ({ id, n }) => {
    for (let i = 0; i < n; i += 1) await call("1.0/shallowMerge", { id, value: { n: i } });
});
export const nested = mutation(({ levels }) => {
    let value = [];
    for (let i = 2; i < levels; i += 1) value = [value];
    return insert("rows", { value });
});
"#;

const HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";
const MIB: usize = 1 << 20;

#[tokio::test]
async fn the_ninth_nested_call_is_one_too_many() {
    let app = App::new(SOURCE).await;
    let eighth = app.query("depth", json!({ "n": 8 })).await;
    assert_eq!(eighth.result, Ok(json!("deep")));
    let ninth = app
        .query("depth", json!({ "n": 9 }))
        .await
        .result
        .unwrap_err();
    let expected =
        "Cross component call depth limit exceeded. Do you have an infinite loop in your app?";
    assert!(ninth.contains(expected), "{ninth}");
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn arguments_and_results_fit_in_16_mib() {
    let app = App::new(SOURCE).await;
    // Object and field name, and the array of arguments, count as well.
    let text = |bytes: usize| json!({ "text": "x".repeat(bytes - 2 - (2 + 4 + 1 + 2)) });
    assert!(app.query("takes", text(16 * MIB)).await.result.is_ok());
    let past = app.query("takes", text(16 * MIB + 1)).await;
    assert_eq!(
        past.result,
        Err("Arguments for m.js:takes are too large (actual: 16 MiB, limit: 16 MiB)".to_owned())
    );
    assert!(
        app.query("returns", json!({ "bytes": 16 * MIB }))
            .await
            .result
            .is_ok()
    );
    let past = app.query("returns", json!({ "bytes": 16 * MIB + 1 })).await;
    assert_eq!(
        past.result,
        Err(
            "Function m:returns return value is too large (actual: 16 MiB, limit: 16 MiB)"
                .to_owned()
        )
    );
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn one_page_per_function_and_a_malformed_request_is_none() {
    let app = App::new(SOURCE).await;
    let one = app.query("pages", json!({ "n": 1, "bad": false })).await;
    assert_eq!(one.result, Ok(json!([])));
    let two = app.query("pages", json!({ "n": 2, "bad": false })).await;
    let expected = "This query or mutation function ran multiple paginated queries. Convex only supports a single paginated query in each function.";
    assert_eq!(two.result, Ok(json!([expected])));
    let bad = app.query("pages", json!({ "n": 2, "bad": true })).await;
    let errors = bad.result.unwrap();
    assert_eq!(errors.as_array().unwrap().len(), 1, "{errors}");
    assert!(
        !errors[0].as_str().unwrap().contains("multiple"),
        "{errors}"
    );
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn console_lines_past_the_256th_are_omitted() {
    let app = App::new(SOURCE).await;
    let lines = app.query("logs", json!({ "n": 255 })).await.lines;
    assert_eq!(lines.last().unwrap().messages, ["254"]);
    let lines = app.query("logs", json!({ "n": 257 })).await.lines;
    assert_eq!(lines.len(), 256);
    assert_eq!(
        lines[255].messages,
        ["Log overflow (maximum 256). Remaining log lines omitted."]
    );
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn a_function_that_never_ends_is_stopped() {
    let app = App::new(SOURCE).await;
    let stopped = app.query("forever", json!({})).await.result.unwrap_err();
    assert!(
        stopped.starts_with("Function execution timed out (maximum duration: 1s)"),
        "{stopped}"
    );
    app.deployment.shutdown().await;
}

/// Each case: function, arguments at 80 % (silent) and right above it, code and text.
#[tokio::test]
async fn above_four_fifths_of_a_limit_a_line_warns() {
    let app = App::new(SOURCE).await;
    let seeded = app
        .mutation("seed", json!({ "count": 1, "bytes": 600_000 }))
        .await;
    let id = seeded.result.unwrap();
    let size = 600_000 + 2 + (3 + 1 + 2 + 32) + (13 + 1 + 9) + (4 + 1 + 2);
    let gets = |n: usize| json!({ "id": id, "n": n });
    // Texts are cut at 16 MiB * 0.8 = 13421772.8.
    let text = |bytes: usize| json!({ "text": "x".repeat(bytes - 2 - (2 + 4 + 1 + 2)) });
    let cases = [
        (
            "takes",
            text(13_421_772),
            text(13_421_773),
            "TooLargeFunctionArguments",
            "Large size of the function arguments (actual: 13421773 bytes, limit: 16777216 bytes).".to_owned(),
        ),
        (
            "returns",
            json!({ "bytes": 13_421_772 }),
            json!({ "bytes": 13_421_773 }),
            "TooLargeFunctionResult",
            "Large size of the function return value (actual: 13421773 bytes, limit: 16777216 bytes).".to_owned(),
        ),
        (
            "reads",
            json!({ "n": 3_276 }),
            json!({ "n": 3_277 }),
            "TooManyReads",
            format!("Many reads in a single function execution (actual: 3277, limit: 4096). {HELP}"),
        ),
        (
            "gets",
            gets(22),
            gets(23),
            "TooManyBytesRead",
            format!("Many bytes read in a single function execution (actual: {} bytes, limit: 16777216 bytes). {HELP}", 23 * size),
        ),
    ];
    for (function, silent, loud, code, text) in cases {
        let outcome = app.query(function, silent).await;
        assert_eq!(
            (outcome.warnings(), outcome.result.is_ok()),
            (vec![], true),
            "{function}"
        );
        let outcome = app.query(function, loud).await;
        let expected = (format!("warning:{code}"), text);
        assert_eq!(
            (outcome.warnings(), outcome.result.is_ok()),
            (vec![expected], true),
            "{function}"
        );
        assert_eq!(outcome.lines.last().unwrap().level, "WARN");
    }
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn writes_warn_above_four_fifths_of_their_limits() {
    let app = App::new(SOURCE).await;
    let seeded = app
        .mutation("seed", json!({ "count": 1, "bytes": 10 }))
        .await;
    let id = seeded.result.unwrap();
    let reads_free = |warnings: Vec<(String, String)>| -> Vec<(String, String)> {
        let about_writes = warnings.into_iter();
        about_writes
            .filter(|(code, _)| !code.contains("Read"))
            .collect()
    };
    let silent = app
        .mutation("patches", json!({ "id": id, "n": 12_800 }))
        .await;
    assert_eq!(reads_free(silent.warnings()), []);
    let loud = app
        .mutation("patches", json!({ "id": id, "n": 12_801 }))
        .await;
    assert_eq!(
        reads_free(loud.warnings()),
        [(
            "warning:TooManyWrites".to_owned(),
            "Many writes in a single function execution (actual: 12801, limit: 16000).".to_owned()
        )]
    );
    let (silent, loud) = (
        app.mutation("nested", json!({ "levels": 12 })).await,
        app.mutation("nested", json!({ "levels": 13 })).await,
    );
    assert_eq!(silent.warnings(), []);
    let inserted = loud.result.as_ref().unwrap()["_id"].as_str().unwrap();
    assert_eq!(
        loud.warnings(),
        [(
            "warning:TooNestedDocument".to_owned(),
            format!(
                "Deeply nested document written with ID \"{inserted}\" (actual: 13, limit: 16)."
            )
        )]
    );
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn a_deployment_sets_its_own_limits() {
    let mut limits = FunctionLimits {
        user_time: Duration::from_millis(50),
        ..FunctionLimits::default()
    };
    limits.transaction.documents_read = 3;
    limits.transaction.documents_written = 4;
    let app = App::with_limits(SOURCE, limits).await;
    let seed = app
        .mutation("seed", json!({ "count": 4, "bytes": 1 }))
        .await;
    let id = seed.result.unwrap();
    for (function, args, limit) in [
        ("gets", json!({ "id": id, "n": 4 }), "(limit: 3)"),
        ("patches", json!({ "id": id, "n": 5 }), "(limit: 4)"),
        ("forever", json!({}), "(maximum duration: 50ms)"),
    ] {
        let outcome = match function {
            "patches" => app.mutation(function, args).await,
            _ => app.query(function, args).await,
        };
        let error = outcome.result.unwrap_err();
        assert!(error.contains(limit), "{error}");
    }
    let gets = app.query("gets", json!({ "id": id, "n": 3 })).await;
    assert!(gets.result.is_ok());
    assert_eq!(gets.warnings().len(), 1, "{:?}", gets.lines);
    app.deployment.shutdown().await;
}

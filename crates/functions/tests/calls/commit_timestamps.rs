//! Where a commit timestamp that is not known yet may be (data model spec 5.6).

use serde_json::json;

use crate::app::App;

const SOURCE: &str = r#"
const placeholder = { $commitTs: null };
export const direct = query(() => placeholder);
export const inner = query(() => collect(all("stamped")));
export const outer = query(() => call("1.0/runUdf", { udfType: "query", name: "m:inner", args: {} }));
export const nests = mutation(async () => {
    await insert("stamped", { at: placeholder });
    const rows = await call("1.0/runUdf", { udfType: "query", name: "m:outer", args: {} });
    return rows.map((row) => row.at);
});
export const checked = Object.assign(mutation(() => null), {
    exportArgs: () => '{"type":"object","value":{"at":{"fieldType":{"type":"string"},"optional":false}}}',
});
export const passes = mutation(() =>
    call("1.0/runUdf", { udfType: "mutation", name: "m:checked", args: { at: placeholder } }));
"#;

#[tokio::test]
async fn a_query_cannot_return_it_but_to_a_mutation() {
    let app = App::new(SOURCE).await;
    let direct = app.query("direct", json!({})).await;
    assert_eq!(
        direct.result,
        Err("Function m:direct return value invalid: queries cannot return an unresolved commit timestamp".to_owned())
    );
    let nested = app.mutation("nests", json!({})).await.result.unwrap();
    let at = &nested[0];
    assert!(at["$integer"].is_string(), "{nested}");
    let rows = app.query("outer", json!({})).await.result.unwrap();
    assert_eq!(&rows[0]["at"], at);
    app.deployment.shutdown().await;
}

#[tokio::test]
async fn validation_sees_it_as_the_largest_int64() {
    let app = App::new(SOURCE).await;
    let passed = app.mutation("passes", json!({})).await.result.unwrap_err();
    assert!(
        passed.contains("Value: 9223372036854775807\nValidator: v.string()"),
        "{passed}"
    );
    app.deployment.shutdown().await;
}

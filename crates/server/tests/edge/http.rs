//! Requests and answers of the API port, without sockets.

use crate::support::{Fixture, admin_key, fixture, fixture_with};

const JSON: &str = "content-type: application/json";

/// Sends a request and compares status and the beginning (`…` at the end) or whole of the body.
async fn check(
    fixture: &Fixture,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
    expected: (u16, &str),
) {
    let answer = fixture.send(method, path, headers, body).await;
    assert_eq!(
        answer.status, expected.0,
        "{method} {path}: {}",
        answer.body
    );
    match expected.1.strip_suffix('…') {
        Some(start) => assert!(
            answer.body.starts_with(start),
            "{method} {path}: {}",
            answer.body
        ),
        None => assert_eq!(answer.body, expected.1, "{method} {path}"),
    }
}

#[tokio::test]
async fn probes() {
    let fixture = fixture();
    for (path, expected) in [
        (
            "/",
            "This Convex deployment is running. See https://docs.convex.dev/.",
        ),
        ("/instance_name", "toy"),
        ("/version", "hull-…"),
        ("/instance_version", "hull-…"),
        ("/api/v1/deployment_info", r#"{"kind":"selfHosted"}"#),
        ("/api/authorize", ""),
        ("/metrics", "# HELP hull_http_requests_total…"),
    ] {
        check(&fixture, "GET", path, &[], "", (200, expected)).await;
    }
    check(&fixture, "POST", "/echo", &[], "abc", (200, "abc")).await;
    check(
        &fixture,
        "POST",
        "/api/check_opt_ins",
        &[],
        "{}",
        (200, r#"{"optInsToAccept":[]}"#),
    )
    .await;
    check(
        &fixture,
        "POST",
        "/api/query_ts",
        &[],
        "",
        (200, r#"{"ts":"…"#),
    )
    .await;
}

#[tokio::test]
async fn admin_keys() {
    let fixture = fixture();
    let full = format!("authorization: Convex {}", admin_key(false));
    let read_only = format!("authorization: Convex {}", admin_key(true));
    let path = "/api/check_admin_key";
    let ok = r#"{"allowedOps":[],"isReadOnly":false,"success":true}"#;
    check(&fixture, "GET", path, &[&full], "", (200, ok)).await;
    let by_query = format!("{path}?adminKey={}", admin_key(false).replace('|', "%7C"));
    check(&fixture, "GET", &by_query, &[], "", (200, ok)).await;
    check(
        &fixture,
        "GET",
        path,
        &[&read_only],
        "",
        (200, r#"{"allowedOps":["ViewEnvironmentVariables"…"#),
    )
    .await;
    check(&fixture, "GET", path, &[], "", (403, r#"{"code":"BadDeployKey","message":"The provided deploy key was invalid for deployment 'toy'…"#)).await;
    let bad = "authorization: Convex toy|0123";
    let bad_key = r#"{"code":"BadAdminKey","message":"The provided admin key was invalid for this instance"}"#;
    check(&fixture, "GET", path, &[bad], "", (401, bad_key)).await;
    check(
        &fixture,
        "POST",
        "/api/query",
        &[bad, JSON],
        r#"{"path":"a:b","args":{}}"#,
        (401, bad_key),
    )
    .await;

    // Push endpoints look at the key in the body first.
    let body = |key: &str| format!(r#"{{"version":"1.48.0","adminKey":"{key}"}}"#);
    let hashes = "/api/get_config_hashes";
    check(
        &fixture,
        "POST",
        hashes,
        &[JSON],
        &body(&admin_key(false)),
        (200, "{…"),
    )
    .await;
    check(
        &fixture,
        "POST",
        hashes,
        &[JSON, &full],
        &body("toy|00"),
        (401, bad_key),
    )
    .await;
    check(&fixture, "POST", hashes, &[JSON, &full], "{}", (200, "{…")).await;
    let denied = r#"{"code":"OperationNotPermitted","message":"You do not have permission to perform this operation (deployment:deploy)."}"#;
    check(
        &fixture,
        "POST",
        hashes,
        &[JSON],
        &body(&admin_key(true)),
        (403, denied),
    )
    .await;
    check(
        &fixture,
        "POST",
        hashes,
        &[JSON],
        "{}",
        (403, r#"{"code":"BadDeployKey"…"#),
    )
    .await;
    check(
        &fixture,
        "POST",
        "/api/deploy2/report_push_completed",
        &[JSON, &full],
        "{}",
        (200, "null"),
    )
    .await;
    let urls =
        r#"{"convexCloudUrl":"http://127.0.0.1:3210","convexSiteUrl":"http://127.0.0.1:3211"}"#;
    check(
        &fixture,
        "GET",
        "/api/v1/get_canonical_urls",
        &[&read_only],
        "",
        (200, urls),
    )
    .await;
}

#[tokio::test]
async fn function_calls_that_do_not_get_far() {
    let fixture = fixture();
    let query = "/api/query";
    let call = r#"{"path":"messages:nope","args":{}}"#;
    check(&fixture, "POST", query, &[], call, (400, r#"{"code":"BadJsonBody","message":"Expected request with `Content-Type: application/json`"}"#)).await;
    for body in [
        "",
        "{",
        "[]",
        r#"{"path":"a:b"}"#,
        r#"{"path":"a:b","args":1}"#,
        r#"{"path":1,"args":{}}"#,
    ] {
        check(
            &fixture,
            "POST",
            query,
            &[JSON],
            body,
            (400, r#"{"code":"BadJsonBody","message":"…"#),
        )
        .await;
    }
    let too_large = format!(
        r#"{{"path":"a:b","args":["{}"]}}"#,
        "x".repeat((16 << 20) + 2000)
    );
    check(
        &fixture,
        "POST",
        query,
        &[JSON],
        &too_large,
        (400, r#"{"code":"BadJsonBody"…"#),
    )
    .await;
    check(&fixture, "POST", query, &[JSON], r#"{"path":"a b:c","args":{}}"#, (400, r#"{"code":"BadConvexFunctionIdentifier","message":"a b:c is not a valid path to a Convex function. …"#)).await;
    check(
        &fixture,
        "POST",
        query,
        &[JSON],
        r#"{"path":"a:b","args":{},"format":"xml"}"#,
        (400, r#"{"code":"BadFormat"…"#),
    )
    .await;
    check(
        &fixture,
        "POST",
        query,
        &[JSON, "convex-client: npm"],
        call,
        (400, r#"{"code":"InvalidClientVersion"…"#),
    )
    .await;
    for (path, kind) in [
        ("query", "query"),
        ("mutation", "mutation"),
        ("action", "action"),
    ] {
        let expected = format!(
            r#"{{"code":"SystemIdentityRequired","message":"Operation {kind} not permitted"}}"#
        );
        let body = r#"{"path":"_system/cli/tables","args":{}}"#;
        check(
            &fixture,
            "POST",
            &format!("/api/{path}"),
            &[JSON],
            body,
            (403, &expected),
        )
        .await;
    }
    check(
        &fixture,
        "POST",
        "/api/function",
        &[JSON],
        call,
        (403, r#"{"code":"BadDeployKey"…"#),
    )
    .await;
    check(
        &fixture,
        "POST",
        "/api/run/messages",
        &[JSON],
        r#"{"args":{}}"#,
        (400, r#"{"code":"MissingIdentifier"…"#),
    )
    .await;
    check(
        &fixture,
        "GET",
        "/api/query?path=a:b",
        &[],
        "",
        (400, r#"{"code":"BadQueryArgs"…"#),
    )
    .await;
    check(
        &fixture,
        "GET",
        "/api/stream_function_logs?cursor=x",
        &[&format!("authorization: Convex {}", admin_key(false))],
        "",
        (400, r#"{"code":"BadQueryArgs"…"#),
    )
    .await;
}

#[tokio::test]
async fn missing_functions_are_errors_in_the_envelope() {
    let fixture = fixture();
    let id = "convex-request-id: 0123456789abcdef";
    let missing = r#"{"status":"error","errorMessage":"[Request ID: 0123456789abcdef] Server Error\nCould not find public function for 'messages:nope'."#;
    let call = r#"{"path":"messages:nope","args":{}}"#;
    for path in ["/api/query", "/api/mutation", "/api/action"] {
        check(
            &fixture,
            "POST",
            path,
            &[JSON, id],
            call,
            (200, &format!("{missing}…")),
        )
        .await;
    }
    check(
        &fixture,
        "GET",
        "/api/query?path=messages:nope&args=%7B%7D",
        &[id],
        "",
        (200, &format!("{missing}…")),
    )
    .await;
    let batch =
        r#"{"queries":[{"path":"messages:nope","args":{}},{"path":"messages:nope","args":[{}]}]}"#;
    check(
        &fixture,
        "POST",
        "/api/query_batch",
        &[JSON, id],
        batch,
        (200, &format!(r#"{{"results":[{missing}…"#)),
    )
    .await;
    let hidden = fixture_with(true);
    check(
        &hidden,
        "POST",
        "/api/query",
        &[JSON, id],
        call,
        (
            200,
            r#"{"status":"error","errorMessage":"[Request ID: 0123456789abcdef] Server Error"}"#,
        ),
    )
    .await;
}

#[tokio::test]
async fn cross_origin_headers_are_on_every_routed_path() {
    let fixture = fixture();
    let origin = "origin: https://app.example";
    let preflight = fixture
        .send(
            "OPTIONS",
            "/api/storage/upload",
            &[origin, "access-control-request-headers: content-type,x-y"],
            "",
        )
        .await;
    assert_eq!((preflight.status, preflight.body.as_str()), (200, ""));
    let header = |answer: &crate::support::Answer, name: &str| {
        answer
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    for (name, expected) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "content-type,x-y"),
        (
            "access-control-allow-methods",
            "GET,POST,OPTIONS,PATCH,DELETE,PUT",
        ),
        ("access-control-max-age", "86400"),
        (
            "vary",
            "origin, access-control-request-method, access-control-request-headers",
        ),
    ] {
        assert_eq!(
            header(&preflight, name).as_deref(),
            Some(expected),
            "{name}"
        );
    }
    for (method, path) in [
        ("GET", "/version"),
        ("POST", "/api/query"),
        ("GET", "/api/mutation"),
        ("GET", "/api/storage/x"),
        ("GET", "/api/sync"),
    ] {
        let answer = fixture.send(method, path, &[origin], "").await;
        assert_eq!(
            header(&answer, "access-control-allow-origin").as_deref(),
            Some("https://app.example"),
            "{method} {path}"
        );
        assert_eq!(
            header(&answer, "access-control-allow-credentials").as_deref(),
            Some("true")
        );
        assert!(header(&answer, "access-control-max-age").is_none());
    }
    for (method, path) in [
        ("GET", "/nothing/here"),
        ("GET", "/http/x"),
        ("OPTIONS", "/http/x"),
    ] {
        let answer = fixture.send(method, path, &[origin], "").await;
        assert_eq!(
            header(&answer, "access-control-allow-origin"),
            None,
            "{method} {path}"
        );
    }
    assert_eq!(
        header(
            &fixture.send("GET", "/version", &[], "").await,
            "access-control-allow-origin"
        ),
        None
    );
}

#[tokio::test]
async fn what_is_not_built_says_so_and_what_is_unknown_is_404() {
    let fixture = fixture();
    for (method, path) in [
        ("POST", "/api/import/start_upload"),
        ("POST", "/api/export/request/zip"),
        ("GET", "/api/shapes2"),
        ("GET", "/api/app_metrics/udf_rate"),
        ("POST", "/api/push_config"),
    ] {
        let path = path.replace('…', "");
        let expected = format!(
            r#"{{"code":"NotImplemented","message":"{method} {path} is not implemented by this server yet"}}"#
        );
        check(&fixture, method, &path, &[], "", (400, &expected)).await;
    }
    check(&fixture, "GET", "/api/unheard_of", &[], "", (404, "")).await;
    check(&fixture, "GET", "/api/action", &[], "", (405, "")).await;
    check(
        &fixture,
        "GET",
        "/http/hello",
        &[],
        "",
        (
            404,
            "This Convex deployment does not have HTTP actions enabled.",
        ),
    )
    .await;
    check(
        &fixture,
        "GET",
        "/api/sync",
        &[],
        "",
        (400, r#"{"code":"WebSocketUpgradeFailed"…"#),
    )
    .await;
    check(
        &fixture,
        "GET",
        "/api/latest/sync",
        &[],
        "",
        (400, r#"{"code":"InvalidClientVersion"…"#),
    )
    .await;
}

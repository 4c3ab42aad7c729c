use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn definition(definition: Json) -> StagedDefinition {
    StagedDefinition {
        modules: Vec::new(),
        definition,
        schema: None,
    }
}

fn variable(name: &str, validator: Json, optional: bool) -> Json {
    json!([name, { "type": "value", "value": validator.to_string(), "optional": optional }])
}

fn refusal(app: Json, child: Json) -> String {
    let definitions = BTreeMap::from([
        (String::new(), definition(app)),
        ("c".to_owned(), definition(child)),
    ]);
    match build(&definitions) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => {
            assert_eq!(error.code, "TypecheckError");
            error.message
        }
    }
}

#[test]
fn what_a_component_is_given_is_checked() {
    let text = json!({ "type": "string" });
    let level = json!({ "type": "union", "value": [
        { "type": "literal", "value": "low" }, { "type": "literal", "value": "high" },
    ] });
    let app = |env: Json| {
        json!({
            "childComponents": [{ "name": "x", "path": "c", "env": env }],
            "envVars": [
                variable("KEY", text.clone(), false),
                variable("MAYBE", text.clone(), true),
                variable("LEVEL", level.clone(), false),
            ],
        })
    };
    let child = json!({ "envVars": [
        variable("A", text.clone(), false),
        variable("MODE", level.clone(), true),
    ] });
    let a = json!(["A", { "type": "value", "value": "1" }]);
    for (env, expected) in [
        (json!([a]), "accepted"),
        (
            json!([["A", { "type": "envVar", "name": "KEY" }]]),
            "accepted",
        ),
        (
            json!([a, ["MODE", { "type": "envVar", "name": "LEVEL" }]]),
            "accepted",
        ),
        (
            json!([a, ["MODE", { "type": "value", "value": "low" }]]),
            "accepted",
        ),
        (
            Json::Null,
            "The component \"x\" is not given environment variables that it requires: A",
        ),
        (
            json!([a, ["B", { "type": "value", "value": "1" }]]),
            "The component \"x\" is given the environment variable B, which it does not declare",
        ),
        (
            json!([["A", { "type": "envVar", "name": "NONE" }]]),
            "The environment variable A of the component \"x\" is bound to NONE, which is not declared",
        ),
        (
            json!([["A", { "type": "envVar", "name": "MAYBE" }]]),
            "The component \"x\" requires the environment variable A, but MAYBE is optional",
        ),
        (
            json!([a, ["MODE", { "type": "envVar", "name": "KEY" }]]),
            "The environment variable MODE of the component \"x\" is `v.union(v.literal(\"low\"), v.literal(\"high\"))`, but KEY is `v.string()`",
        ),
    ] {
        assert_eq!(refusal(app(env.clone()), child.clone()), expected, "{env}");
    }
    let mistyped = app(json!([a, ["MODE", { "type": "value", "value": "medium" }]]));
    let message = refusal(mistyped, child);
    assert!(
        message.starts_with(
            "The environment variable MODE of the component \"x\" is not what it declares: "
        ),
        "{message}"
    );
}

#[test]
fn names_and_mounts_are_checked() {
    let used = |name: &str| json!({ "name": name, "path": "c", "env": null });
    for (app, expected) in [
        (
            json!({ "childComponents": [used("a"), used("b")] }),
            "accepted",
        ),
        (
            json!({ "childComponents": [used("a"), used("a")] }),
            "the app uses two components of the name \"a\": give one another name, with `use(definition, { name })`",
        ),
        (
            json!({ "childComponents": [used("a-b")] }),
            "\"a-b\" is not a name for a component: use letters, digits and underscores",
        ),
        (
            json!({ "childComponents": [{ "name": "a", "path": "d", "env": null }] }),
            "The definition d of the component \"a\" was not pushed",
        ),
        (
            json!({ "childComponents": [used("a")], "httpMounts": { "/a*/": "_reference/childComponent/a" } }),
            "\"/a*/\" is not a prefix for HTTP actions: it must be a path between slashes",
        ),
    ] {
        assert_eq!(refusal(app, json!({})), expected);
    }
}

#[test]
fn the_tree_unfolds_with_its_paths_and_prefixes() {
    let uses = |children: &[(&str, &str)], mounts: Json| {
        let children: Vec<Json> = children
            .iter()
            .map(|(name, path)| json!({ "name": name, "path": path, "env": null }))
            .collect();
        definition(json!({ "childComponents": children, "httpMounts": mounts }))
    };
    let definitions = BTreeMap::from([
        (
            String::new(),
            uses(
                &[("a", "x"), ("b", "x")],
                json!({ "/a/": "_reference/childComponent/a" }),
            ),
        ),
        (
            "x".to_owned(),
            uses(
                &[("leaf", "y")],
                json!({ "/in/": "_reference/childComponent/leaf" }),
            ),
        ),
        ("y".to_owned(), uses(&[], json!({}))),
    ]);
    let tree: Vec<(String, Option<String>)> = build(&definitions)
        .unwrap()
        .into_iter()
        .map(|one| {
            (
                one.path,
                one.installed.and_then(|installed| installed.http_prefix),
            )
        })
        .collect();
    let expected = [
        ("", None),
        ("a", Some("/a")),
        ("b", None),
        ("a/leaf", Some("/a/in")),
        ("b/leaf", None),
    ];
    let expected = expected.map(|(path, prefix)| (path.to_owned(), prefix.map(str::to_owned)));
    assert_eq!(tree, expected);

    // Twice nine times over is more than an app may have.
    let mut definitions =
        BTreeMap::from([(String::new(), uses(&[("a", "1"), ("b", "1")], json!({})))]);
    for level in 1..10 {
        let below = (level + 1).to_string();
        definitions.insert(
            level.to_string(),
            uses(&[("a", &below), ("b", &below)], json!({})),
        );
    }
    definitions.insert("10".to_owned(), uses(&[], json!({})));
    assert_eq!(
        build(&definitions).unwrap_err().message,
        "The app has too many components (limit: 512)"
    );
}

#[test]
fn definitions_come_after_those_they_use() {
    let (ab, c, none): (Vec<String>, Vec<String>, Vec<String>) =
        (vec!["a".into(), "b".into()], vec!["c".into()], Vec::new());
    let dependencies: BTreeMap<&str, &[String]> = BTreeMap::from([
        ("", &ab[..]),
        ("a", &c[..]),
        ("b", &c[..]),
        ("c", &none[..]),
    ]);
    assert_eq!(order(&dependencies).unwrap(), ["c", "a", "b", ""]);
    let dependencies: BTreeMap<&str, &[String]> = BTreeMap::from([("a", &c[..]), ("c", &ab[..])]);
    let error = order(&dependencies).unwrap_err();
    assert_eq!(
        (&*error.code, &*error.message),
        ("CyclicImport", "Found cyclic definition dependency")
    );
}

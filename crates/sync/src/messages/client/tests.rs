use super::*;

fn parse(text: &str) -> ClientMessage {
    ClientMessage::parse(text).unwrap()
}

fn error(text: &str) -> String {
    ClientMessage::parse(text).unwrap_err().to_string()
}

#[test]
fn connect_of_npm() {
    let message = parse(
        r#"{"connectionCount":1,"lastCloseReason":null,"clientTs":1795341172276,"type":"Connect","sessionId":"876417d6-1b35-460d-bb3e-153308272b9b","maxObservedTimestamp":"BwAqNv6clxc="}"#,
    );
    let expected = ClientMessage::Connect {
        session_id: Uuid::parse_str("876417d6-1b35-460d-bb3e-153308272b9b").unwrap(),
        connection_count: 1,
        last_close_reason: None,
        max_observed_timestamp: Some(Timestamp(1_700_000_000_000_000_007)),
        client_ts_ms: Some(1_795_341_172_276),
    };
    assert_eq!(message, expected);
}

#[test]
fn connect_of_old_clients_lacks_the_optional_fields() {
    let message = parse(
        r#"{"type":"Connect","sessionId":"876417d6-1b35-460d-bb3e-153308272b9b","connectionCount":0}"#,
    );
    assert!(matches!(
        message,
        ClientMessage::Connect {
            last_close_reason: None,
            max_observed_timestamp: None,
            client_ts_ms: None,
            ..
        }
    ));
}

#[test]
fn client_clock_may_have_a_fraction() {
    assert_eq!(whole_number(serde_json::from_str("12.75").unwrap()), 12);
    assert_eq!(
        whole_number(serde_json::from_str("1e300").unwrap()),
        i64::MAX
    );
}

#[test]
fn tokens() {
    #[track_caller]
    fn check(fields: &str, expected: AuthToken) {
        let text = format!(r#"{{"type":"Authenticate","baseVersion":3,{fields}}}"#);
        let token = match parse(&text) {
            ClientMessage::Authenticate {
                base_version: 3,
                token,
            } => token,
            other => panic!("{other:?}"),
        };
        assert!(token == expected, "{text}");
    }
    check(r#""tokenType":"None""#, AuthToken::None);
    check(
        r#""tokenType":"User","value":"a.b.c""#,
        AuthToken::User("a.b.c".into()),
    );
    let admin = |acting_as: Option<&str>| AuthToken::Admin {
        key: "name|key".into(),
        acting_as: acting_as.map(Into::into),
    };
    check(r#""tokenType":"Admin","value":"name|key""#, admin(None));
    check(
        r#""tokenType":"Admin","value":"name|key","impersonating":null"#,
        admin(None),
    );
    for field in ["impersonating", "acting_as"] {
        check(
            &format!(
                r#""value":"name|key","{field}":{{"subject":"s","emailVerified":true}},"tokenType":"Admin""#
            ),
            admin(Some(r#"{"emailVerified":true,"subject":"s"}"#)),
        );
    }
}

#[test]
fn modifications_keep_arguments_as_text() {
    let message = parse(
        r#"{"modifications":[{"args":[{"n": {"$integer":"BwAAAAAAAAA="}}],"type":"Add","queryId":0,"udfPath":"messages:list","journal":"j","componentPath":"c","later":[1]},{"type":"Remove","queryId":4294967295}],"type":"ModifyQuerySet","baseVersion":0,"newVersion":1}"#,
    );
    let expected = ClientMessage::ModifyQuerySet {
        base_version: 0,
        new_version: 1,
        modifications: vec![
            Modification::Add(AddQuery {
                query_id: QueryId(0),
                udf_path: "messages:list".into(),
                component_path: Some("c".into()),
                args: r#"[{"n": {"$integer":"BwAAAAAAAAA="}}]"#.into(),
                journal: Some("j".into()),
            }),
            Modification::Remove(QueryId(u32::MAX)),
        ],
    };
    assert_eq!(message, expected);
}

#[test]
fn requests() {
    let args: Arc<str> = r#"[{"body":"hi"}]"#.into();
    let mutation = ClientMessage::Mutation {
        request_id: RequestId(0),
        udf_path: "messages:send".into(),
        component_path: None,
        args: args.clone(),
    };
    let text =
        r#"{"args":[{"body":"hi"}],"type":"Mutation","requestId":0,"udfPath":"messages:send"}"#;
    assert_eq!(parse(text), mutation);
    let action = ClientMessage::Action {
        request_id: RequestId(2),
        udf_path: "a:b".into(),
        component_path: Some("c".into()),
        args,
    };
    let text = r#"{"type":"Action","requestId":2,"udfPath":"a:b","componentPath":"c","args":[{"body":"hi"}]}"#;
    assert_eq!(parse(text), action);
}

#[test]
fn events_of_any_shape_are_taken() {
    for event in [
        r#"{"type":"Event","eventType":"ClientConnect","event":[{"name":"a","startTime":167.5}]}"#,
        r#"{"type":"Event","eventType":"Future","event":null}"#,
        r#"{"type":"Event","requestId":"text","args":5}"#,
    ] {
        assert_eq!(parse(event), ClientMessage::Event);
    }
}

#[test]
fn anything_else_is_refused() {
    #[track_caller]
    fn refuse(text: &str, reason: &str) {
        let error = error(text);
        assert!(
            error.starts_with("Received Invalid JSON on websocket: "),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }
    refuse("", "not an object");
    refuse("{", "EOF");
    refuse("{}", "type");
    refuse(r#"["Event"]"#, "not an object");
    refuse(
        r#"{"type":"Subscribe"}"#,
        "unknown message type `Subscribe`",
    );
    refuse(
        r#"{"type":"Mutation","requestId":0,"udfPath":"a:b"}"#,
        "missing field `args`",
    );
    refuse(
        r#"{"type":"Mutation","requestId":-1,"udfPath":"a:b","args":[]}"#,
        "u32",
    );
    refuse(
        r#"{"type":"Mutation","requestId":4294967296,"udfPath":"a:b","args":[]}"#,
        "u32",
    );
    refuse(
        r#"{"type":"Connect","sessionId":"x","connectionCount":0}"#,
        "character",
    );
    refuse(
        r#"{"type":"Authenticate","baseVersion":0,"tokenType":"Magic"}"#,
        "Magic",
    );
    refuse(
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Move"}]}"#,
        "unknown message type `Move`",
    );
    refuse(
        r#"{"type":"Connect","sessionId":"876417d6-1b35-460d-bb3e-153308272b9b","connectionCount":0,"maxObservedTimestamp":"//////////8="}"#,
        "maxObservedTimestamp",
    );
}

#[test]
fn modifications_per_message_are_bounded() {
    let message = |count: usize| {
        let removes = vec![r#"{"type":"Remove","queryId":1}"#; count].join(",");
        format!(
            r#"{{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{removes}]}}"#
        )
    };
    assert!(ClientMessage::parse(&message(MODIFICATIONS_PER_MESSAGE_MAX)).is_ok());
    let error = error(&message(MODIFICATIONS_PER_MESSAGE_MAX + 1));
    assert!(error.contains("10001 modifications"), "{error}");
}

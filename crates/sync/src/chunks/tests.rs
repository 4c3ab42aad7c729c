use std::{collections::BTreeMap, sync::Arc};

use hull_value::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{messages::StateVersion, query_result::QueryResult};

fn header() -> TransitionHeader {
    TransitionHeader {
        start: StateVersion::INITIAL,
        end: StateVersion {
            query_set: 1,
            identity: 0,
            ts: Timestamp(7),
        },
        clocks: None,
    }
}

/// Reassembles the way the npm client does and checks every rule of the chunks.
fn reassemble(frames: &[Frame], chunk_bytes: usize) -> String {
    let mut text = String::new();
    let mut ids = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let message: serde_json::Value = serde_json::from_slice(&frame.to_bytes()).unwrap();
        assert_eq!(message["type"], "TransitionChunk");
        assert_eq!(message["partNumber"], number);
        assert_eq!(message["totalParts"], frames.len());
        let chunk = message["chunk"].as_str().unwrap();
        assert!(!chunk.is_empty() && chunk.len() <= chunk_bytes);
        text.push_str(chunk);
        ids.push(message["transitionId"].as_str().unwrap().to_owned());
        let is_last = number + 1 == frames.len();
        assert_eq!(frame.kind == FrameKind::Transition, is_last);
    }
    assert!(ids.iter().all(|id| *id == text.len().to_string()));
    text
}

fn modifications(values: &[String]) -> BTreeMap<QueryId, StateModification> {
    let result = |text: &String| {
        let write = |out: &mut Vec<u8>| serde_json::to_writer(out, text).unwrap();
        StateModification::Result(Arc::new(QueryResult::updated(write, &[], None)))
    };
    (0..).map(QueryId).zip(values.iter().map(result)).collect()
}

proptest! {
    #[test]
    fn chunks_concatenate_to_the_transition(
        values in prop::collection::vec(r#"[a-zé𝄞"\\\n]{0,60}"#, 0..8),
        chunk_bytes in 8_usize..200,
    ) {
        let modifications = modifications(&values);
        let ordered = || modifications.iter().map(|(id, modification)| (*id, modification));
        let frames = transition_chunks(&header(), ordered(), chunk_bytes);
        let whole = crate::messages::transition_parts(&header(), ordered()).concat();
        let text = reassemble(&frames, chunk_bytes);
        prop_assert_eq!(text.as_bytes(), &whole);
    }
}

#[test]
fn large_results_are_shared_between_the_chunks_of_sessions() {
    let modifications = modifications(&["x".repeat(100_000)]);
    let ordered = || {
        modifications
            .iter()
            .map(|(id, modification)| (*id, modification))
    };
    let frames = transition_chunks(&header(), ordered(), 30_000);
    let again = transition_chunks(&header(), ordered(), 30_000);
    let largest = |frame: &Frame| {
        frame
            .parts
            .iter()
            .max_by_key(|part| part.len())
            .unwrap()
            .as_ptr()
    };
    assert_eq!(frames.len(), 4);
    for (one, other) in frames.iter().zip(&again) {
        assert_eq!(largest(one), largest(other));
    }
}

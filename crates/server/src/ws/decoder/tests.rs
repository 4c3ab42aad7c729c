use super::*;

/// Builds one masked client frame.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}

fn check(frames: &[(u8, &[u8])], expected: Result<Vec<Message>, ProtocolError>) {
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|(first, payload)| client_frame(*first, payload))
        .collect();
    for step in [1, 2, 3, 7, 64, usize::MAX] {
        let mut decoder = Decoder::new();
        let mut messages = Vec::new();
        let result = bytes
            .chunks(step.min(bytes.len()))
            .try_for_each(|mut chunk| {
                while let Some(message) = decoder.decode(&mut chunk)? {
                    messages.push(message);
                }
                assert!(chunk.is_empty());
                Ok(())
            });
        assert_eq!(
            result.map(|()| messages).as_ref(),
            expected.as_ref(),
            "step {step}"
        );
    }
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn whole_and_fragmented_messages_with_controls_between() {
    check(
        &[(0x81, b"hi"), (0x81, b"")],
        Ok(vec![text("hi"), text("")]),
    );
    check(
        &[
            (0x01, "gr\u{fc}".as_bytes()),
            (0x89, b"p"),
            (0x00, b""),
            (0x8A, b""),
            (0x80, b"n"),
        ],
        Ok(vec![
            Message::Ping(b"p".to_vec()),
            Message::Pong,
            text("grün"),
        ]),
    );
    let long = "x".repeat(70_000);
    check(
        &[(0x81, long.as_bytes()), (0x81, &long.as_bytes()[..300])],
        Ok(vec![text(&long), text(&long[..300])]),
    );
}

#[test]
fn binary_messages_are_only_noticed() {
    check(
        &[(0x82, b"\xff"), (0x02, b"a"), (0x80, b"\xff"), (0x81, b"t")],
        Ok(vec![Message::Binary, Message::Binary, text("t")]),
    );
}

#[test]
fn closes() {
    check(&[(0x88, b"")], Ok(vec![Message::Close(None)]));
    let frame = CloseFrame {
        code: 1000,
        reason: "bye".into(),
    };
    check(
        &[(0x88, b"\x03\xe8bye")],
        Ok(vec![Message::Close(Some(frame))]),
    );
    check(
        &[(0x88, b"\x03")],
        Err(violation("close frame with half a code")),
    );
    check(
        &[(0x88, b"\x03\xed")],
        Err(violation("close code out of range")),
    );
}

#[test]
fn violations() {
    check(
        &[(0x01, b"x"), (0x82, b"y")],
        Err(violation("message inside a message")),
    );
    check(
        &[(0x80, b"x")],
        Err(violation("continuation without a message")),
    );
    check(
        &[(0x01, b"x"), (0x81, b"y")],
        Err(violation("message inside a message")),
    );
    check(&[(0xC1, b"x")], Err(violation("reserved bits are set")));
    check(&[(0x83, b"x")], Err(violation("unknown opcode")));
    check(&[(0x09, b"x")], Err(violation("fragmented control frame")));
    check(
        &[(0x89, &[0; 126])],
        Err(violation("control frame too long")),
    );
    check(&[(0x81, b"\xff")], Err(NOT_UTF8));
    let mut unmasked: &[u8] = &[0x81, 0x01, b'x'];
    assert_eq!(
        Decoder::new().decode(&mut unmasked),
        Err(violation("client frames must be masked"))
    );
}

#[test]
fn sizes_are_refused_before_they_arrive() {
    let announce = |first: u8, len: usize| {
        let mut header = vec![first, 0x80 | 127];
        header.extend((len as u64).to_be_bytes());
        header.extend([0; 4]);
        header
    };
    let decode = |decoder: &mut Decoder, bytes: &[u8]| decoder.decode(&mut &bytes[..]);
    assert_eq!(
        decode(&mut Decoder::new(), &announce(0x81, WS_FRAME_SIZE_MAX)),
        Ok(None)
    );
    assert_eq!(
        decode(&mut Decoder::new(), &announce(0x81, WS_FRAME_SIZE_MAX + 1)),
        Err(TOO_BIG)
    );

    // A message is bounded over all its fragments.
    let mut decoder = Decoder::new();
    let fragment = vec![0; WS_MESSAGE_SIZE_MAX / 4];
    for first in [0x01, 0x00, 0x00, 0x00] {
        assert_eq!(
            decode(&mut decoder, &announce(first, fragment.len())),
            Ok(None)
        );
        assert_eq!(decode(&mut decoder, &fragment), Ok(None));
    }
    assert_eq!(decode(&mut decoder, &announce(0x80, 1)), Err(TOO_BIG));
}

#[test]
fn an_idle_decoder_owns_no_memory() {
    let mut decoder = Decoder::new();
    for frame in [
        client_frame(0x81, &[b'x'; 1000]),
        client_frame(0x89, b"ping"),
        client_frame(0x8A, b"pong"),
    ] {
        decoder.decode(&mut &frame[..]).unwrap().unwrap();
    }
    assert_eq!(decoder.message.capacity() + decoder.control.capacity(), 0);
}

/// Decodes bytes that arrive in pieces of these lengths; the last piece is the rest.
fn decode_pieces(mut bytes: &[u8], lengths: &[usize]) -> (Vec<Message>, Result<(), ProtocolError>) {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    let lengths = lengths.iter().copied().chain([usize::MAX]);
    let result = lengths.into_iter().try_for_each(|length| {
        let (mut piece, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        while let Some(message) = decoder.decode(&mut piece)? {
            messages.push(message);
        }
        Ok(())
    });
    (messages, result)
}

proptest::proptest! {
    /// Whatever arrives, in whatever pieces: no panic, and the pieces make no difference.
    #[test]
    fn pieces_make_no_difference(
        frames in proptest::collection::vec((proptest::num::u8::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..200)), 0..6),
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..20),
        lengths in proptest::collection::vec(0usize..40, 0..20),
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| client_frame(*first, payload)).collect();
        bytes.extend(noise);
        proptest::prop_assert_eq!(decode_pieces(&bytes, &lengths), decode_pieces(&bytes, &[]));
    }
}

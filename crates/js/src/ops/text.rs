//! Text encodings of `TextEncoder` and `TextDecoder`.

use encoding_rs::{CoderResult, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::ops::{OpError, OpValue, bytes, flag, string};

/// `(text) -> UTF-8 bytes`
pub(super) fn encode(args: &[OpValue]) -> Result<OpValue, OpError> {
    Ok(OpValue::Bytes(string(args, 0)?.as_bytes().to_vec()))
}

/// `(label) -> canonical lower-case name`, or null for an unknown label.
pub(super) fn label(args: &[OpValue]) -> Result<OpValue, OpError> {
    Ok(
        match Encoding::for_label_no_replacement(string(args, 0)?.as_bytes()) {
            Some(encoding) => OpValue::String(encoding.name().to_ascii_lowercase()),
            None => OpValue::Null,
        },
    )
}

/// `(name, bytes, fatal, more) -> [text, rest]`.
///
/// With `more` the incomplete end is not decoded but handed back, to be put before the next chunk: decoding stays stateless.
/// Multi-byte legacy encodings hand back everything, so their text comes with the last chunk. A byte order mark is text here.
pub(super) fn decode(args: &[OpValue]) -> Result<OpValue, OpError> {
    let name = string(args, 0)?;
    let encoding = Encoding::for_label_no_replacement(name.as_bytes())
        .ok_or_else(|| OpError::type_error(format!("Unknown encoding {name}")))?;
    let input = bytes(args, 1)?;
    let fatal = flag(args, 2)?;
    let complete = if flag(args, 3)? {
        complete_len(encoding, input)
    } else {
        input.len()
    };
    let (now, rest) = input.split_at(complete);
    let text = if fatal {
        decode_strictly(encoding, now)?
    } else {
        decode_with_replacement(encoding, now)
    };
    Ok(OpValue::List(vec![
        OpValue::String(text),
        OpValue::Bytes(rest.to_vec()),
    ]))
}

fn decode_with_replacement(encoding: &'static Encoding, input: &[u8]) -> String {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let capacity = decoder
        .max_utf8_buffer_length(input.len())
        .expect("invariant: input fits the heap limit");
    let mut text = String::with_capacity(capacity);
    let (result, _, _) = decoder.decode_to_string(input, &mut text, true);
    assert!(
        result == CoderResult::InputEmpty,
        "the buffer has the worst-case size"
    );
    text.shrink_to_fit();
    text
}

fn decode_strictly(encoding: &'static Encoding, input: &[u8]) -> Result<String, OpError> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let capacity = decoder
        .max_utf8_buffer_length_without_replacement(input.len())
        .expect("invariant: input fits the heap limit");
    let mut text = String::with_capacity(capacity);
    let (result, _) = decoder.decode_to_string_without_replacement(input, &mut text, true);
    match result {
        DecoderResult::InputEmpty => Ok(text),
        _ => Err(OpError::type_error("The encoded data was not valid.")),
    }
}

/// Returns how many leading bytes can be decoded without knowing what follows.
fn complete_len(encoding: &'static Encoding, input: &[u8]) -> usize {
    if encoding == UTF_8 {
        complete_utf8_len(input)
    } else if encoding == UTF_16LE || encoding == UTF_16BE {
        complete_utf16_len(input, encoding == UTF_16BE)
    } else if encoding.is_single_byte() {
        input.len()
    } else {
        0
    }
}

fn complete_utf8_len(input: &[u8]) -> usize {
    // A sequence has at most 4 bytes, so at most 3 can be incomplete.
    for back in 1..=input.len().min(3) {
        let tail = &input[input.len() - back..];
        if tail[0] & 0xC0 != 0x80 {
            let incomplete = matches!(std::str::from_utf8(tail), Err(e) if e.valid_up_to() == 0 && e.error_len().is_none());
            return if incomplete {
                input.len() - back
            } else {
                input.len()
            };
        }
    }
    input.len()
}

fn complete_utf16_len(input: &[u8], big_endian: bool) -> usize {
    let even = input.len() & !1;
    if even >= 2 {
        let high_byte = if big_endian {
            input[even - 2]
        } else {
            input[even - 1]
        };
        if (0xD8..0xDC).contains(&high_byte) {
            return even - 2;
        }
    }
    even
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(
        name: &str,
        input: &[u8],
        fatal: bool,
        more: bool,
    ) -> Result<(String, Vec<u8>), OpError> {
        let args = [
            OpValue::String(name.to_owned()),
            OpValue::Bytes(input.to_vec()),
            OpValue::Bool(fatal),
            OpValue::Bool(more),
        ];
        let OpValue::List(parts) = decode(&args)? else {
            panic!("not a list")
        };
        let [OpValue::String(text), OpValue::Bytes(rest)] = &parts[..] else {
            panic!("not a pair")
        };
        Ok((text.clone(), rest.clone()))
    }

    #[test]
    fn invalid_bytes_are_replaced_or_refused() {
        assert_eq!(
            run("utf-8", b"a\xFFb\xE2\x82", false, false),
            Ok(("a\u{FFFD}b\u{FFFD}".to_owned(), vec![]))
        );
        let error = run("utf-8", b"a\xFF", true, false);
        assert_eq!(
            error,
            Err(OpError::type_error("The encoded data was not valid."))
        );
        assert_eq!(
            run("windows-1252", b"\x80", true, false),
            Ok(("€".to_owned(), vec![]))
        );
    }

    #[test]
    fn labels_are_the_standard_ones() {
        let label = |text: &str| label(&[OpValue::String(text.to_owned())]);
        assert_eq!(
            label(" Latin1 "),
            Ok(OpValue::String("windows-1252".to_owned()))
        );
        assert_eq!(label("unicode"), Ok(OpValue::String("utf-16le".to_owned())));
        assert_eq!(label("replacement"), Ok(OpValue::Null));
        assert_eq!(label("utf-7"), Ok(OpValue::Null));
    }

    proptest! {
        #[test]
        fn chunks_decode_like_the_whole(
            chunks in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xE2), Just(0x82), Just(0xF0), Just(0xD8)], 0..6), 0..6),
            name in prop_oneof![Just("utf-8"), Just("utf-16le"), Just("utf-16be"), Just("shift_jis"), Just("koi8-r")],
        ) {
            let whole = chunks.concat();
            let (expected, _) = run(name, &whole, false, false).expect("replacement never fails");
            let (mut text, mut rest) = (String::new(), Vec::new());
            for chunk in &chunks {
                rest.extend_from_slice(chunk);
                let (now, left) = run(name, &rest, false, true).expect("replacement never fails");
                text.push_str(&now);
                rest = left;
            }
            text.push_str(&run(name, &rest, false, false).expect("replacement never fails").0);
            prop_assert_eq!(text, expected);
        }
    }
}

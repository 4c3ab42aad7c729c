//! Cutting text to a number of bytes without splitting a character.

/// Keeps at most `bytes_max` bytes.
pub(crate) fn cut(text: &mut String, bytes_max: usize) {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        let check = |bytes_max, expected: &str| {
            let mut text = "aé😀".to_owned();
            cut(&mut text, bytes_max);
            assert_eq!(text, expected);
        };
        check(100, "aé😀");
        check(6, "aé");
        check(2, "a");
        check(0, "");
    }
}

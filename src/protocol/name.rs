//! Room names: what may be one.

use super::refusal::{Code, Refusal};

/// Longest room name in bytes of UTF-8.
pub const ROOM_NAME_MAX_BYTES: usize = 255;

/// Says whether `name` may be the name of a room: 1–255 bytes, no control characters.
///
/// # Errors
/// A refusal that says which rule was broken.
pub fn check_room_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > ROOM_NAME_MAX_BYTES {
        let detail = format!("a room name has 1 to {ROOM_NAME_MAX_BYTES} bytes, this one {}", name.len());
        return Err(Refusal::new(Code::NameInvalid, detail));
    }
    if name.chars().any(char::is_control) {
        return Err(Refusal::new(Code::NameInvalid, "a room name has no control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_length_and_no_control_characters() {
        assert!(check_room_name("room-17").is_ok());
        assert!(check_room_name(&"é".repeat(127)).is_ok());
        for bad in ["", "a\nb", "\u{7f}", &"é".repeat(128)] {
            assert_eq!(check_room_name(bad).unwrap_err().code, Code::NameInvalid, "{bad:?}");
        }
    }
}

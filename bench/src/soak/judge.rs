//! Judge: whether a reply is one that the request may get. What depends on the connection is in `conversation.rs`.

use super::draw::is_value_of;
use super::wire::{Value, shown};

/// Checks `value` against the words of a template; the values that were verified.
pub fn judge(args: &[Vec<u8>], replies: &str, codes: &str, value: &Value<'_>) -> Result<u64, String> {
    if let Value::Error(text) = value {
        return refused(codes, text);
    }
    for reply in replies.split(' ') {
        let is_right = match (reply, value) {
            ("ok", Value::Simple(text)) => *text == b"OK",
            ("simple", Value::Simple(_)) | ("int", Value::Integer(_)) | ("bulk", Value::Bulk(_)) => true,
            ("nil", Value::Null) | ("array", Value::Array(_)) | ("map", Value::Map(_)) => true,
            ("double", Value::Double(_)) | ("bool", Value::Boolean(_)) => true,
            ("value", Value::Bulk(text)) => return belongs(&args[1], text),
            ("values", Value::Array(values)) => return values_belong(&args[1..], values),
            _ => false,
        };
        if is_right {
            return echoes(args, value);
        }
    }
    Err(format!("expected {}", if replies.is_empty() { "an error" } else { replies }))
}

/// An error is right if its code is allowed.
pub fn refused(codes: &str, text: &[u8]) -> Result<u64, String> {
    let code = code(text);
    match code == "OOM" || codes.split(' ').any(|allowed| allowed == code) {
        true => Ok(0),
        false => Err(format!("{code} is no error that it may get")),
    }
}

/// The code of an error.
pub fn code(text: &[u8]) -> &str {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(word).unwrap_or("?")
}

fn belongs(key: &[u8], value: &[u8]) -> Result<u64, String> {
    match is_value_of(key, value) {
        true => Ok(1),
        false => {
            Err(format!("that is no value of {}: {}", shown(key), shown(&value[value.len().saturating_sub(40)..])))
        }
    }
}

fn values_belong(keys: &[Vec<u8>], values: &[Value<'_>]) -> Result<u64, String> {
    if keys.len() != values.len() {
        return Err(format!("{} values for {} keys", values.len(), keys.len()));
    }
    let mut verified = 0;
    for (key, value) in keys.iter().zip(values) {
        verified += match value {
            Value::Bulk(text) => belongs(key, text)?,
            Value::Null => 0,
            _ => return Err(format!("{value:?} is no value")),
        };
    }
    Ok(verified)
}

/// ECHO, PING and KEYS say something about their reply.
fn echoes(args: &[Vec<u8>], value: &Value<'_>) -> Result<u64, String> {
    match (args, value) {
        ([name, text], Value::Bulk(echo)) if name == b"ECHO" || name == b"PING" => match text.as_slice() == *echo {
            true => Ok(1),
            false => Err("that is not what was sent".into()),
        },
        ([name, glob], Value::Array(keys)) if name == b"KEYS" && glob == b"v:1*" => {
            let is_meant = |key: &Value<'_>| matches!(key, Value::Bulk(key) if key.starts_with(b"v:1"));
            if keys.iter().all(is_meant) { Ok(0) } else { Err("a key that does not match".into()) }
        }
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::draw::Draw;

    #[track_caller]
    fn check(line: &str, replies: &str, codes: &str, value: &Value<'_>, is_right: bool) {
        let args: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(judge(&args, replies, codes, value).is_ok(), is_right, "{line} {value:?}");
    }

    #[test]
    fn only_what_a_request_may_get_is_right() {
        check("SET k v", "ok nil", "", &Value::Simple(b"OK"), true);
        check("SET k v", "ok nil", "", &Value::Simple(b"QUEUED"), false);
        check("SET k v", "ok nil", "", &Value::Integer(1), false);
        check("SET k v", "ok", "", &Value::Error(b"ERR syntax error"), false);
        check("SET k v", "ok", "ERR", &Value::Error(b"ERR syntax error"), true);
        check("SET k v", "ok", "ERR", &Value::Error(b"WRONGTYPE no"), false);
        check("SET k v", "ok", "", &Value::Error(b"OOM no"), true);
        check("ECHO a", "bulk", "", &Value::Bulk(b"b"), false);
        check("SET k v NX XX", "", "ERR", &Value::Simple(b"OK"), false);
    }

    #[test]
    fn a_value_of_another_key_is_wrong() {
        let own = Draw::new(1, 1).value_of(b"v:1");
        check("GET v:1", "value nil", "", &Value::Bulk(&own), true);
        check("GET v:2", "value nil", "", &Value::Bulk(&own), false);
        check("MGET v:1 v:2", "values", "", &Value::Array(vec![Value::Bulk(&own), Value::Null]), true);
        check("MGET v:2 v:1", "values", "", &Value::Array(vec![Value::Bulk(&own), Value::Null]), false);
        check("MGET v:1 v:2", "values", "", &Value::Array(vec![Value::Bulk(&own)]), false);
    }
}

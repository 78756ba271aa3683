//! Replies: no bytes make a reader panic, and both readers find the same end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_protocol::resp::reply::{parse_reply, skip_reply};

fuzz_target!(|input: &[u8]| {
    let skipped = skip_reply(input);
    match parse_reply(input) {
        Ok(Some((_, len))) => assert_eq!(skipped, Ok(Some(len))),
        Ok(None) => assert!(!matches!(skipped, Ok(Some(_))), "a cut reply has no end"),
        Err(_) => {}
    }
});

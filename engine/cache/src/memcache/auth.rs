//! Authentication as memcached's ASCII mode: the first request is a `set` under any key whose value is `user password`.

use protocol::Reply;

use super::{Ask, Verb};
use crate::cache::{Cache, Outcome};
use crate::clients::ClientIndex;
use crate::commands::connection::authenticate;

/// Answers a client that has not authenticated.
#[cold]
pub(super) fn first_request(cache: &mut Cache, client: ClientIndex, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ask.verb == Verb::Quit || super::is_too_short(ask.words) {
        return Outcome::Close;
    }
    let answer: &[u8] = match (ask.verb, ask.value) {
        (Verb::Set, Some(value)) => {
            let mut parts = value.bytes().splitn(2, |&byte| byte == b' ');
            match (parts.next(), parts.next()) {
                (Some(user), Some(password)) => {
                    let is_right = authenticate(cache, client, user, password).is_ok();
                    let counters = &mut cache.memcache.counters;
                    counters.auth_commands += 1;
                    counters.auth_errors += u64::from(!is_right);
                    if is_right { b"STORED" } else { b"CLIENT_ERROR authentication failure" }
                }
                (_, None) | (None, _) => b"CLIENT_ERROR bad authentication token format",
            }
        }
        _ => b"CLIENT_ERROR unauthenticated",
    };
    reply.memcache_line(answer);
    Outcome::Done
}

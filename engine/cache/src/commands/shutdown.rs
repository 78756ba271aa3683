//! SHUTDOWN: ends the server.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::effect::Effect;
use crate::spec::{Spec, flag};

pub(crate) const SHUTDOWN: Spec = Spec {
    name: "shutdown",
    arity: -1,
    syntax: "[abort-selector: save-selector-block: [save-selector: NOSAVE | SAVE] [NOW] [FORCE] | ABORT]",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::NO_MULTI | flag::ALLOW_BUSY,
    summary: "Ends the server; what is in memory is gone.",
    ..Spec::PLAIN
};

pub(crate) fn shutdown(cache: &mut Cache, call: &Call<'_>, _: &mut Reply<'_>) -> Result<(), Refusal> {
    let (mut save, mut nosave, mut abort, mut other) = (false, false, false, false);
    for option in call.args_from(1) {
        match option.bytes().to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"abort" => abort = true,
            // It never waits for anybody, so there is nothing to hurry or to force.
            b"now" | b"force" => other = true,
            _ => return Err(Refusal::SYNTAX),
        }
    }
    if save && nosave || abort && (save || nosave || other) {
        return Err(Refusal::SYNTAX);
    }
    if abort {
        return Err(Refusal::text("ERR No shutdown in progress."));
    }
    if save {
        return Err(Refusal::text("ERR Pinion keeps no snapshots: nothing can be saved. Use SHUTDOWN NOSAVE"));
    }
    cache.effects.push(Effect::Stop);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::rig::Rig;

    #[test]
    fn only_a_plain_order_stops_the_server() {
        let mut rig = Rig::new();
        rig.check(&[
            ("SHUTDOWN FOO", "-ERR syntax error"),
            ("SHUTDOWN NOSAVE SAVE", "-ERR syntax error"),
            ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
            ("SHUTDOWN ABORT NOW", "-ERR syntax error"),
            ("SHUTDOWN SAVE", "-ERR Pinion keeps no snapshots: nothing can be saved. Use SHUTDOWN NOSAVE"),
            ("MULTI", "+OK"),
            ("SHUTDOWN", "-ERR Command not allowed inside a transaction"),
            ("DISCARD", "+OK"),
        ]);
        assert!(!rig.cache.has_effects());
        for order in ["SHUTDOWN", "SHUTDOWN NOSAVE NOW FORCE"] {
            rig.check(&[(order, "")]);
            assert_eq!(rig.cache.take_effects(), [Effect::Stop]);
        }
    }
}

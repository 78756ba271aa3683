//! Faults: requests that cannot run, whatever their client's state, and the errors that they get.

use std::borrow::Cow;

use protocol::{Reply, Request};

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome};
use crate::call::KEY_TOO_LONG;
use crate::clients::ClientIndex;
use crate::table::Command;

/// Why a request cannot run, whatever its client's state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    UnknownCommand,
    UnknownSubcommand,
    Arity(Command),
    KeyTooLong(Command),
}

impl Cache {
    /// Answers a request that cannot run.
    #[cold]
    pub(crate) fn reject(
        &mut self,
        client: ClientIndex,
        fault: Fault,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        if HTTP_WORDS.iter().any(|word| request.name().eq_ignore_ascii_case(word)) {
            return Outcome::Close;
        }
        let refusal = match fault {
            Fault::UnknownCommand => Refusal::new(unknown_command(request)),
            Fault::UnknownSubcommand => Refusal::new(unknown_subcommand(request)),
            Fault::Arity(command) => {
                self.statistics.rejected[command.index()] += 1;
                if command == Command::Exec { self.reject_exec(client) } else { Refusal::arity(command) }
            }
            Fault::KeyTooLong(command) => {
                self.statistics.rejected[command.index()] += 1;
                KEY_TOO_LONG
            }
        };
        self.refuse(&refusal, reply);
        Outcome::Done
    }
}

/// How lines of an HTTP request begin. A web page can make a browser on this host send one, with commands in its body:
/// the connection is closed without a word, as Redis does.
const HTTP_WORDS: [&[u8]; 2] = [b"post", b"host:"];

/// Bytes of a name, or of the arguments together, that the error about an unknown command quotes.
const QUOTED_BYTES_MAX: usize = 128;

fn unknown_command(request: Request<'_>) -> String {
    let mut args = String::new();
    for arg in request.args().iter().skip(1) {
        if args.len() >= QUOTED_BYTES_MAX {
            break;
        }
        args.push_str(&format!("'{}' ", quoted(arg.bytes(), QUOTED_BYTES_MAX - args.len())));
    }
    let name = quoted(request.name(), QUOTED_BYTES_MAX);
    format!("ERR unknown command '{name}', with args beginning with: {args}")
}

fn unknown_subcommand(request: Request<'_>) -> String {
    let name = quoted(request.arg(1), QUOTED_BYTES_MAX);
    let container = quoted(request.name(), QUOTED_BYTES_MAX).to_uppercase();
    format!("ERR unknown subcommand '{name}'. Try {container} HELP.")
}

/// The first `bytes_max` bytes of a client's text, up to a NUL, as far as they are text.
fn quoted(text: &[u8], bytes_max: usize) -> Cow<'_, str> {
    let text = &text[..text.len().min(bytes_max)];
    String::from_utf8_lossy(text.split(|&b| b == 0).next().unwrap_or_default())
}

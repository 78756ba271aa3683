//! Syntax: a command's arguments, from the notation of Redis's documentation to the tree that COMMAND DOCS answers.
//!
//! | written | means |
//! |---|---|
//! | `offset` | an argument; its type follows from the word, or stands behind it: `value/integer` |
//! | `NX` | the word itself |
//! | `[...]`, `<...>` | may be left out, must be there |
//! | `[a \| b]` | one of them |
//! | `[EX seconds]` | the word, then the argument |
//! | `key value [key value ...]` | both together, once or more; `[GET x [GET x ...]]` repeats the word too |
//! | `[a \| b] ...` | the same for a group |
//! | `[range: start end]` | the name of what follows, which the documentation keeps to itself |
//!
//! Invariants
//! - What is parsed is ours: a mistake in it is a panic, and a test parses the syntax of every command.
//! - The reply has the fields of Redis's in their order; the versions in which arguments came are left out.
//!
//! Absent on purpose: any part in understanding requests. Commands parse their arguments themselves.

use protocol::Reply;

use crate::spec::Spec;

/// One argument, or several in a `OneOf` or a `Block`.
#[derive(Debug)]
struct Argument {
    /// Printed in lower case. Empty only until its group is read.
    name: &'static str,
    /// What hints show.
    display: &'static str,
    kind: Kind,
    /// The word before it.
    token: &'static str,
    /// Bits of `flag`.
    flags: u8,
    arguments: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Key,
    Text,
    Integer,
    Double,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

mod flag {
    pub const OPTIONAL: u8 = 1;
    pub const MULTIPLE: u8 = 1 << 1;
    /// The word before it is repeated with it.
    pub const MULTIPLE_TOKEN: u8 = 1 << 2;

    /// Names in the order in which they are printed.
    pub const NAMES: &[(u8, &str)] =
        &[(OPTIONAL, "optional"), (MULTIPLE, "multiple"), (MULTIPLE_TOKEN, "multiple_token")];
}

/// The name of several arguments that are repeated together, unless they are given another.
const REPEATED: &str = "data";

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::Text => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }

    /// The type that a word is written with.
    fn named(name: &str) -> Kind {
        let all = [Kind::Text, Kind::Integer, Kind::Double];
        all.into_iter().find(|kind| kind.name() == name).unwrap_or_else(|| panic!("no type {name:?}"))
    }

    /// The type that goes without saying.
    fn of(word: &str) -> Kind {
        match word {
            "key" | "key1" | "key2" | "destkey" | "newkey" | "source" | "destination" => Kind::Key,
            "pattern" => Kind::Pattern,
            "unix-time-seconds" | "unix-time-milliseconds" => Kind::UnixTime,
            "bit" | "client-id" | "count" | "cursor" | "db" | "decrement" | "destination-db" | "end" | "increment"
            | "index" | "index1" | "index2" | "maxage" | "milliseconds" | "min-match-len" | "numkeys" | "numlocal"
            | "numreplicas" | "offset" | "port" | "protover" | "seconds" | "start" | "timeout" | "version" => {
                Kind::Integer
            }
            _ => Kind::Text,
        }
    }
}

impl Argument {
    fn of_word(word: &'static str) -> Argument {
        let (name, kind) = match word.split_once('/') {
            Some((name, kind)) => (name, Kind::named(kind)),
            None if is_token(word) => (word, Kind::PureToken),
            None => (word, Kind::of(word)),
        };
        let token = if kind == Kind::PureToken { name } else { "" };
        Argument { name, display: name, kind, token, flags: 0, arguments: Vec::new() }
    }

    fn of_several(kind: Kind, arguments: Vec<Argument>) -> Argument {
        Argument { name: "", display: "", kind, token: "", flags: 0, arguments }
    }

    /// What stands between two brackets or bars as one argument.
    fn of_sequence(mut sequence: Vec<Argument>) -> Argument {
        if sequence.len() == 1 {
            return sequence.remove(0);
        }
        let is_word = |argument: &Argument| argument.kind == Kind::PureToken && argument.flags == 0;
        if !is_word(&sequence[0]) || is_word(&sequence[1]) {
            return Argument::of_several(Kind::Block, sequence);
        }
        let token = sequence.remove(0).token;
        let mut argument = Argument::of_sequence(sequence);
        assert!(argument.token.is_empty(), "{token} stands before {}", argument.token);
        argument.token = token;
        argument.or_named(token)
    }

    /// What is repeated as one argument.
    fn of_repeated(sequence: Vec<Argument>) -> Argument {
        let mut argument = Argument::of_sequence(sequence).or_named(REPEATED);
        argument.flags |= flag::MULTIPLE;
        if argument.kind != Kind::PureToken && !argument.token.is_empty() {
            argument.flags |= flag::MULTIPLE_TOKEN;
        }
        argument
    }

    /// By its label, if it has one.
    fn named(self, label: &'static str) -> Argument {
        if label.is_empty() { self } else { Argument { name: label, ..self } }
    }

    fn or_named(self, name: &'static str) -> Argument {
        if self.name.is_empty() { self.named(name) } else { self }
    }
}

fn is_token(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
}

const BRACKETS: &[char] = &['[', ']', '<', '>', '|'];
const ELLIPSIS: &str = "...";

/// Brackets, bars, ellipses and what is between them and blanks.
fn words(mut syntax: &'static str) -> Vec<&'static str> {
    let mut words = Vec::new();
    loop {
        syntax = syntax.trim_start();
        let is_end = |at: char| BRACKETS.contains(&at) || at.is_whitespace();
        let Some(first) = syntax.chars().next() else { return words };
        let end = if BRACKETS.contains(&first) { 1 } else { syntax.find(is_end).unwrap_or(syntax.len()) };
        words.push(&syntax[..end]);
        syntax = &syntax[end..];
    }
}

struct Parser {
    words: Vec<&'static str>,
    at: usize,
}

fn parse(syntax: &'static str) -> Vec<Argument> {
    let mut parser = Parser { words: words(syntax), at: 0 };
    let arguments = parser.sequence();
    assert!(parser.peek().is_none(), "{syntax}: more than one alternative, or a bracket, outside brackets");
    arguments
}

impl Parser {
    fn peek(&self) -> Option<&'static str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.peek() == Some(word);
        self.at += usize::from(is_next);
        is_next
    }

    /// Up to the end, a bar or a closing bracket.
    fn sequence(&mut self) -> Vec<Argument> {
        // Each with the place where its words begin.
        let mut sequence: Vec<(usize, Argument)> = Vec::new();
        while let Some(word) = self.peek().filter(|word| !["|", "]", ">"].contains(word)) {
            let start = self.at;
            if let Some(length) = self.repetition() {
                let from = sequence.iter().position(|(at, _)| {
                    let before = &self.words[*at..start];
                    self.words[start + 1..].starts_with(before) && before.len() == length
                });
                let from = from.unwrap_or_else(|| panic!("what {:?} repeat is not before them", self.words));
                let repeated = sequence.split_off(from).into_iter().map(|(_, argument)| argument).collect();
                sequence.push((start, Argument::of_repeated(repeated)));
                // The brackets, what is repeated, the ellipsis.
                self.at += length + 3;
            } else if self.take(ELLIPSIS) {
                sequence.last_mut().expect("an ellipsis follows what it repeats").1.flags |= flag::MULTIPLE;
            } else if self.take("[") {
                let mut argument = self.group("]");
                argument.flags |= flag::OPTIONAL;
                sequence.push((start, argument));
            } else if self.take("<") {
                sequence.push((start, self.group(">")));
            } else {
                self.at += 1;
                sequence.push((start, Argument::of_word(word)));
            }
        }
        assert!(!sequence.is_empty() || self.words.is_empty(), "{:?}: nothing between brackets", self.words);
        sequence.into_iter().map(|(_, argument)| argument).collect()
    }

    /// The words that are repeated, if the next group only says so: `[key value ...]`.
    fn repetition(&self) -> Option<usize> {
        let inside = self.words[self.at..].strip_prefix(&["["])?;
        let length =
            inside.iter().position(|word| *word == ELLIPSIS || BRACKETS.iter().any(|&at| word.contains(at)))?;
        inside[length..].starts_with(&[ELLIPSIS, "]"]).then_some(length)
    }

    /// What an opening bracket has begun, up to the closing one.
    fn group(&mut self, end: &str) -> Argument {
        let label = self.label();
        let mut alternatives = vec![self.alternative()];
        while self.take("|") {
            alternatives.push(self.alternative());
        }
        assert!(self.take(end), "{:?}: {end} is missing", self.words);
        let group = match alternatives.len() {
            1 => alternatives.remove(0),
            _ => Argument::of_several(Kind::OneOf, alternatives),
        };
        group.named(label)
    }

    fn alternative(&mut self) -> Argument {
        let label = self.label();
        Argument::of_sequence(self.sequence()).named(label)
    }

    fn label(&mut self) -> &'static str {
        let label = self.peek().and_then(|word| word.strip_suffix(':')).unwrap_or("");
        self.at += usize::from(!label.is_empty());
        label
    }
}

/// True if COMMAND DOCS has arguments for this command.
pub(crate) fn has_arguments(spec: &Spec) -> bool {
    !spec.syntax.is_empty()
}

/// The arguments of a command as an array of maps.
pub(crate) fn answer_arguments(spec: &Spec, reply: &mut Reply<'_>) {
    answer_all(&parse(spec.syntax), &mut KeyPlace { spec, seen: 0 }, reply);
}

/// Which of a command's key specifications the next key belongs to.
struct KeyPlace<'a> {
    spec: &'a Spec,
    seen: i64,
}

impl KeyPlace<'_> {
    fn next(&mut self) -> i64 {
        self.seen += 1;
        // Two specifications: one for the first key, one for the others.
        if self.spec.keys.access_first.is_empty() { 0 } else { (self.seen - 1).min(1) }
    }
}

fn answer_all(arguments: &[Argument], keys: &mut KeyPlace<'_>, reply: &mut Reply<'_>) {
    reply.array(arguments.len());
    arguments.iter().for_each(|argument| answer(argument, keys, reply));
}

fn answer(argument: &Argument, keys: &mut KeyPlace<'_>, reply: &mut Reply<'_>) {
    assert!(!argument.name.is_empty(), "{}: a group without a name", keys.spec.name);
    let is_key = argument.kind == Kind::Key;
    let is_group = !argument.arguments.is_empty();
    let (has_token, has_flags) = (!argument.token.is_empty(), argument.flags != 0);
    reply.map(3 + [is_key, has_token, has_flags].into_iter().filter(|is_there| *is_there).count());
    field("name", &argument.name.to_lowercase(), reply);
    field("type", argument.kind.name(), reply);
    if !is_group {
        field("display_text", &argument.display.to_lowercase(), reply);
    }
    if is_key {
        reply.bulk(b"key_spec_index");
        reply.integer(keys.next());
    }
    if has_token {
        field("token", argument.token, reply);
    }
    if has_flags {
        let flags = || flag::NAMES.iter().filter(|(bit, _)| argument.flags & bit != 0);
        reply.bulk(b"flags");
        reply.set(flags().count());
        flags().for_each(|(_, name)| reply.simple(name));
    }
    if is_group {
        reply.bulk(b"arguments");
        answer_all(&argument.arguments, keys, reply);
    }
}

fn field(name: &str, text: &str, reply: &mut Reply<'_>) {
    reply.bulk(name.as_bytes());
    reply.bulk(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::{Rig, check};
    use crate::table::{Command, SPECS};

    /// Fewest and most arguments that all of them stand for; `None` for no end.
    fn counts(arguments: &[Argument]) -> (usize, Option<usize>) {
        let each = || arguments.iter().map(count);
        (each().map(|(fewest, _)| fewest).sum(), each().map(|(_, most)| most).sum())
    }

    fn count(argument: &Argument) -> (usize, Option<usize>) {
        let (mut fewest, mut most) = match argument.kind {
            // The word is counted below.
            Kind::PureToken => (0, Some(0)),
            Kind::Key | Kind::Text | Kind::Integer | Kind::Double | Kind::Pattern | Kind::UnixTime => (1, Some(1)),
            Kind::Block => counts(&argument.arguments),
            Kind::OneOf => {
                let each: Vec<_> = argument.arguments.iter().map(count).collect();
                let most = each.iter().map(|(_, most)| *most).try_fold(0, |most, other| Some(most.max(other?)));
                // Who chooses one gives it, even if CLIENT KILL has each of them in brackets, as Redis has.
                (each.iter().map(|(fewest, _)| *fewest).min().unwrap_or(0).max(1), most)
            }
        };
        let token = usize::from(!argument.token.is_empty());
        (fewest, most) = (fewest + token, most.map(|most| most + token));
        if argument.flags & flag::OPTIONAL != 0 {
            fewest = 0;
        }
        if argument.flags & flag::MULTIPLE != 0 {
            most = None;
        }
        (fewest, most)
    }

    /// Words before the arguments: name, and name of the subcommand.
    fn words_of_name(spec: &Spec) -> usize {
        1 + usize::from(spec.container().is_some())
    }

    /// These take and ignore any arguments, as in Redis.
    const IGNORE_ARGUMENTS: &[&str] = &["quit"];

    #[test]
    fn every_syntax_has_as_many_arguments_as_the_arity_says() {
        for command in Command::all().iter().filter(|command| command.subcommands().count() == 0) {
            let spec = command.spec();
            let (fewest, most) = counts(&parse(spec.syntax));
            let (fewest, most) = (fewest + words_of_name(spec), most.map(|most| most + words_of_name(spec)));
            assert_eq!(fewest, spec.arity.unsigned_abs() as usize, "{}: {}", spec.name, spec.syntax);
            let is_exact = spec.arity > 0 || IGNORE_ARGUMENTS.contains(&spec.name);
            assert_eq!(most == Some(fewest), is_exact, "{}: {}", spec.name, spec.syntax);
        }
    }

    #[test]
    fn containers_leave_the_arguments_to_their_subcommands() {
        for command in Command::all().iter().filter(|command| command.subcommands().count() > 0) {
            assert_eq!(command.spec().syntax, "", "{}", command.name());
        }
    }

    /// The keys among arguments, each with how many arguments are before it if that is always the same number.
    fn keys(arguments: &[Argument], mut before: Option<usize>, found: &mut Vec<Option<usize>>) {
        for argument in arguments {
            let own = before.map(|before| before + usize::from(!argument.token.is_empty()));
            match argument.kind {
                Kind::Key => found.push(own),
                Kind::Block => keys(&argument.arguments, own, found),
                Kind::OneOf => argument.arguments.iter().for_each(|one| keys(std::slice::from_ref(one), own, found)),
                Kind::Text | Kind::Integer | Kind::Double | Kind::Pattern | Kind::UnixTime | Kind::PureToken => {}
            }
            let (fewest, most) = count(argument);
            before = before.filter(|_| most == Some(fewest)).map(|before| before + fewest);
        }
    }

    #[test]
    fn the_keys_of_every_syntax_are_where_the_spec_has_them() {
        for command in Command::all().iter().filter(|command| command.subcommands().count() == 0) {
            let spec = command.spec();
            let mut found = Vec::new();
            keys(&parse(spec.syntax), Some(words_of_name(spec)), &mut found);
            let first = found.first().map(|first| first.expect("nothing before the first key varies"));
            assert_eq!(first.unwrap_or(0), spec.keys.first as usize, "{}: {}", spec.name, spec.syntax);
            // The last key has a place of its own, unless there may be any number.
            if spec.keys.last > 0 {
                assert_eq!(found.last().copied().flatten(), Some(spec.keys.last as usize), "{}", spec.name);
            }
        }
    }

    #[test]
    fn every_group_has_a_name() {
        fn check_names(arguments: &[Argument], syntax: &str) {
            for argument in arguments {
                assert!(!argument.name.is_empty(), "{syntax}");
                check_names(&argument.arguments, syntax);
            }
        }
        SPECS.iter().for_each(|spec| check_names(&parse(spec.syntax), spec.syntax));
    }

    /// The arguments in one line: type and name, the word before it, flags, what is in it.
    fn print(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let flags = flag::NAMES.iter().filter(|(bit, _)| argument.flags & bit != 0);
            let flags: String = flags.map(|(_, name)| format!(" {name}")).collect();
            let token = if argument.token.is_empty() { String::new() } else { format!("{} ", argument.token) };
            let inside = print(&argument.arguments);
            let inside = if inside.is_empty() { inside } else { format!(" ({inside})") };
            format!("{token}{}:{}{flags}{inside}", argument.name.to_lowercase(), argument.kind.name())
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_notation_is_understood() {
        let table = [
            ("", ""),
            ("key value", "key:key, value:string"),
            ("key value/integer", "key:key, value:integer"),
            ("[message]", "message:string optional"),
            ("key [key ...]", "key:key multiple"),
            ("[section [section ...]]", "section:string optional multiple"),
            ("key value [key value ...]", "data:block multiple (key:key, value:string)"),
            ("[ID client-id [client-id ...]]", "ID id:integer optional multiple"),
            ("[GET a b [GET a b ...]]", "GET get:block optional multiple multiple_token (a:string, b:string)"),
            (
                "[what: NX | XX] [GET]",
                "what:oneof optional (NX nx:pure-token, XX xx:pure-token), GET get:pure-token optional",
            ),
            ("<a: TYPE <b: X | Y>>", "TYPE a:oneof (X x:pure-token, Y y:pure-token)"),
            ("[TYPE <X | Y>] ...", "TYPE type:oneof optional multiple (X x:pure-token, Y y:pure-token)"),
            (
                "<a: b: NO ONE | EX seconds>",
                "a:oneof (b:block (NO no:pure-token, ONE one:pure-token), EX seconds:integer)",
            ),
        ];
        for (syntax, expected) in table {
            let expected = expected.replace("ID id:", "ID client-id:");
            assert_eq!(print(&parse(syntax)), expected, "{syntax}");
        }
    }

    /// Checks the end of what COMMAND DOCS answers: the arguments of the only command.
    fn check_arguments(rig: &mut Rig, command: &str, expected: &str) {
        let docs = rig.run(&format!("COMMAND DOCS {command}"));
        let (_, arguments) = docs.split_once("'arguments' ").expect("it has arguments");
        assert_eq!(arguments, expected, "{command}");
    }

    #[test]
    fn arguments_are_answered_in_the_form_of_redis() {
        let mut rig = Rig::new();
        check_arguments(
            &mut rig,
            "copy",
            "[['name' 'source' 'type' 'key' 'display_text' 'source' 'key_spec_index' :0] ['name' 'destination' 'type' \
             'key' 'display_text' 'destination' 'key_spec_index' :1] ['name' 'destination-db' 'type' 'integer' \
             'display_text' 'destination-db' 'token' 'DB' 'flags' [+optional]] ['name' 'replace' 'type' 'pure-token' \
             'display_text' 'replace' 'token' 'REPLACE' 'flags' [+optional]]]]]",
        );
        check_arguments(
            &mut rig,
            "bitfield_ro",
            "[['name' 'key' 'type' 'key' 'display_text' 'key' 'key_spec_index' :0] ['name' 'get-block' 'type' 'block' \
             'token' 'GET' 'flags' [+optional +multiple +multiple_token] 'arguments' [['name' 'encoding' 'type' \
             'string' 'display_text' 'encoding'] ['name' 'offset' 'type' 'integer' 'display_text' 'offset']]]]]]",
        );
        rig.check(&[("HELLO 3", "...")]);
        check_arguments(
            &mut rig,
            "client|no-evict",
            "[{'name' 'enabled' 'type' 'oneof' 'arguments' [{'name' 'on' 'type' 'pure-token' 'display_text' 'on' \
             'token' 'ON'} {'name' 'off' 'type' 'pure-token' 'display_text' 'off' 'token' 'OFF'}]}]}}",
        );
    }

    #[test]
    fn a_command_without_arguments_answers_none() {
        check(&[(
            "COMMAND DOCS dbsize",
            "['dbsize' ['summary' 'Answers the number of keys in the database.' 'since' '1.0.0' 'group' 'server' \
             'complexity' 'O(1)']]",
        )]);
    }
}

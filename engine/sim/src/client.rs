//! Client: connects, asks, reads, leaves, and comes again; well or badly, as its habits are.
//!
//! Absent on purpose: whether answers are right (`conversation`, `oracle`).

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use uring::{Peer, Socket};

use crate::command::Command;
use crate::conversation::Conversation;
use crate::habits::{Habits, Work};
use crate::memcache::Ask;
use crate::network::Network;
use crate::trace;
use crate::weather::Weather;
use crate::workload::Workload;

/// Requests that wait in a client for its socket to take them, in bytes; then it asks no more.
const OUTBOX_BYTES_MAX: usize = 512 * 1024;

/// The port of client 0; the others follow.
pub const PORT_BASE: u16 = 40_000;

/// One client, over all its connections.
pub struct Client {
    /// What the connection of now has asked and was answered.
    pub conversation: Option<Conversation>,
    number: usize,
    habits: Habits,
    workload: Workload,
    password: Option<Bytes>,
    auth: Option<&'static str>,
    /// Requests that the socket has not taken.
    outbox: Vec<u8>,
    /// Requests that go out before any other.
    script: Vec<Command>,
    /// It asks nothing more on this connection.
    has_said_goodbye: bool,
    /// It ends its direction when the outbox is empty.
    ends_after: bool,
    is_calm: bool,
}

impl Client {
    /// A client that has not connected.
    pub fn new(number: usize, habits: Habits, workload: Workload, password: Option<&'static str>) -> Client {
        Client {
            conversation: None,
            number,
            habits,
            workload,
            password: password.map(|password| Bytes::from_static(password.as_bytes())),
            auth: password,
            outbox: Vec::new(),
            script: Vec::new(),
            has_said_goodbye: false,
            ends_after: false,
            is_calm: false,
        }
    }

    /// A client that runs these commands, then nothing.
    pub fn with_script(mut self, script: Vec<Command>) -> Client {
        self.script = script;
        self
    }

    /// From now on it only finishes what it has begun, and does not come again.
    pub fn calm(&mut self) {
        self.is_calm = true;
        self.habits.calm();
    }

    /// True if nothing is owed to it and nothing is left to send.
    pub fn is_done(&mut self, network: &Network) -> bool {
        let Some(conversation) = &mut self.conversation else { return self.script.is_empty() };
        let link = network.link(conversation.link);
        if conversation.is_dead || link.client_reset {
            return true;
        }
        if conversation.last_words.is_some() || link.client_ended || conversation.waits_for_ever() {
            return false;
        }
        conversation.outstanding(link) == 0 && self.outbox.is_empty() && self.script.is_empty()
    }

    /// Does something, or nothing.
    pub fn step(&mut self, rng: &mut StdRng, network: &mut Network, weather: &Weather) {
        self.leave_what_is_over(network);
        if self.conversation.is_none() {
            if !self.is_calm && rng.random_bool(0.2) || !self.script.is_empty() {
                self.connect(rng, network, weather);
            }
            return;
        }
        self.ask(rng, network);
        self.write(rng, network, weather);
        self.read(rng, network);
        self.misbehave(rng, network, weather);
    }

    /// Leaves politely or not at all, so that the server has to notice.
    pub fn leave(&mut self, rng: &mut StdRng, network: &mut Network) {
        let Some(conversation) = &self.conversation else { return };
        let link = network.link(conversation.link);
        if link.client_ended || link.client_reset || link.server_closed {
            return;
        }
        match rng.random_range(0..3) {
            0 => network.reset(conversation.link, true),
            _ => network.end(conversation.link),
        }
    }

    fn connect(&mut self, rng: &mut StdRng, network: &mut Network, weather: &Weather) {
        let is_memcached = self.habits.work == Work::Memcached;
        let is_unix = !is_memcached && rng.random_bool(0.2);
        let is_stranger = !is_unix && rng.random_bool(self.habits.comes_from_afar);
        let port = PORT_BASE + u16::try_from(self.number).expect("few clients");
        let ip = if is_stranger { Ipv4Addr::new(192, 0, 2, 1) } else { Ipv4Addr::LOCALHOST };
        let peer = if is_unix { Peer::Unix } else { Peer::Inet(SocketAddr::from((ip, port))) };
        let window = rng.random_range(weather.client_window.0..=weather.client_window.1);
        let link = network.connect(Socket(if is_memcached { 2 } else { i32::from(is_unix) }), peer, window);
        trace::line(|| format!("client {} connects as link {}: {:?}", self.number, link.0, self.habits));
        let must_be_refused = is_stranger && self.password.is_none();
        let conversation = Conversation::new(link, must_be_refused, self.workload.may_be_refused());
        self.conversation =
            Some(if is_memcached { conversation.in_memcached(self.workload.may_be_cut()) } else { conversation });
        self.outbox.clear();
        (self.has_said_goodbye, self.ends_after) = (false, false);
        self.workload.reconnect();
        if let (Some(password), true) = (self.auth, is_memcached) {
            self.send(rng, Command::Memcache(Ask::Auth(password)));
        } else if let Some(password) = self.password.clone() {
            let name = Bytes::from_static(b"AUTH");
            if rng.random_bool(0.3) {
                self.send(rng, Command::Wrong(vec![Bytes::from_static(b"GET"), Bytes::from_static(b"k0")], "NOAUTH "));
            }
            self.send(rng, Command::Any(vec![name, password]));
        }
    }

    fn ask(&mut self, rng: &mut StdRng, network: &Network) {
        let Some(conversation) = &mut self.conversation else { return };
        if self.has_said_goodbye || conversation.is_dead || conversation.last_words.is_some() {
            return;
        }
        let link = network.link(conversation.link);
        if link.client_reset || link.client_ended {
            return;
        }
        let outstanding = conversation.outstanding(link);
        if let Some(command) = self.script.first().cloned() {
            if outstanding == 0 {
                self.script.remove(0);
                self.send(rng, command);
            }
            return;
        }
        if self.habits.work == Work::Idle
            || outstanding >= self.habits.pipeline_max
            || !rng.random_bool(self.habits.eager)
        {
            return;
        }
        let numbered = conversation.numbered.clone();
        let mut cursor = (outstanding == 0).then_some(conversation.cursor);
        for _ in 0..rng.random_range(1..=self.habits.pipeline_max - outstanding) {
            if self.outbox.len() >= OUTBOX_BYTES_MAX || self.has_said_goodbye {
                return;
            }
            let command = if self.habits.work == Work::Memcached {
                self.workload.next_memcached(rng, &self.habits, numbered.as_ref())
            } else {
                self.workload.next(rng, &self.habits, cursor, network.links().len())
            };
            // One walk at a time: the next step needs the answer to this one.
            if matches!(command, Command::Scan(..)) {
                cursor = None;
            }
            self.send(rng, command);
        }
    }

    fn send(&mut self, rng: &mut StdRng, command: Command) {
        let Some(conversation) = &mut self.conversation else { return };
        let mut wire = command.encode();
        if rng.random_bool(self.habits.inline) {
            wire = command.encode_inline().unwrap_or(wire);
        }
        self.has_said_goodbye = matches!(command, Command::Quit | Command::Broken(_) | Command::Memcache(Ask::Quit));
        conversation.ask(command, &wire);
        self.outbox.extend_from_slice(&wire);
        if self.has_said_goodbye && rng.random_bool(0.5) {
            // Behind its last words a server must not listen: nobody expects an answer, and no key may change.
            self.outbox.extend_from_slice(b"*3\r\n$6\r\nAPPEND\r\n$2\r\nk0\r\n$6\r\nunseen\r\n");
        }
        if !self.has_said_goodbye && rng.random_bool(self.habits.ends_after) {
            (self.has_said_goodbye, self.ends_after) = (true, true);
        }
    }

    fn write(&mut self, rng: &mut StdRng, network: &mut Network, weather: &Weather) {
        let Some(conversation) = &self.conversation else { return };
        let count = self.outbox.len().min(self.habits.write_max);
        if count == 0 {
            return;
        }
        let count = if self.is_calm { count } else { rng.random_range(1..=count) };
        let taken = network.write(conversation.link, &self.outbox[..count], weather.server_window);
        self.outbox.drain(..taken);
        if network.link(conversation.link).server_closed {
            self.outbox.clear();
        }
        if self.ends_after && self.outbox.is_empty() {
            self.ends_after = false;
            network.end(conversation.link);
        }
    }

    fn read(&mut self, rng: &mut StdRng, network: &mut Network) {
        let Some(conversation) = &self.conversation else { return };
        if !rng.random_bool(self.habits.reads) {
            return;
        }
        let limit = if self.is_calm { usize::MAX } else { rng.random_range(1..=self.habits.read_max) };
        network.read(conversation.link, limit);
    }

    fn misbehave(&mut self, rng: &mut StdRng, network: &mut Network, weather: &Weather) {
        let Some(conversation) = &self.conversation else { return };
        let link = network.link(conversation.link);
        if link.client_reset || link.server_closed {
            return;
        }
        if rng.random_bool(self.habits.resets) {
            network.reset(conversation.link, rng.random_bool(weather.reset_keeps_bytes));
            return;
        }
        // Most close when the server has; some never do.
        if link.is_over_for_client() && !link.client_ended && rng.random_bool(if self.is_calm { 1.0 } else { 0.1 }) {
            network.end(conversation.link);
            return;
        }
        // Nobody may ever end its wait.
        if conversation.waits_for_ever() && rng.random_bool(if self.is_calm { 1.0 } else { 0.02 }) {
            match rng.random_bool(0.5) {
                true => network.reset(conversation.link, rng.random_bool(weather.reset_keeps_bytes)),
                false if !link.client_ended => network.end(conversation.link),
                false => {}
            }
            return;
        }
        // Done in the middle of a request, now and then: then the rest of the outbox never comes.
        if !link.client_ended && rng.random_bool(self.habits.ends) {
            network.end(conversation.link);
        }
    }

    /// Forgets a connection that both ends have left.
    fn leave_what_is_over(&mut self, network: &mut Network) {
        let Some(conversation) = &self.conversation else { return };
        let link = network.link(conversation.link);
        let over = link.server_closed && (link.is_over_for_client() || link.client_reset);
        if over && conversation.is_dead {
            network.link_mut(conversation.link).stream = Vec::new();
            self.conversation = None;
            self.outbox.clear();
        }
    }
}

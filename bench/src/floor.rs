//! The floor: the least work that a server on io_uring can do for a GET or a SET. A yardstick, not a product.
//!
//! One thread, one ring, one hash map of boxed slices. Each turn of the loop is one `io_uring_enter` that submits the
//! replies of the last turn and waits for the next completions. Requests are parsed where the kernel put them.
//!
//! Invariants
//! - A provided buffer goes back to the kernel before the next enter; only an incomplete tail is copied out of it.
//! - At most one SEND per connection is in flight, and its bytes (`sending`) are not touched until it completes.
//! - A connection's slot and descriptor are reused only when neither a receive nor a send of it is in flight.
//! - Ring, buffer ring and receive buffers are leaked: they live as long as the process, so no operation outlives them.
//!
//! Absent on purpose: expiry, limits, backpressure, eviction, any command beyond what load generators send, and tuning
//! after the fact. It binds to loopback only.

#![allow(unsafe_code, reason = "the yardstick drives the ring itself; nothing else of this crate is unsafe")]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use hashbrown::HashMap;
use io_uring::types::{BufRingEntry, Fd};
use io_uring::{CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};
use socket2::{Domain, Protocol, Socket, Type};

const SQ_ENTRIES: u32 = 1024;
const CQ_ENTRIES: u32 = 8 * SQ_ENTRIES;
const BUFFER_COUNT: u16 = 256;
const BUFFER_BYTES: usize = 4096;
/// Buffers of exactly one page would all start in the same L1 set.
const BUFFER_STRIDE: usize = BUFFER_BYTES + 64;
const BUFFER_GROUP: u16 = 0;
/// Arguments that are kept without an allocation; further ones are skipped (SET's options are ignored anyway), except
/// those of MGET.
const ARGS_MAX: usize = 4;
const BACKLOG: i32 = 1024;
/// `IORING_RECVSEND_POLL_FIRST`: a fresh connection has sent nothing yet, so do not try before it is readable.
const POLL_FIRST: u16 = 1 << 0;
/// `IORING_RECV_MULTISHOT`.
const RECV_MULTISHOT: u16 = 1 << 1;

/// Flags of `pinion-bench floor`.
#[derive(clap::Args)]
pub struct Options {
    /// Port on 127.0.0.1; 0 lets the kernel choose
    #[arg(long, default_value_t = 6390)]
    port: u16,
    /// Core to run on
    #[arg(long)]
    core: Option<usize>,
}

/// Serves until the process is ended.
pub fn run(options: &Options) -> io::Result<()> {
    if let Some(core) = options.core {
        crate::host::pin_to(core)?;
    }
    let listener = listen(options.port)?;
    let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    println!("floor: ready on {address}");
    io::stdout().flush()?;
    Floor::new(listener)?.serve()
}

fn listen(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

struct Floor {
    submitter: Submitter<'static>,
    sq: SubmissionQueue<'static>,
    cq: CompletionQueue<'static>,
    buffers: Buffers,
    listener: Socket,
    connections: Vec<Connection>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    map: HashMap<Box<[u8]>, Box<[u8]>>,
}

#[derive(Default)]
struct Connection {
    socket: Option<OwnedFd>,
    /// An incomplete request, empty between requests.
    tail: Vec<u8>,
    /// Replies not yet given to the kernel.
    replies: Vec<u8>,
    /// Bytes of the SEND in flight, from `sent` on.
    sending: Vec<u8>,
    sent: usize,
    is_sending: bool,
    is_receiving: bool,
    is_dirty: bool,
    is_closing: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Accept = 0,
    Recv = 1,
    Send = 2,
}

fn user_data(kind: Kind, slot: u32) -> u64 {
    (kind as u64) << 32 | u64::from(slot)
}

impl Floor {
    fn new(listener: Socket) -> io::Result<Floor> {
        let ring: &'static mut IoUring = Box::leak(Box::new(build_ring()?));
        let (mut submitter, sq, cq) = ring.split();
        submitter.register_ring_fd()?;
        let buffers = Buffers::register(&submitter)?;
        Ok(Floor {
            submitter,
            sq,
            cq,
            buffers,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            map: HashMap::new(),
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        self.arm_accept();
        loop {
            self.enter(1)?;
            self.cq.sync();
            while let Some(cqe) = self.cq.next() {
                self.complete(&cqe);
            }
            self.buffers.publish();
            let mut dirty = std::mem::take(&mut self.dirty);
            for slot in dirty.drain(..) {
                self.connections[slot as usize].is_dirty = false;
                self.arm_send(slot);
            }
            self.dirty = dirty;
        }
    }

    fn enter(&mut self, wait_for: u32) -> io::Result<()> {
        self.cq.sync();
        self.sq.sync();
        let to_submit = self.sq.len() as u32;
        // SAFETY: no argument is passed, and every queued entry names memory that outlives it (see `push`).
        let entered =
            unsafe { self.submitter.enter::<libc::sigset_t>(to_submit, wait_for, EnterFlags::GETEVENTS.bits(), None) };
        self.sq.sync();
        match entered {
            Ok(_) => Ok(()),
            // Interrupted, or completions must be reaped first: the next turn tries again.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: receives and accepts name no memory of ours; a send names `sending`, which is neither moved
            // nor changed before its completion.
            if unsafe { self.sq.push(entry) }.is_ok() {
                return;
            }
            if let Err(e) = self.enter(0) {
                eprintln!("floor: cannot submit: {e}");
                std::process::exit(1);
            }
        }
    }

    fn arm_accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        self.push(&entry.user_data(user_data(Kind::Accept, 0)));
    }

    fn arm_recv(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        connection.is_receiving = true;
        let entry = opcode::Recv::new(Fd(connection.fd()), std::ptr::null_mut(), 0)
            .ioprio(RECV_MULTISHOT | POLL_FIRST)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(&entry.user_data(user_data(Kind::Recv, slot)));
    }

    fn arm_send(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        if connection.is_sending || connection.is_closing {
            return;
        }
        if connection.sent == connection.sending.len() {
            connection.sending.clear();
            connection.sent = 0;
            std::mem::swap(&mut connection.sending, &mut connection.replies);
        }
        let bytes = &connection.sending[connection.sent..];
        if bytes.is_empty() {
            return;
        }
        connection.is_sending = true;
        let entry = opcode::Send::new(Fd(connection.fd()), bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.push(&entry.user_data(user_data(Kind::Send, slot)));
    }

    fn complete(&mut self, cqe: &cqueue::Entry) {
        let slot = cqe.user_data() as u32;
        let kind = cqe.user_data() >> 32;
        if kind == Kind::Recv as u64 {
            self.received(slot, cqe);
        } else if kind == Kind::Send as u64 {
            self.sent(slot, cqe.result());
        } else {
            self.accepted(cqe);
        }
    }

    fn accepted(&mut self, cqe: &cqueue::Entry) {
        if cqe.result() >= 0 {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(cqe.result()) };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(Connection::default());
                (self.connections.len() - 1) as u32
            });
            self.connections[slot as usize].socket = Some(socket);
            self.arm_recv(slot);
        }
        if !cqueue::more(cqe.flags()) {
            self.arm_accept();
        }
    }

    fn received(&mut self, slot: u32, cqe: &cqueue::Entry) {
        let connection = &mut self.connections[slot as usize];
        if let Some(buffer) = cqueue::buffer_select(cqe.flags()) {
            let bytes = self.buffers.filled(buffer, cqe.result().max(0) as usize);
            if connection.serve(bytes, &mut self.map).is_err() {
                connection.close();
            } else if !connection.is_dirty {
                connection.is_dirty = true;
                self.dirty.push(slot);
            }
            self.buffers.recycle(buffer);
        }
        if cqueue::more(cqe.flags()) {
            return;
        }
        connection.is_receiving = false;
        if cqe.result() > 0 || cqe.result() == -libc::ENOBUFS {
            self.arm_recv(slot);
        } else {
            connection.close();
            self.release_if_idle(slot);
        }
    }

    fn sent(&mut self, slot: u32, result: i32) {
        let connection = &mut self.connections[slot as usize];
        connection.is_sending = false;
        if result < 0 {
            connection.close();
        } else {
            connection.sent += result as usize;
        }
        if connection.is_closing {
            self.release_if_idle(slot);
        } else if connection.has_output() && !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    fn release_if_idle(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        if !connection.is_receiving && !connection.is_sending && connection.socket.is_some() {
            let is_dirty = connection.is_dirty;
            // `is_dirty` stays, because the slot may still be on the dirty list of this turn.
            *connection = Connection { is_dirty, ..Connection::default() };
            self.free.push(slot);
        }
    }
}

impl Connection {
    fn fd(&self) -> RawFd {
        // A freed slot on the dirty list has nothing to send, so it never comes here.
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn has_output(&self) -> bool {
        self.sent < self.sending.len() || !self.replies.is_empty()
    }

    /// Ends both directions, so that the operations in flight complete; their last completion frees the slot.
    fn close(&mut self) {
        if !self.is_closing {
            self.is_closing = true;
            // SAFETY: the descriptor is ours and open.
            unsafe { libc::shutdown(self.fd(), libc::SHUT_RDWR) };
        }
    }

    fn serve(&mut self, bytes: &[u8], map: &mut Map) -> Result<(), Malformed> {
        if self.tail.is_empty() {
            let consumed = answer_all(bytes, map, &mut self.replies)?;
            self.tail.extend_from_slice(&bytes[consumed..]);
        } else {
            self.tail.extend_from_slice(bytes);
            let consumed = answer_all(&self.tail, map, &mut self.replies)?;
            self.tail.drain(..consumed);
        }
        Ok(())
    }
}

/// The ring of provided receive buffers.
struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    fn register(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let ring = leak_zeroed(usize::from(BUFFER_COUNT) * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        let memory = leak_zeroed(usize::from(BUFFER_COUNT) * BUFFER_STRIDE);
        // SAFETY: `ring` is page-aligned, holds BUFFER_COUNT entries and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, BUFFER_COUNT, BUFFER_GROUP, 0)? };
        let mut buffers = Buffers { ring, memory, tail: 0 };
        for buffer in 0..BUFFER_COUNT {
            buffers.recycle(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    fn filled(&self, buffer: u16, len: usize) -> &'static [u8] {
        assert!(buffer < BUFFER_COUNT && len <= BUFFER_BYTES);
        // SAFETY: in bounds of the leaked memory by the assertion; the kernel has filled it and does not write to it
        // again before `publish`, and no slice is kept across that (the caller recycles as its last use).
        unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(buffer) * BUFFER_STRIDE), len) }
    }

    fn recycle(&mut self, buffer: u16) {
        let at = usize::from(self.tail & (BUFFER_COUNT - 1));
        // SAFETY: `at` is below BUFFER_COUNT, and the kernel reads no entry at or behind the published tail.
        unsafe {
            let entry = &mut *self.ring.add(at);
            entry.set_addr(self.memory.add(usize::from(buffer) * BUFFER_STRIDE) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lives in the first entry's reserved field; both sides access it as an aligned u16.
        unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()).store(self.tail, Ordering::Release) };
    }
}

const _: () = assert!(BUFFER_COUNT.is_power_of_two());

fn leak_zeroed(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, 4096).expect("a page is a power of two");
    // SAFETY: the layout has a size above zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory
}

fn build_ring() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(CQ_ENTRIES)
        .setup_clamp();
    builder.clone().setup_no_sqarray().build(SQ_ENTRIES).or_else(|_| builder.build(SQ_ENTRIES))
}

type Map = HashMap<Box<[u8]>, Box<[u8]>>;

/// The input is not RESP; the connection is closed.
struct Malformed;

/// Answers every complete request of `input` and returns the bytes consumed.
fn answer_all(input: &[u8], map: &mut Map, replies: &mut Vec<u8>) -> Result<usize, Malformed> {
    let mut at = 0;
    while at < input.len() {
        let mut args = Args::default();
        let Some(consumed) = parse(&input[at..], &mut args)? else { break };
        at += consumed;
        answer(&args, map, replies);
    }
    Ok(at)
}

#[derive(Default)]
struct Args<'a> {
    args: [&'a [u8]; ARGS_MAX],
    count: usize,
    /// Keys of an MGET past `args`.
    more: Vec<&'a [u8]>,
}

impl<'a> Args<'a> {
    fn push(&mut self, arg: &'a [u8]) {
        if let Some(place) = self.args.get_mut(self.count) {
            *place = arg;
            self.count += 1;
        } else if self.args[0].eq_ignore_ascii_case(b"MGET") {
            self.more.push(arg);
        }
    }

    fn as_slice(&self) -> &[&'a [u8]] {
        &self.args[..self.count]
    }
}

/// Parses one request; `None` when it is incomplete.
fn parse<'a>(input: &'a [u8], args: &mut Args<'a>) -> Result<Option<usize>, Malformed> {
    if input.first() != Some(&b'*') {
        return Ok(parse_inline(input, args));
    }
    let Some((count, mut at)) = parse_length(input, 1)? else { return Ok(None) };
    for _ in 0..count {
        match input.get(at) {
            Some(b'$') => {}
            Some(_) => return Err(Malformed),
            None => return Ok(None),
        }
        let Some((len, start)) = parse_length(input, at + 1)? else { return Ok(None) };
        if input.len() < start + len + 2 {
            return Ok(None);
        }
        args.push(&input[start..start + len]);
        at = start + len + 2;
    }
    Ok(Some(at))
}

/// Reads digits up to CRLF from `at`; returns the number and the offset behind the CRLF.
fn parse_length(input: &[u8], mut at: usize) -> Result<Option<(usize, usize)>, Malformed> {
    let mut number = 0_usize;
    loop {
        match input.get(at) {
            None => return Ok(None),
            Some(b'\r') => return Ok((at + 2 <= input.len()).then_some((number, at + 2))),
            // Below 2^32, so the sum cannot overflow.
            Some(digit @ b'0'..=b'9') if number < 1 << 28 => number = number * 10 + usize::from(digit - b'0'),
            Some(_) => return Err(Malformed),
        }
        at += 1;
    }
}

fn parse_inline<'a>(input: &'a [u8], args: &mut Args<'a>) -> Option<usize> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    for word in input[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        args.push(word);
    }
    Some(end + 1)
}

fn answer(args: &Args<'_>, map: &mut Map, replies: &mut Vec<u8>) {
    match args.as_slice() {
        [name, key] if name.eq_ignore_ascii_case(b"GET") => get(key, map, replies),
        [name, key, value, ..] if name.eq_ignore_ascii_case(b"SET") => {
            set(map, key, value);
            replies.extend_from_slice(b"+OK\r\n");
        }
        [name, keys @ ..] if name.eq_ignore_ascii_case(b"MGET") => get_many(keys, &args.more, map, replies),
        [name, rest @ ..] => answer_rarely(name, rest, map, replies),
        [] => {}
    }
}

fn get(key: &[u8], map: &Map, replies: &mut Vec<u8>) {
    match map.get(key) {
        Some(value) => push_bulk(replies, value),
        None => replies.extend_from_slice(b"$-1\r\n"),
    }
}

fn get_many(keys: &[&[u8]], more: &[&[u8]], map: &Map, replies: &mut Vec<u8>) {
    replies.push(b'*');
    replies.extend_from_slice(itoa::Buffer::new().format(keys.len() + more.len()).as_bytes());
    replies.extend_from_slice(b"\r\n");
    for key in keys.iter().chain(more) {
        get(key, map, replies);
    }
}

fn set(map: &mut Map, key: &[u8], value: &[u8]) {
    match map.get_mut(key) {
        Some(old) if old.len() == value.len() => old.copy_from_slice(value),
        Some(old) => *old = value.into(),
        None => {
            map.insert(key.into(), value.into());
        }
    }
}

/// What load generators ask before they begin.
#[cold]
fn answer_rarely(name: &[u8], rest: &[&[u8]], map: &mut Map, replies: &mut Vec<u8>) {
    match name.to_ascii_uppercase().as_slice() {
        b"PING" => replies.extend_from_slice(b"+PONG\r\n"),
        b"DBSIZE" => replies.extend_from_slice(format!(":{}\r\n", map.len()).as_bytes()),
        b"FLUSHALL" | b"FLUSHDB" => {
            map.clear();
            replies.extend_from_slice(b"+OK\r\n");
        }
        b"COMMAND" => replies.extend_from_slice(b"*0\r\n"),
        b"CONFIG" => {
            // redis-benchmark reads two settings and wants a name with a value.
            replies.extend_from_slice(b"*2\r\n");
            push_bulk(replies, rest.get(1).copied().unwrap_or_default());
            push_bulk(replies, b"");
        }
        b"INFO" => push_bulk(replies, format!("# Keyspace\r\ndb0:keys={},expires=0\r\n", map.len()).as_bytes()),
        _ => replies.extend_from_slice(b"-ERR unknown command\r\n"),
    }
}

fn push_bulk(replies: &mut Vec<u8>, bytes: &[u8]) {
    let mut digits = itoa::Buffer::new();
    let len = digits.format(bytes.len()).as_bytes();
    replies.reserve(len.len() + bytes.len() + 5);
    replies.push(b'$');
    replies.extend_from_slice(len);
    replies.extend_from_slice(b"\r\n");
    replies.extend_from_slice(bytes);
    replies.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, consumed: usize, expected: &str) {
        let mut map = Map::new();
        set(&mut map, b"k", b"v");
        let mut replies = Vec::new();
        let answered = answer_all(input.as_bytes(), &mut map, &mut replies);
        assert_eq!(answered.ok(), Some(consumed), "{input:?}");
        assert_eq!(String::from_utf8_lossy(&replies), expected, "{input:?}");
    }

    #[test]
    fn complete_requests_are_answered_in_order() {
        check("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 20, "$1\r\nv\r\n");
        check("*2\r\n$3\r\nGET\r\n$1\r\nx\r\n", 20, "$-1\r\n");
        check("*3\r\n$3\r\nset\r\n$1\r\nx\r\n$2\r\nab\r\n*2\r\n$3\r\nGET\r\n$1\r\nx\r\n", 48, "+OK\r\n$2\r\nab\r\n");
        check("*3\r\n$4\r\nmget\r\n$1\r\nk\r\n$1\r\nx\r\n", 28, "*2\r\n$1\r\nv\r\n$-1\r\n");
        check("MGET x k x k k\r\n", 16, "*5\r\n$-1\r\n$1\r\nv\r\n$-1\r\n$1\r\nv\r\n$1\r\nv\r\n");
        check("PING\r\n*1\r\n$4\r\nPING\r\n", 20, "+PONG\r\n+PONG\r\n");
    }

    #[test]
    fn an_incomplete_request_waits_at_every_cut() {
        let request = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nbyte\r\n";
        for cut in 0..request.len() {
            check(&request[..cut], 0, "");
        }
        check(request, request.len(), "+OK\r\n");
    }

    #[test]
    fn nonsense_lengths_are_malformed() {
        for input in ["*-1\r\n", "*2\r\n:3\r\n", "*1\r\n$99999999999999999999\r\n"] {
            assert!(answer_all(input.as_bytes(), &mut Map::new(), &mut Vec::new()).is_err(), "{input:?}");
        }
    }

    #[test]
    fn a_request_split_over_receives_is_answered_once() {
        let mut connection = Connection::default();
        let mut map = Map::new();
        for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nbyte\r\n" {
            assert!(connection.serve(&[*byte], &mut map).is_ok());
        }
        assert_eq!(connection.replies, b"+OK\r\n");
        assert!(connection.tail.is_empty());
        assert_eq!(map.get(b"k".as_slice()).map(AsRef::as_ref), Some(b"byte".as_slice()));
    }
}

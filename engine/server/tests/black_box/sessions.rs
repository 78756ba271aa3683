//! What clients do to each other: transactions, pauses, kills, monitors, and the order to stop.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::process::{Server, exchange, read_to_close};

/// Sends a command inline and reads its reply, which must be one bulk string.
fn bulk(stream: &mut TcpStream, command: &str) -> String {
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("a reply of text");
    read_bulk(stream)
}

fn read_bulk(stream: &mut TcpStream) -> String {
    let mut read_byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        byte[0]
    };
    assert_eq!(read_byte(), b'$');
    let mut length = 0;
    loop {
        match read_byte() {
            b'\r' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut rest = vec![0; 1 + length + 2];
    stream.read_exact(&mut rest).expect("a reply of text");
    String::from_utf8(rest[1..=length].to_vec()).expect("a reply of text")
}

/// Asks until CLIENT LIST is as it should be; every answer takes a turn of the server.
fn list_until(stream: &mut TcpStream, what: &str, is_so: impl Fn(&str) -> bool) {
    const TURNS: usize = 100_000;
    for _ in 0..TURNS {
        if is_so(&bulk(stream, "CLIENT LIST")) {
            return;
        }
    }
    panic!("never happened: {what}");
}

#[test]
fn exec_runs_what_was_queued_unless_a_watched_key_changed() {
    let server = Server::start(&[]);
    let (mut first, mut second) = (server.connect(), server.connect());
    exchange(&mut first, b"SET n 1\r\nWATCH n\r\nMULTI\r\nINCR n\r\n", b"+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n");
    exchange(&mut second, b"GET n\r\nSET n 10\r\n", b"$1\r\n1\r\n+OK\r\n");
    exchange(&mut first, b"EXEC\r\n", b"*-1\r\n");
    exchange(
        &mut first,
        b"WATCH n\r\nMULTI\r\nINCR n\r\nGET n\r\nNOTHING\r\n",
        b"+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR",
    );
    exchange(&mut first, b"", b" unknown command 'NOTHING', with args beginning with: \r\n");
    exchange(&mut first, b"EXEC\r\n", b"-EXECABORT Transaction discarded because of previous errors.\r\n");
    exchange(
        &mut first,
        b"MULTI\r\nINCR n\r\nGET n\r\nEXEC\r\n",
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:11\r\n$2\r\n11\r\n",
    );
}

#[test]
fn a_client_library_retries_its_transaction() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    let mut attempts = 0;
    let (value,): (i64,) = redis::transaction(&mut client, &["count"], |client, pipeline| {
        attempts += 1;
        let old: Option<i64> = redis::cmd("GET").arg("count").query(client)?;
        if attempts == 1 {
            let _: () = redis::cmd("SET").arg("count").arg(41).query(&mut other)?;
        }
        pipeline.cmd("SET").arg("count").arg(old.unwrap_or(0) + 1).ignore().cmd("GET").arg("count").query(client)
    })
    .unwrap();
    assert_eq!((value, attempts), (42, 2));
}

#[test]
fn a_paused_write_keeps_its_place_and_runs_when_the_pause_ends() {
    let server = Server::start(&[]);
    let (mut writer, mut other) = (server.connect(), server.connect());
    exchange(&mut writer, b"SET k 1\r\n", b"+OK\r\n");
    exchange(&mut other, b"CLIENT PAUSE 1000000 WRITE\r\n", b"+OK\r\n");
    writer.write_all(b"GET k\r\nSET k 2\r\nGET k\r\nINCR k\r\nPING\r\n").unwrap();
    exchange(&mut writer, b"", b"$1\r\n1\r\n");
    list_until(&mut other, "the writer waits", |list| list.contains("flags=b"));
    exchange(&mut other, b"GET k\r\nCLIENT UNPAUSE\r\n", b"$1\r\n1\r\n+OK\r\n");
    exchange(&mut writer, b"", b"+OK\r\n$1\r\n2\r\n:3\r\n+PONG\r\n");
}

#[test]
fn a_pause_ends_by_itself_and_holds_memcached_clients_too() {
    let server = Server::start(&[]);
    let (mut client, mut memcached) = (server.connect(), server.connect_memcached());
    exchange(&mut client, b"CLIENT PAUSE 50\r\n", b"+OK\r\n");
    exchange(&mut memcached, b"set k 0 0 1\r\nv\r\nget k\r\n", b"STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n");
    exchange(&mut client, b"GET k\r\n", b"$1\r\nv\r\n");
}

#[test]
fn a_client_that_leaves_while_it_waits_is_gone() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    for command in ["SET k 2\r\n", "WAIT 1 0\r\n"] {
        exchange(&mut other, b"CLIENT PAUSE 1000000 WRITE\r\n", b"+OK\r\n");
        let mut waiting = server.connect();
        waiting.write_all(command.as_bytes()).unwrap();
        list_until(&mut other, "it waits", |list| list.contains("flags=b"));
        drop(waiting);
        list_until(&mut other, "it is gone", |list| list.lines().count() == 1);
        exchange(&mut other, b"CLIENT UNPAUSE\r\nEXISTS k\r\n", b"+OK\r\n:0\r\n");
    }
}

#[test]
fn a_wait_is_ended_by_time_or_by_another_client() {
    let server = Server::start(&[]);
    let (mut waiting, mut other) = (server.connect(), server.connect());
    exchange(&mut waiting, b"WAIT 1 10\r\nPING\r\nCLIENT ID\r\n", b":0\r\n+PONG\r\n:1\r\n");
    waiting.write_all(b"WAIT 1 0\r\nPING\r\n").unwrap();
    list_until(&mut other, "it waits", |list| list.contains("flags=b"));
    exchange(&mut other, b"CLIENT UNBLOCK 1 ERROR\r\n", b":1\r\n");
    exchange(&mut waiting, b"", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n+PONG\r\n");
}

#[test]
fn killed_clients_are_gone_at_once_and_the_one_that_asked_gets_its_reply() {
    let server = Server::start(&[]);
    let (mut first, mut second) = (server.connect(), server.connect());
    exchange(&mut first, b"PING\r\n", b"+PONG\r\n");
    exchange(&mut second, b"CLIENT KILL ID 1\r\n", b":1\r\n");
    assert_eq!(read_to_close(&mut first), b"");
    exchange(&mut second, b"CLIENT KILL TYPE normal SKIPME no\r\n", b":1\r\n");
    assert_eq!(read_to_close(&mut second), b"");
    exchange(&mut server.connect(), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_monitor_sees_what_others_do() {
    let server = Server::start(&[]);
    let (mut monitor, mut other) = (server.connect(), server.connect());
    exchange(&mut monitor, b"MONITOR\r\n", b"+OK\r\n");
    exchange(&mut other, b"SET k 'a b'\r\nGET k\r\n", b"+OK\r\n$3\r\na b\r\n");
    exchange(&mut other, b"CLIENT KILL ID 1\r\n", b":1\r\n");
    let seen = String::from_utf8(read_to_close(&mut monitor)).unwrap();
    let ends: Vec<&str> = seen.lines().filter_map(|line| line.split_once("] ")).map(|(_, end)| end).collect();
    // The kill may overtake lines that were not sent yet; it invents none.
    assert!(["\"SET\" \"k\" \"a b\"", "\"GET\" \"k\""].starts_with(&ends), "{seen}");
}

/// What a request that fills more than one receive had done to others waited for somebody's next request.
#[test]
fn a_monitor_sees_a_large_request_although_nothing_follows_it() {
    let server = Server::start(&[]);
    let (mut monitor, mut other) = (server.connect(), server.connect());
    exchange(&mut monitor, b"MONITOR\r\n", b"+OK\r\n");
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n{}\r\n", "x".repeat(100_000));
    exchange(&mut other, request.as_bytes(), b"+OK\r\n");
    exchange(&mut monitor, b"", b"+");
}

/// What a command that had been held back did to others waited for its end, if it waited itself.
#[test]
fn a_monitor_sees_a_wait_that_was_held_back_although_it_goes_on() {
    let server = Server::start(&[]);
    let (mut monitor, mut waiting) = (server.connect(), server.connect());
    exchange(&mut monitor, b"MONITOR\r\n", b"+OK\r\n");
    // In one segment, so that the pause holds it.
    waiting.write_all(b"CLIENT PAUSE 50 ALL\r\nWAIT 1 0\r\n").unwrap();
    exchange(&mut monitor, b"", b"+");
}

/// What CLIENT LIST tells of connections was that of the last one outside of a transaction.
#[test]
fn a_client_list_in_a_transaction_is_of_now() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    exchange(&mut client, b"MULTI\r\nCLIENT LIST\r\n", b"+OK\r\n+QUEUED\r\n");
    exchange(&mut other, b"PING\r\n", b"+PONG\r\n");
    exchange(&mut client, b"EXEC\r\n", b"*1\r\n");
    let list = read_bulk(&mut client);
    assert!(list.contains("tot-net-in=6 tot-net-out=7 "), "{list}");
}

/// The same with the order to stop: the server went on.
#[test]
fn a_shutdown_that_comes_in_pieces_ends_the_server() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.write_all(b"*1\r\n$8\r\nSHUT").unwrap();
    list_until(&mut other, "the first piece is there", |list| list.contains("tot-net-in=12 "));
    drop(other);
    client.write_all(b"DOWN\r\n").unwrap();
    assert_eq!(read_to_close(&mut client), b"");
    let (status, _, stderr) = server.wait();
    assert!(status.success(), "{stderr}");
}

#[test]
fn silenced_replies_are_not_sent() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    exchange(
        &mut client,
        b"CLIENT REPLY OFF\r\nSET k v\r\nKEYS *\r\nNOTHING\r\nCLIENT REPLY ON\r\n\
          CLIENT REPLY SKIP\r\nGET k\r\nGET k\r\n",
        b"+OK\r\n$1\r\nv\r\n",
    );
}

#[test]
fn a_list_of_clients_counts_their_bytes_and_commands() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let field = |text: &str, name: &str| -> i64 {
        let field = text.split_whitespace().find_map(|field| field.strip_prefix(name)).expect(name);
        field.parse().unwrap()
    };
    let (first, second) = (bulk(&mut client, "CLIENT INFO"), bulk(&mut client, "CLIENT INFO"));
    let grown = |name| field(&second, name) - field(&first, name);
    assert_eq!(grown("tot-net-in="), "CLIENT INFO\r\n".len() as i64);
    assert!(grown("tot-net-out=") > 200);
    assert_eq!(grown("tot-cmds="), 1);
}

#[test]
fn shutdown_ends_the_server_after_the_replies_that_are_owed() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    exchange(&mut client, b"SET k v\r\nSHUTDOWN SAVE\r\n", b"+OK\r\n-ERR Pinion keeps no snapshots");
    exchange(&mut client, b"", b": nothing can be saved. Use SHUTDOWN NOSAVE\r\n");
    let mut waiting = server.connect();
    waiting.write_all(b"PING\r\nWAIT 1 0\r\n").unwrap();
    exchange(&mut waiting, b"", b"+PONG\r\n");
    client.write_all(b"GET k\r\nSHUTDOWN\r\n").unwrap();
    assert_eq!(read_to_close(&mut client), b"$1\r\nv\r\n");
    let (status, _, stderr) = server.wait();
    assert!(status.success(), "{stderr}");
}

/// EXEC did not end its batch, so a GET that was parsed with it overtook the SET that the new pause held back.
#[test]
fn what_follows_a_transaction_that_pauses_keeps_its_order() {
    let server = Server::start(&[]);
    let (mut writer, mut other) = (server.connect(), server.connect());
    let pipeline = b"MULTI\r\nCLIENT PAUSE 1000000 WRITE\r\nEXEC\r\nSET k 1\r\nGET k\r\n";
    writer.write_all(pipeline).unwrap();
    exchange(&mut writer, b"", b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    list_until(&mut other, "the writer waits", |list| list.contains("flags=b"));
    exchange(&mut other, b"CLIENT UNPAUSE\r\n", b"+OK\r\n");
    exchange(&mut writer, b"", b"+OK\r\n$1\r\n1\r\n");
}

/// Lines for a monitor that had said QUIT were still added to what it was owed, so it was never sent all.
#[test]
fn a_monitor_that_leaves_gets_no_more_lines() {
    let server = Server::start(&[]);
    let (mut monitor, mut other) = (server.connect(), server.connect());
    exchange(&mut monitor, b"MONITOR\r\n", b"+OK\r\n");
    monitor.write_all(b"QUIT\r\n").unwrap();
    list_until(&mut other, "the monitor is gone", |list| list.lines().count() == 1);
    let seen = String::from_utf8(read_to_close(&mut monitor)).unwrap();
    assert!(seen.ends_with("+OK\r\n"), "{seen}");
}

/// Once its backlog was full nothing more was received from it, so nobody saw that it had left: it stayed for ever.
#[test]
fn a_client_that_leaves_while_it_waits_is_gone_however_much_it_has_sent() {
    let server = Server::start(&[]);
    let (mut waiting, mut other) = (server.connect(), server.connect());
    waiting.write_all(&[&b"WAIT 1 0\r\n"[..], &b"PING\r\n".repeat(30_000)].concat()).unwrap();
    list_until(&mut other, "it waits", |list| list.contains("flags=b"));
    drop(waiting);
    list_until(&mut other, "it is gone", |list| list.lines().count() == 1);
}

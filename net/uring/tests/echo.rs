//! Echo over loopback TCP: accept, receive, send, end of stream.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use pinion_uring::{Completion, Event, KernelRing, Op, Outgoing, Ring, Setup, Socket, Token, Wait, self_test};

#[test]
fn echo() {
    let mut ring = KernelRing::new(Setup::default()).unwrap();
    println!("{}", ring.features());
    self_test(&mut ring).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let acceptor = Token { slot: 0, generation: 0 };
    ring.push(acceptor, Op::Accept { listener: Socket(listener.as_raw_fd()) });
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"hello").unwrap();
    let mut completions: Vec<Completion> = Vec::new();
    let token = Token { slot: 1, generation: 7 };
    let mut socket = None;
    let mut done = false;
    while !done {
        ring.enter(Wait::AtMost(Duration::from_secs(1))).unwrap();
        ring.reap(&mut completions, 100);
        for completion in completions.drain(..) {
            match completion.event {
                Event::Accepted { result, .. } => {
                    socket = Some(result.unwrap());
                    println!("{:?}", ring.peer(socket.unwrap()));
                    ring.push(token, Op::Recv { socket: socket.unwrap() });
                }
                Event::Received { result, .. } => match result.unwrap() {
                    Some(chunk) => {
                        let bytes = ring.chunk(&chunk).to_vec();
                        ring.recycle(chunk);
                        ring.push(
                            token,
                            Op::Send { socket: socket.unwrap(), out: Outgoing { bytes, ..Outgoing::default() } },
                        );
                    }
                    None => done = true,
                },
                Event::Sent { result, .. } => {
                    assert_eq!(result, Ok(5));
                    let mut got = [0; 5];
                    client.read_exact(&mut got).unwrap();
                    assert_eq!(&got, b"hello");
                    client.shutdown(std::net::Shutdown::Both).unwrap();
                }
                Event::Filled { .. } => unreachable!(),
            }
        }
    }
}

//! A real server process for one test: started on a free loopback port and a unix socket, ended when dropped.
//!
//! Built with the feature `glommio` the tests run on that runtime, otherwise on our own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// No exchange of a test takes this long: a server that hangs fails the test instead of stopping the run.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    stdout: BufReader<ChildStdout>,
    /// The block printed at start.
    pub banner: String,
}

/// A server that did not start: what it said and how it ended.
pub struct Refused {
    /// Standard error.
    pub stderr: String,
    /// Exit status.
    pub status: ExitStatus,
}

impl Server {
    /// Starts a server with these flags besides port, unix socket and a small memory limit.
    pub fn start(flags: &[&str]) -> Server {
        Server::start_with(flags, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Server {
        // The port is free now; another process may take it before the server does. Then the next one is tried.
        for _ in 0..20 {
            match Server::try_start_with(free_port(), flags, variables) {
                Ok(server) => return server,
                Err(refused) if refused.stderr.contains("in use") => {}
                Err(refused) => panic!("the server did not start: {}", refused.stderr),
            }
        }
        panic!("no free port after 20 attempts");
    }

    /// Starts a server on `port`, or tells why it did not start.
    pub fn try_start(port: u16, flags: &[&str]) -> Result<Server, Refused> {
        Server::try_start_with(port, flags, &[])
    }

    /// The same, with these variables in its environment.
    pub fn try_start_with(port: u16, flags: &[&str], variables: &[(&str, &str)]) -> Result<Server, Refused> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
        command.envs(variables.iter().copied());
        command.args(["--port", &port.to_string(), "--unixsocket"]).arg(folder.path().join("sock"));
        command.arg("--memcached-unixsocket").arg(folder.path().join("memcached"));
        if !flags.contains(&"--memcached-port") {
            // A fixed port of its own would let only one server of all tests start.
            command.args(["--memcached-port", "0"]);
        }
        if !flags.contains(&"--maxmemory") {
            command.args(["--maxmemory", "256mb"]);
        }
        if cfg!(feature = "glommio") && !flags.contains(&"--runtime") {
            command.args(["--runtime", "glommio"]);
        }
        if !flags.contains(&"--metrics-bind") {
            command.args(["--metrics-bind", ""]);
        }
        command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built with the tests");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut banner = String::new();
        // The block ends with the line that says that connections are accepted; without it the server has ended.
        while !banner.contains("ready") {
            if stdout.read_line(&mut banner).expect("a pipe") == 0 {
                let mut stderr = String::new();
                read_all(child.stderr.take(), &mut stderr);
                let status = child.wait().expect("a child");
                return Err(Refused { stderr, status });
            }
        }
        Ok(Server { child, folder, port, stdout, banner })
    }

    /// The unix socket's path.
    pub fn unix_path(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// The path of memcached's unix socket.
    pub fn memcached_path(&self) -> PathBuf {
        self.folder.path().join("memcached")
    }

    /// A raw connection in memcached's protocol.
    pub fn connect_memcached(&self) -> UnixStream {
        let stream = UnixStream::connect(self.memcached_path()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        stream
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A raw TCP connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        stream
    }

    /// A connection of the `redis` crate.
    pub fn client(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).expect("a valid address");
        let connection = client.get_connection_with_timeout(PATIENCE).expect("the server listens");
        connection.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        connection
    }

    /// Sends a signal by number.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status().expect("kill(1) exists");
        assert!(sent.success());
    }

    /// Waits for the server's end by itself; returns its status and what it printed after the start block.
    pub fn wait(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("a pipe");
        read_all(self.child.stderr.take(), &mut err);
        (self.child.wait().expect("a child"), out, err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(pipe: Option<ChildStderr>, text: &mut String) {
    if let Some(mut pipe) = pipe {
        pipe.read_to_string(text).expect("a pipe");
    }
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("loopback exists").port()
}

/// Sends `request` and reads exactly as many bytes as `expected` has; they must be equal.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8], expected: &[u8]) {
    stream.write_all(request).expect("the server reads");
    let mut reply = vec![0; expected.len()];
    let mut got = 0;
    while got < reply.len() {
        match stream.read(&mut reply[got..]).expect("the server answers") {
            0 => break,
            count => got += count,
        }
    }
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    assert!(reply[..got] == *expected, "got {:?}, expected {:?}", shown(&reply[..got]), shown(expected));
}

/// Reads until the server closes the connection.
pub fn read_to_close(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset after the last reply is a close too.
    let _ = stream.read_to_end(&mut all);
    all
}

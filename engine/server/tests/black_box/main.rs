//! Black box: a real server process, real sockets, real clients.
//!
//! Nothing here knows the server's inside. Ports are free ones, files live in temporary folders, and no test waits for
//! time to pass: each waits for an answer.

mod bad_input;
mod clients;
mod insight;
mod limits;
mod memcached;
mod process;
mod sessions;
mod settings;
mod start_stop;

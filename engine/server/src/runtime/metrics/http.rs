//! The HTTP server of the control thread: two pages for machines.
//!
//! Invariants
//! - At most `CONNECTIONS_MAX` connections are served; more wait in the kernel's backlog.
//! - A connection ends after `CONNECTION_MAX`, and after `HEADER_MAX` without a whole request.
//!
//! Absent on purpose: TLS and passwords. The listener is loopback's unless somebody says otherwise.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task;
use tokio::time;

use super::Pages;

const CONNECTIONS_MAX: usize = 16;
const CONNECTION_MAX: Duration = Duration::from_secs(60);
const HEADER_MAX: Duration = Duration::from_secs(5);
/// What a request's head may have, in bytes.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Accepting fails for want of descriptors: it is tried again then.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
/// The text format of Prometheus, and its version.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the pages until the thread ends.
pub async fn serve(listener: std::net::TcpListener, pages: Rc<Pages>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("no metrics: {error}"),
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Rc::clone(&pages);
                task::spawn_local(async move {
                    converse(stream, pages).await;
                    drop(slot);
                });
            }
            Err(_) => time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn converse(stream: TcpStream, pages: Rc<Pages>) {
    let service = service_fn(move |request| {
        let pages = Rc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(&request, &pages).await) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A client that is slow, breaks off or talks nonsense is of no interest.
    let _ = time::timeout(CONNECTION_MAX, conversation).await;
}

async fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => match pages.metrics().await {
            Ok(text) => page(StatusCode::OK, EXPOSITION, text.to_string()),
            Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN_TEXT, why),
        },
        "/healthz" => match pages.health() {
            Ok(line) => page(StatusCode::OK, PLAIN_TEXT, line),
            Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN_TEXT, why),
        },
        _ => page(StatusCode::NOT_FOUND, PLAIN_TEXT, "/metrics and /healthz are here\n".to_owned()),
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! A web service with axum whose workers are forked. tower-http gives each request a UUID of
//! version 7, and the answer has it in the header `x-request-id`. If the client sends that
//! header, its value is kept.
//!
//! ```text
//! cd examples/request-id
//! cargo run -- 127.0.0.1:8080    then: curl -i 127.0.0.1:8080
//! cargo run                      checks itself: each request gets another UUID
//! ```

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, ptr};

use axum::http::{HeaderValue, Request};
use axum::routing::get;
use axum::{Extension, Router};
use fork_safe_uuid::Uuid;
use tokio::runtime::Builder;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};

const WORKERS: usize = 4;
const REQUESTS: usize = 1000;

/// Replaces tower-http's `MakeRequestUuid`, which calls `Uuid::new_v4()`.
#[derive(Clone, Copy)]
struct ForkSafeId;

impl MakeRequestId for ForkSafeId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = fork_safe_uuid::now_v7().to_string();
        Some(RequestId::new(HeaderValue::try_from(id).ok()?))
    }
}

fn main() -> ExitCode {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"));
    let listener = listener.expect("a free address");
    let local = listener.local_addr().expect("bound");
    // The workers inherit a generator that has made a UUID.
    println!("http://{local}, instance {}", fork_safe_uuid::now_v7());
    let workers = [(); WORKERS].map(|()| {
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            serve(listener.try_clone().expect("a socket"));
            // SAFETY: the worker ends without running its parent's destructors.
            unsafe { libc::_exit(1) };
        }
        pid
    });
    let passed = address.is_none() && check(local);
    for pid in workers {
        // SAFETY: the ids are those of children. Null means that the status is not written.
        unsafe {
            if address.is_none() {
                libc::kill(pid, libc::SIGKILL);
            }
            libc::waitpid(pid, ptr::null_mut(), 0);
        }
    }
    ExitCode::from(u8::from(!passed))
}

fn serve(listener: TcpListener) {
    let runtime = Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime").block_on(async {
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        // The layer that is added last gets a request first.
        let service = Router::new()
            .route("/", get(answer))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(SetRequestIdLayer::x_request_id(ForkSafeId));
        axum::serve(listener, service).await.expect("to serve");
    });
}

/// Answers with the request's UUID, which tower-http adds to the request as an extension.
async fn answer(Extension(id): Extension<RequestId>) -> Vec<u8> {
    id.header_value().as_bytes().to_vec()
}

/// Sends requests, and returns whether each got another UUID.
fn check(address: SocketAddr) -> bool {
    let ids: BTreeSet<Uuid> = (0..REQUESTS).map(|_| request(address)).collect();
    println!("{} request ids of {REQUESTS} are distinct", ids.len());
    ids.len() == REQUESTS && ids.iter().all(|id| id.get_version_num() == 7)
}

/// Sends a request, and returns the UUID in the answer's header. The handler must have seen the
/// same one.
fn request(address: SocketAddr) -> Uuid {
    let mut client = TcpStream::connect(address).expect("the service");
    let patience = Some(Duration::from_secs(30));
    client.set_read_timeout(patience).expect("a socket");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request).expect("the service");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    let (headers, body) = answer.split_once("\r\n\r\n").expect("headers");
    let mut lines = headers.lines();
    let id = lines.find_map(|line| line.strip_prefix("x-request-id: "));
    assert_eq!(id, Some(body));
    body.parse().expect("a UUID")
}

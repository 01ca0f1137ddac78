//! A Pingora service that answers each request with a UUID in its header.
//!
//! ```text
//! cd examples/pingora
//! cargo run -- --daemon    then: curl -I 127.0.0.1:6190
//! cargo run                checks itself: each request gets another UUID
//! ```
//!
//! The service needs no preparation for `--daemon`, which forks, nor for `--upgrade`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, thread};

use pingora_core::server::Server;
use pingora_core::server::configuration::Opt;
use pingora_core::services::listening::Service;
use pingora_request_ids::RequestIds;

const ADDRESS: &str = "127.0.0.1:6190";
const REQUESTS: usize = 100;

fn main() -> ExitCode {
    if env::args().len() == 1 {
        return check();
    }
    let mut server = Server::new(Opt::parse_args()).expect("a configuration");
    server.bootstrap();
    let mut service = Service::new("request ids".to_string(), RequestIds);
    service.add_tcp(ADDRESS);
    server.add_service(service);
    server.run_forever()
}

/// Starts the service in the foreground, and returns success if each request gets another UUID.
fn check() -> ExitCode {
    let program = env::current_exe().expect("this program");
    let mut service = Command::new(program)
        .arg("--nocapture") // Without any argument, the program would check itself again.
        .spawn()
        .expect("the service");
    let ids: HashSet<String> = (0..REQUESTS).filter_map(|_| request()).collect();
    service.kill().expect("the service");
    service.wait().expect("the service");
    println!("{} distinct ids of {REQUESTS} requests", ids.len());
    ExitCode::from(u8::from(ids.len() != REQUESTS))
}

/// Sends a request, and returns the request id of the answer.
fn request() -> Option<String> {
    let mut client = (0..100).find_map(|_| {
        let client = TcpStream::connect(ADDRESS).ok();
        if client.is_none() {
            thread::sleep(Duration::from_millis(100));
        }
        client
    })?;
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request).ok()?;
    let lines = BufReader::new(client).lines().map_while(Result::ok);
    lines
        .map(|line| line.to_lowercase())
        .find_map(|line| line.strip_prefix("x-request-id: ").map(str::to_string))
}

//! A server that forks its workers. They share a listening socket, and answer each request
//! with a UUID.
//!
//! ```text
//! cargo run --example prefork -- 127.0.0.1:8080    then: curl 127.0.0.1:8080/uuid
//! cargo run --example prefork                      checks itself
//! ```
//!
//! Nothing has to be done after the fork. The check asks each worker for a thousand UUIDs, and
//! finds no duplicate. The same server with `rand`, from which `uuid` with `fast-rng` draws,
//! makes duplicates.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use fork_safe_uuid::Uuid;

const WORKERS: usize = 4;
const REQUESTS: usize = 1000;

type Make = fn() -> Uuid;

fn main() -> ExitCode {
    if let Some(address) = std::env::args().nth(1) {
        let listener = TcpListener::bind(address).expect("a free address");
        println!("http://{}/uuid", listener.local_addr().expect("bound"));
        let workers = [(); WORKERS].map(|()| start_worker(&listener, fork_safe_uuid::new_v4));
        workers.into_iter().for_each(wait);
        return ExitCode::FAILURE;
    }
    let rand: Make = || Uuid::from_u128(rand::random());
    let [found, with_rand] = [fork_safe_uuid::new_v4, rand].map(duplicates);
    println!(
        "{WORKERS} workers, {REQUESTS} requests each: {found} duplicates; with rand: {with_rand}"
    );
    ExitCode::from(u8::from(found > 0 || with_rand == 0))
}

fn start_worker(listener: &TcpListener, make: Make) -> i32 {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            for request in listener.incoming() {
                // The worker continues if a client has closed its connection.
                let _ = request.and_then(|client| answer(client, make));
            }
            // SAFETY: the worker ends without running its parent's destructors.
            unsafe { libc::_exit(1) }
        }
        pid => pid,
    }
}

/// Answers all requests that a client makes on one connection.
fn answer(client: TcpStream, make: Make) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut lines = BufReader::new(&client).lines();
    while let Some(request) = lines.next().transpose()? {
        // The headers end with an empty line.
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let (status, body) = match request.split(' ').nth(1) {
            Some("/uuid") => ("200 OK", format!("{}\n", make())),
            _ => ("404 Not Found", String::new()),
        };
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        (&client).write_all(text.as_bytes())?;
    }
    Ok(())
}

/// Returns how many of the workers' UUIDs are duplicates.
fn duplicates(make: Make) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    // The parent has made a UUID before it is copied.
    let mut ids = BTreeSet::from([make()]);
    let workers = [(); WORKERS].map(|()| start_worker(&listener, make));
    // A worker accepts no other connection while one lasts, so that each gets one of these.
    let clients = [(); WORKERS].map(|()| connect(address));
    for client in &clients {
        for _ in 0..REQUESTS {
            ids.insert(ask(client));
        }
    }
    drop(clients);
    for pid in workers {
        // SAFETY: this is a child of the process, and was not waited for.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        wait(pid);
    }
    1 + WORKERS * REQUESTS - ids.len()
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("the server");
    let patience = Some(Duration::from_secs(10));
    client.set_read_timeout(patience).expect("a socket");
    client
}

fn ask(mut client: &TcpStream) -> Uuid {
    let request = b"GET /uuid HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(request).expect("the server");
    let mut response = [0; "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n".len() + 37];
    client.read_exact(&mut response).expect("an answer in time");
    let id = response[response.len() - 37..].trim_ascii();
    Uuid::try_parse_ascii(id).expect("a UUID")
}

fn wait(pid: i32) {
    // SAFETY: a null pointer means that no status is wanted.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

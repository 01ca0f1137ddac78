//! A prefork server: workers share a listening socket, and each request gets a
//! UUID.
//!
//! ```text
//! cargo run --example prefork -- 127.0.0.1:8080    then: curl 127.0.0.1:8080/uuid
//! cargo run --example prefork                      checks itself
//! ```
//!
//! Nothing has to be done after the fork. The check asks each worker for a
//! thousand UUIDs and finds none twice; the same server on `rand`, which
//! `uuid`'s `fast-rng` draws from, repeats itself.

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
    let [ours, theirs] = [fork_safe_uuid::new_v4, rand].map(duplicates);
    println!("{WORKERS} workers, {REQUESTS} requests each: {ours} duplicates; with rand: {theirs}");
    ExitCode::from(u8::from(ours > 0 || theirs == 0))
}

fn start_worker(listener: &TcpListener, make: Make) -> i32 {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            for request in listener.incoming() {
                // A client that went away is no reason to end.
                let _ = request.and_then(|client| answer(client, make));
            }
            // SAFETY: ends the worker without its parent's destructors.
            unsafe { libc::_exit(1) }
        }
        pid => pid,
    }
}

/// As many requests as the client makes on one connection.
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

/// How many of the workers' UUIDs came before.
fn duplicates(make: Make) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    // A parent that has made some is what workers are copied from.
    let mut ids = BTreeSet::from([make()]);
    let workers = [(); WORKERS].map(|()| start_worker(&listener, make));
    // While its connection lasts, a worker takes no other: each has one.
    let clients = [(); WORKERS].map(|()| connect(address));
    for client in &clients {
        for _ in 0..REQUESTS {
            ids.insert(ask(client));
        }
    }
    drop(clients);
    for pid in workers {
        // SAFETY: a child of this process that was not waited for.
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
    // SAFETY: the status is not asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

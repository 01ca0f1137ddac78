//! Forks a server for each folder that is an argument. A folder has the server's configuration and
//! its sockets. If `--upgrade` is the first argument, the servers replace those that run in the
//! folders. Each line that is written to a file has a UUID of this crate and one of the control.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::{env, process};

use async_trait::async_trait;
use http::Response;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::Server;
use pingora_core::server::configuration::Opt;
use pingora_core::services::listening::Service;
use pingora_request_ids::RequestIds;
use uuid::Uuid;

/// Adds a UUID of the control to the recipe's answer.
struct WithControl;

#[async_trait]
impl ServeHttp for WithControl {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let mut response = RequestIds.response(session).await;
        let control = Uuid::new_v4().to_string().parse().expect("a value");
        response.headers_mut().insert("x-control-id", control);
        response
    }
}

fn main() {
    let mut folders: Vec<String> = env::args().skip(1).collect();
    let upgrade = folders.first().is_some_and(|first| first == "--upgrade");
    folders.drain(..usize::from(upgrade));
    write(&folders[0], "launcher");
    for folder in folders {
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => panic!("no process"),
            0 => serve(&folder, upgrade),
            _ => {}
        }
    }
}

/// Makes 1000 UUIDs in this thread, and writes them to a file.
fn write(folder: &str, name: &str) {
    let path = format!("{folder}/{name}.{}", process::id());
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for _ in 0..1000 {
        writeln!(file, "{} {}", fork_safe_uuid::new_v4(), Uuid::new_v4()).expect("a line");
    }
    file.flush().expect("the file");
}

/// Runs a server in this process.
fn serve(folder: &str, upgrade: bool) -> ! {
    write(folder, "main");
    let options = Opt {
        upgrade,
        daemon: true,
        conf: Some(format!("{folder}/conf.yaml")),
        ..Opt::default()
    };
    let mut server = Server::new(options).expect("a configuration");
    server.bootstrap();
    let mut service = Service::new("request ids".to_string(), WithControl);
    service.add_uds(&format!("{folder}/socket"), None);
    server.add_service(service);
    server.run_forever()
}

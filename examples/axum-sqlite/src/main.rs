//! A web service with axum and sqlx (SQLite) whose workers are forked. Each order gets a UUID
//! of version 7, which is the primary key of its row.
//!
//! ```text
//! cd examples/axum-sqlite
//! cargo run -- 127.0.0.1:8080    then: curl -X POST 127.0.0.1:8080/orders
//! cargo run                      checks itself: no order is lost or refused
//! ```
//!
//! The workers are forked before the runtime starts, because a child does not inherit its
//! threads. For the UUIDs, the order does not matter.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, thread};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

const WORKERS: usize = 4;
const ORDERS: usize = 100;

fn main() -> ExitCode {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"));
    let listener = listener.expect("a free address");
    let local = listener.local_addr().expect("bound");
    println!("http://{local}/orders");
    let directory = env::temp_dir().join(fork_safe_uuid::new_v4().to_string());
    fs::create_dir(&directory).expect("a directory");
    let file = directory.join("orders.sqlite");
    runtime().block_on(async {
        let database = open(&file).await;
        let table = "CREATE TABLE orders (id BLOB PRIMARY KEY) WITHOUT ROWID, STRICT";
        sqlx::query(table)
            .execute(&database)
            .await
            .expect("a table");
        database.close().await;
    });

    let workers = [(); WORKERS].map(|()| {
        // SAFETY: the runtime above has ended, and this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            runtime().block_on(serve(listener.try_clone().expect("a socket"), file.clone()));
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
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
    fs::remove_dir_all(directory).expect("the directory");
    ExitCode::from(u8::from(!passed))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn open(file: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(20));
    SqlitePool::connect_with(options).await.expect("a database")
}

async fn serve(listener: TcpListener, file: PathBuf) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let orders = post(order).get(count);
    let routes = Router::new()
        .route("/orders", orders)
        .route("/", get("orders\n"));
    let service = routes.with_state(open(&file).await);
    axum::serve(listener, service).await.expect("to serve");
}

async fn order(State(database): State<SqlitePool>) -> Result<Json<Uuid>, (StatusCode, String)> {
    let id = fork_safe_uuid::now_v7();
    // A repeated key would be an error.
    let insert = sqlx::query("INSERT INTO orders (id) VALUES (?)").bind(id);
    match insert.execute(&database).await {
        Ok(_) => Ok(Json(id)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn count(State(database): State<SqlitePool>) -> String {
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM orders");
    count
        .fetch_one(&database)
        .await
        .expect("a count")
        .to_string()
}

/// Sends orders from several clients at once, and returns whether all of them were stored.
fn check(address: SocketAddr) -> bool {
    let clients = [(); WORKERS].map(|()| {
        thread::spawn(move || {
            let answers = (0..ORDERS).map(|_| request(address, "POST"));
            answers
                .filter(|answer| answer.starts_with("HTTP/1.1 200 OK"))
                .count()
        })
    });
    let accepted: usize = clients
        .into_iter()
        .map(|client| client.join().expect("no panic"))
        .sum();
    let answer = request(address, "GET");
    let stored = answer.rsplit("\r\n").next().unwrap_or_default();
    println!(
        "{accepted} of {} orders accepted, {stored} stored",
        WORKERS * ORDERS
    );
    accepted == WORKERS * ORDERS && stored == accepted.to_string()
}

/// Sends a request, and returns the answer.
fn request(address: SocketAddr, method: &str) -> String {
    let mut client = TcpStream::connect(address).expect("the service");
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    let request =
        format!("{method} /orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).expect("the service");
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .expect("an answer in time");
    answer
}

//! Makes UUIDs in forked processes that use tokio's runtime with several threads, and prints for
//! each scene how many UUIDs were repeated.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};
use uuid::Uuid;

const PROCESSES: usize = 4;
const CONNECTIONS: usize = 100;
const REQUESTS: usize = 100;
const TASKS: usize = 8;
const UUIDS: usize = 1000;

fn main() -> ExitCode {
    let scenes = [
        (
            format!("{PROCESSES} forked workers, a runtime in each"),
            prefork(),
        ),
        (
            format!("a task forks {PROCESSES} children while {TASKS} others generate"),
            forking_task(),
        ),
    ];
    let mut passed = true;
    for (scene, made) in scenes {
        let ours: BTreeSet<Uuid> = made.iter().flat_map(|&[v4, v7, _]| [v4, v7]).collect();
        let control: BTreeSet<Uuid> = made.iter().map(|&[.., control]| control).collect();
        let [of_ours, of_control] = [2 * made.len(), made.len()];
        let [ours, control] = [of_ours - ours.len(), of_control - control.len()];
        println!("{scene} | {ours} of {of_ours} | uuid with fast-rng: {control} of {of_control} |");
        passed &= ours == 0 && control > 0;
    }
    ExitCode::from(u8::from(!passed))
}

/// Two UUIDs of this crate and one of the control.
type Ids = [Uuid; 3];

fn make() -> Ids {
    [
        fork_safe_uuid::new_v4(),
        fork_safe_uuid::now_v7(),
        Uuid::new_v4(),
    ]
}

fn to_bytes(ids: Ids) -> [u8; 48] {
    let ids = ids.map(Uuid::into_bytes);
    ids.as_flattened().try_into().expect("three UUIDs")
}

fn from_bytes(bytes: &[u8]) -> impl Iterator<Item = Ids> {
    let (ids, rest) = bytes.as_chunks().0.as_chunks();
    assert!(rest.is_empty());
    ids.iter().map(|ids| ids.map(Uuid::from_bytes))
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(4).enable_io();
    builder.build().expect("a runtime")
}

/// Returns the UUIDs that the parent and the workers of a server make.
fn prefork() -> Vec<Ids> {
    let mut made = vec![make()];
    // Each worker has another listener, so that it serves as many clients as the others.
    let workers = [(); PROCESSES].map(|()| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let pid = fork(|| runtime().block_on(serve(listener)));
        (pid, address)
    });
    let clients: Vec<_> = (0..CONNECTIONS)
        .flat_map(|_| workers)
        .map(|(_, address)| TcpStream::connect(address).expect("a worker"))
        .collect();
    for mut client in clients {
        let patience = Some(Duration::from_secs(60));
        client.set_read_timeout(patience).expect("a socket");
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).expect("a worker");
        made.extend(from_bytes(&bytes));
    }
    for (pid, _) in workers {
        // SAFETY: the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        wait(pid);
    }
    assert_eq!(made.len(), 1 + PROCESSES * CONNECTIONS * (1 + REQUESTS));
    made
}

async fn serve(listener: TcpListener) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    loop {
        let (mut client, _) = listener.accept().await.expect("a client");
        // This loop runs in the thread that forked, whose state the control inherits.
        // The runtime's threads, which run the tasks, are new.
        let connection = make();
        tokio::spawn(async move {
            client
                .write_all(&to_bytes(connection))
                .await
                .expect("a client");
            for _ in 0..REQUESTS {
                client.write_all(&to_bytes(make())).await.expect("a client");
                yield_now().await;
            }
        });
    }
}

/// Returns the UUIDs that tasks make, and those of the children that one of the tasks forks.
fn forking_task() -> Vec<Ids> {
    runtime().block_on(async {
        let started = Arc::new(Barrier::new(TASKS + 1));
        let forked = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let (started, forked) = (started.clone(), forked.clone());
            tasks.spawn(async move {
                let mut made = vec![make()];
                started.wait().await;
                while !forked.load(Relaxed) {
                    made.push(make());
                    yield_now().await;
                }
                made
            });
        }
        tasks.spawn(async move {
            started.wait().await;
            let made = fork_children();
            forked.store(true, Relaxed);
            made
        });
        tasks.join_all().await.concat()
    })
}

/// Forks children, and returns their UUIDs and those of the parent. It does not await, so the
/// task stays in one thread.
fn fork_children() -> Vec<Ids> {
    let mut made = vec![make()];
    let (mut output, input) = io::pipe().expect("a pipe");
    let children = [(); PROCESSES].map(|()| {
        fork(|| {
            for _ in 0..UUIDS {
                // A pipe does not mix so few bytes with those of another child.
                (&input).write_all(&to_bytes(make())).expect("the parent");
            }
        })
    });
    drop(input);
    made.extend((0..UUIDS).map(|_| make()));
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).expect("the children");
    children.into_iter().for_each(wait);
    made.extend(from_bytes(&bytes));
    assert_eq!(made.len(), 1 + (1 + PROCESSES) * UUIDS);
    made
}

fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: this process has one thread, or `child` only makes and writes UUIDs.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", io::Error::last_os_error());
    if pid == 0 {
        // A child must not outlive a parent that panics.
        // SAFETY: the call takes only numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        child();
        // SAFETY: ends the child without its parent's destructors.
        unsafe { libc::_exit(0) };
    }
    pid
}

fn wait(pid: i32) {
    // SAFETY: null means that the status is not written.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

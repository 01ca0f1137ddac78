//! Times each way to make UUIDs beside the peers: `cargo bench --package benches --bench uuids`.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fork_safe_uuid::{Generator, Uuid};

#[allow(unreachable_pub)]
mod peers;

type Make = fn() -> Uuid;

fn contenders() -> Vec<(&'static str, Make)> {
    let mut contenders: Vec<(&'static str, Make)> = vec![
        ("ours", fork_safe_uuid::new_v4),
        ("uuid + fast-rng", peers::fast_rng),
        ("rand::random", peers::rand_random),
        ("uuid7", peers::uuid7),
        ("uuid", peers::uuid_default),
    ];
    contenders.extend(peers::libuuid().map(|make| ("libuuid", make)));
    contenders
}

fn one(c: &mut Criterion) {
    let mut group = c.benchmark_group("one");
    // These calls are written out, as a call by the pointers of `contenders` cannot be inlined.
    group.bench_function("ours", |b| b.iter(fork_safe_uuid::new_v4));
    let unbuffered = Generator::unbuffered();
    group.bench_function("ours, unbuffered", |b| b.iter(|| unbuffered.new_v4()));
    group.bench_function("uuid + fast-rng", |b| b.iter(peers::fast_rng));
    group.bench_function("rand::random", |b| b.iter(peers::rand_random));
    group.bench_function("uuid7", |b| b.iter(peers::uuid7));
    group.bench_function("uuid", |b| b.iter(peers::uuid_default));
    if let Some(libuuid) = peers::libuuid() {
        group.bench_function("libuuid", |b| b.iter(libuuid));
    }
}

fn ordered(c: &mut Criterion) {
    let mut group = c.benchmark_group("version 7");
    group.bench_function("ours", |b| b.iter(fork_safe_uuid::now_v7));
    group.bench_function("uuid + fast-rng", |b| b.iter(peers::uuid_v7));
    group.bench_function("uuid7", |b| b.iter(peers::uuid7_v7));
    drop(group);
    let mut group = c.benchmark_group("version 7/1000");
    group.throughput(Throughput::Elements(1000));
    let mut ids = vec![Uuid::nil(); 1000];
    group.bench_function("ours", |b| b.iter(|| fork_safe_uuid::fill_v7(&mut ids)));
    group.bench_function("uuid + fast-rng", |b| {
        b.iter(|| ids.fill_with(peers::uuid_v7))
    });
    group.bench_function("uuid7", |b| b.iter(|| ids.fill_with(peers::uuid7_v7)));
    drop(group);
    let mut group = c.benchmark_group("version 1");
    let node = fork_safe_uuid::random_node();
    group.bench_function("ours", |b| b.iter(|| fork_safe_uuid::now_v1(&node)));
    group.bench_function("random_node", |b| b.iter(fork_safe_uuid::random_node));
    group.bench_function("uuid", |b| b.iter(peers::uuid_v1));
    if let Some(libuuid) = peers::libuuid_v1() {
        group.bench_function("libuuid", |b| b.iter(libuuid));
    }
}

fn many(c: &mut Criterion) {
    for count in [16, 1000, 1_000_000] {
        let mut group = c.benchmark_group(format!("many/{count}"));
        group.throughput(Throughput::Elements(count as u64));
        let mut ids = vec![Uuid::nil(); count];
        group.bench_function("ours", |b| b.iter(|| fork_safe_uuid::fill_v4(&mut ids)));
        group.bench_function("uuid + fast-rng", |b| {
            b.iter(|| ids.fill_with(peers::fast_rng))
        });
        group.bench_function("uuid7", |b| b.iter(|| ids.fill_with(peers::uuid7)));
        if count < 1_000_000 {
            group.bench_function("uuid", |b| b.iter(|| ids.fill_with(peers::uuid_default)));
        }
    }
}

/// Benchmarks each contender by the time that `time` measures for a first UUID.
fn each(group: &mut BenchmarkGroup<'_, WallTime>, time: fn(Make) -> Duration) {
    for (name, make) in contenders() {
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| (0..iterations).map(|_| time(make)).sum());
        });
    }
}

fn first_of_a_thread(c: &mut Criterion) {
    each(&mut c.benchmark_group("first of a thread"), |make| {
        let thread = std::thread::spawn(move || timed(make));
        thread.join().expect("no panic")
    });
}

fn first_after_fork(c: &mut Criterion) {
    each(&mut c.benchmark_group("first after fork"), |make| {
        black_box(make());
        let (mut output, mut input) = std::io::pipe().expect("a pipe");
        // SAFETY: the child makes a UUID, writes to a pipe and ends.
        if unsafe { libc::fork() } == 0 {
            let time = timed(make).as_nanos() as u64;
            let _ = std::io::Write::write_all(&mut input, &time.to_ne_bytes());
            // SAFETY: ends without the parent's destructors.
            unsafe { libc::_exit(0) };
        }
        let mut time = [0; 8];
        std::io::Read::read_exact(&mut output, &mut time).expect("a child");
        // SAFETY: waits for the child, and ignores its status.
        unsafe { libc::wait(std::ptr::null_mut()) };
        Duration::from_nanos(u64::from_ne_bytes(time))
    });
}

/// Returns how long one call takes.
fn timed(make: Make) -> Duration {
    let start = Instant::now();
    black_box(make());
    start.elapsed()
}

/// Times the UUIDs of one thread while another thread also makes UUIDs.
fn two_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("two threads");
    for (name, make) in contenders() {
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let work = move || {
                    let start = Instant::now();
                    for _ in 0..iterations {
                        black_box(make());
                    }
                    start.elapsed()
                };
                let other = std::thread::spawn(work);
                (work() + other.join().expect("no panic")) / 2
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = one, ordered, many, first_of_a_thread, first_after_fork, two_threads
}
criterion_main!(benches);

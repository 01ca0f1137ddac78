//! One UUID and many, beside the peers.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fork_safe_uuid::{Generator, Uuid};

fn one(c: &mut Criterion) {
    let mut group = c.benchmark_group("one");
    group.bench_function("ours", |b| b.iter(fork_safe_uuid::new_v4));
    let unbuffered = Generator::unbuffered();
    group.bench_function("ours, unbuffered", |b| b.iter(|| unbuffered.new_v4()));
    group.bench_function("uuid", |b| {
        b.iter(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("entropy");
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        });
    });
    group.bench_function("uuid + fast-rng", |b| b.iter(Uuid::new_v4));
    group.bench_function("uuid7", |b| b.iter(uuid7::uuid4));
}

fn many(c: &mut Criterion) {
    let mut group = c.benchmark_group("many");
    for count in [16, 1000, 1_000_000] {
        let mut ids = vec![Uuid::nil(); count];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("ours/{count}"), |b| {
            b.iter(|| fork_safe_uuid::fill_v4(&mut ids));
        });
        group.bench_function(format!("uuid + fast-rng/{count}"), |b| {
            b.iter(|| ids.fill_with(Uuid::new_v4));
        });
    }
}

criterion_group!(benches, one, many);
criterion_main!(benches);

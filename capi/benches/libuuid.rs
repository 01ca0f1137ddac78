//! Compares this libuuid with the system's in one process, in interleaved rounds.
//!
//! `cargo bench --package capi` prints nanoseconds of processor time for each UUID, and the
//! ratio with the spread of nine rounds in ten. The time for which libuuid waits for the lock
//! on its file is not counted.

use std::hint::black_box;
use std::time::Duration;

use fork_safe_uuid::Uuid;

#[allow(dead_code, unreachable_pub)]
#[path = "../tests/it/library.rs"]
mod library;

use library::Generate;

const ROUNDS: usize = 40;
const ROUND: Duration = Duration::from_millis(15);

fn main() {
    library::install();
    let libraries = library::both();
    println!(
        "{:24} {:>12} {:>12}   times as fast",
        "", "the system's", "this one"
    );
    for name in [
        "uuid_generate_random",
        "uuid_generate_time",
        "uuid_generate_time_safe",
    ] {
        // SAFETY: they write a `uuid_t`; the int that one of them returns is ignored.
        let generators = libraries
            .each_ref()
            .map(|l| unsafe { library::function(l, name) });
        let mut times = [const { Vec::new() }; 2];
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let [theirs, ours] = generators.map(nanoseconds);
            times[0].push(theirs);
            times[1].push(ours);
            ratios.push(theirs / ours);
        }
        let [theirs, ours] = times.map(|mut times| quantile(&mut times, 50));
        let [low, middle, high] = [5, 50, 95].map(|percent| quantile(&mut ratios, percent));
        println!("{name:24} {theirs:9.1} ns {ours:9.1} ns   {middle:.0} ({low:.0} to {high:.0})");
        if std::env::args().any(|argument| argument == "--assert") {
            assert!(middle >= 100.0, "{name} is only {middle:.0} times as fast");
        }
    }
}

/// Calls `generate` for a round, and returns the nanoseconds of a call.
fn nanoseconds(generate: Generate) -> f64 {
    let mut id = Uuid::nil();
    let (start, mut calls) = (processor_time(), 0);
    loop {
        for _ in 0..1000 {
            // SAFETY: `id` is a `uuid_t`.
            unsafe { generate(black_box(&mut id)) };
        }
        calls += 1000;
        let time = processor_time() - start;
        if time >= ROUND {
            assert_ne!(id, Uuid::nil());
            return time.as_nanos() as f64 / f64::from(calls);
        }
    }
}

/// Returns the processor time of this thread, which other programs do not affect.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer leads to the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the value below which `percent` of the values are.
fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

//! Times all contenders in turn, round by round, so that other load of the machine affects all of
//! them alike. Prints medians, and ratios with their spread.
//!
//! ```text
//! cargo bench --package benches --bench versus
//! RUSTFLAGS='--cfg fork_safe_uuid_backend="chacha"' cargo bench --package benches --bench versus
//! ```
//!
//! The first command also writes the picture `docs/benchmarks.svg`. The second one times the
//! backend that machines without AES instructions use; `aes` and `vaes256` leave out the
//! backends with wider instructions.

use std::error::Error;

use contenders::{MILLION, Series, UNBUFFERED, all, in_bulk, in_pairs};

mod contenders;
#[allow(unreachable_pub)]
#[path = "../peers.rs"]
mod peers;
mod picture;

/// The number of rounds.
const ROUNDS: usize = 201;

fn main() -> Result<(), Box<dyn Error>> {
    let mut all = all();
    all.extend(in_pairs());
    let is_long = |series: &Series| series.group == MILLION;
    for round in 0..ROUNDS {
        for group in all.chunk_by_mut(|one, next| one.group == next.group) {
            // Each contender is first as often as the others, because the first one finds the
            // caches as the previous group left them.
            for turn in 0..group.len() {
                let series = &mut group[(turn + round) % group.len()];
                // A long series needs fewer rounds.
                if is_long(series) && round % 10 != 0 {
                    continue;
                }
                let time = (series.run)(series.count);
                series
                    .times
                    .push(time.as_nanos() as f64 / series.count as f64);
            }
        }
    }

    let machine = machine();
    println!("{machine}\n");
    println!(
        "{:<30} {:<16} {:>9} {:>8}   nine rounds in ten",
        "", "", "ns a UUID", "÷ first"
    );
    let mut ours = 0;
    for (index, series) in all.iter().enumerate() {
        if index == 0 || all[index - 1].group != series.group {
            ours = index;
        }
        // Each ratio is that of one round.
        let ratios: Vec<f64> = (series.times.iter().zip(&all[ours].times))
            .map(|(peer, ours)| peer / ours)
            .collect();
        println!(
            "{:<30} {:<16} {:>9.2} {:>8.2}   {:.2} to {:.2}",
            if index == ours { series.group } else { "" },
            series.name,
            quantile(&series.times, 0.5),
            quantile(&ratios, 0.5),
            quantile(&ratios, 0.05),
            quantile(&ratios, 0.95),
        );
    }
    let unbuffered = all.iter().position(|series| series.group == UNBUFFERED);
    let unbuffered = unbuffered.expect("measured");
    let default = quantile(&all[unbuffered + 1].times, 0.5) / quantile(&all[0].times, 0.5);
    println!("\nuuid without fast-rng ÷ fork-safe-uuid, one by one: {default:.0}");
    small_requests();
    if IS_WHOLE {
        picture::draw(&all, &machine)?;
    }
    Ok(())
}

/// Prints the ratio of the times of a request for several UUIDs and of as many calls for one.
fn small_requests() {
    println!("\nfill_v4 of n UUIDs ÷ n times new_v4 into the same slice:");
    for size in [2, 3, 4, 5, 8, 16, 32, 64, 100, 200, 251, 252, 300] {
        let mut at_once = in_bulk(size, fork_safe_uuid::fill_v4);
        let mut by_calls = in_bulk(size, |ids| ids.fill_with(fork_safe_uuid::new_v4));
        let ratios: Vec<f64> = (0..ROUNDS)
            .map(|_| at_once(20_000).as_nanos() as f64 / by_calls(20_000).as_nanos() as f64)
            .collect();
        let [low, median, high] = [0.05, 0.5, 0.95].map(|part| quantile(&ratios, part));
        println!("{size:>5}  {median:.2}   {low:.2} to {high:.2}");
    }
}

/// Whether all backends are compiled, and none is forced.
const IS_WHOLE: bool = !cfg!(any(
    fork_safe_uuid_backend = "chacha",
    fork_safe_uuid_backend = "aes",
    fork_safe_uuid_backend = "vaes256"
));

/// Returns the value below which `part` of the values are.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// Describes the processor, the kernel and the libc.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    #[cfg(target_env = "gnu")]
    // SAFETY: a constant string of the libc.
    let libc = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    #[cfg(target_env = "gnu")]
    let libc = format!("glibc {}", libc.to_string_lossy());
    #[cfg(not(target_env = "gnu"))]
    let libc = "another libc";
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let limit = if IS_WHOLE {
        ""
    } else {
        ", with a backend forced"
    };
    format!("{cpu}, Linux {kernel}, {libc}{limit}")
}

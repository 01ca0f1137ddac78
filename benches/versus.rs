//! All contenders in turn, round by round, so that what the machine does
//! besides hits all alike: medians, and ratios with their spread.
//!
//! ```text
//! cargo bench --bench versus
//! ```
//!
//! Writes the picture to `docs/benchmarks.svg`.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fork_safe_uuid::{Generator, Uuid};
use plotters::prelude::*;

#[allow(unreachable_pub)]
mod peers;

const ROUNDS: usize = 201;

/// Nanoseconds per UUID of one contender, a value for each round.
struct Series {
    name: &'static str,
    group: &'static str,
    /// Makes so many UUIDs and says how long it took.
    run: Box<dyn FnMut(usize) -> Duration>,
    /// UUIDs a round, for some 100 µs.
    count: usize,
    times: Vec<f64>,
}

fn series(
    group: &'static str,
    name: &'static str,
    count: usize,
    run: impl FnMut(usize) -> Duration + 'static,
) -> Series {
    Series {
        name,
        group,
        run: Box::new(run),
        count,
        times: Vec::with_capacity(ROUNDS),
    }
}

/// `expression` over and over; a macro, so that it is inlined where it can be.
macro_rules! one_by_one {
    ($make:expr) => {
        move |count| {
            let start = Instant::now();
            for _ in 0..count {
                black_box($make);
            }
            start.elapsed()
        }
    };
}

fn in_bulk(size: usize, fill: impl Fn(&mut [Uuid])) -> impl FnMut(usize) -> Duration {
    let mut ids = vec![Uuid::nil(); size];
    move |count| {
        let start = Instant::now();
        for _ in 0..count / size {
            fill(&mut ids);
            black_box(&mut ids);
        }
        start.elapsed()
    }
}

const ONE: &str = "one by one";
const HUNDRED: &str = "16 at once";
const THOUSAND: &str = "1000 at once";
const MILLION: &str = "1 M at once";
const UNBUFFERED: &str = "unbuffered";
const V7: &str = "v7, one by one";
const V7_THOUSAND: &str = "v7, 1000 at once";
const V1: &str = "v1, one by one";
const PAIR: &str = "two threads together";

fn all() -> Vec<Series> {
    let unbuffered = Generator::unbuffered();
    let mut all = vec![
        series(ONE, "ours", 20_000, one_by_one!(fork_safe_uuid::new_v4())),
        series(
            ONE,
            "uuid + fast-rng",
            10_000,
            one_by_one!(peers::fast_rng()),
        ),
        series(
            ONE,
            "rand::random",
            10_000,
            one_by_one!(peers::rand_random()),
        ),
        series(ONE, "uuid7", 5_000, one_by_one!(peers::uuid7())),
        series(ONE, "uuid", 250, one_by_one!(peers::uuid_default())),
    ];
    if let Some(libuuid) = peers::libuuid() {
        all.push(series(ONE, "libuuid", 50, one_by_one!(libuuid())));
    }
    for (group, size) in [(HUNDRED, 16), (THOUSAND, 1000), (MILLION, 1_000_000)] {
        let count = if size == 1_000_000 { size } else { 20 * 1000 };
        let ours = in_bulk(size, fork_safe_uuid::fill_v4);
        all.push(series(group, "ours", count, ours));
        let fast_rng = in_bulk(size, |ids| ids.fill_with(peers::fast_rng));
        all.push(series(group, "uuid + fast-rng", count, fast_rng));
    }
    all.push(series(
        UNBUFFERED,
        "ours",
        2000,
        one_by_one!(unbuffered.new_v4()),
    ));
    all.push(series(
        UNBUFFERED,
        "uuid",
        250,
        one_by_one!(peers::uuid_default()),
    ));
    all.extend(of_time());
    all.push(series(
        PAIR,
        "one thread",
        2_000_000,
        one_by_one!(fork_safe_uuid::new_v4()),
    ));
    all.push(series(PAIR, "two threads", 2_000_000, |count| {
        let together = Barrier::new(2);
        let work = &|cpu| {
            pin(cpu);
            together.wait();
            one_by_one!(fork_safe_uuid::new_v4())(count / 2)
        };
        // In threads of their own, so that the main one stays free to move.
        std::thread::scope(|scope| {
            let both = [0, 1].map(|cpu| scope.spawn(move || work(cpu)));
            let times = both.map(|thread| thread.join().expect("no panic"));
            (times[0] + times[1]) / 2
        })
    }));
    all
}

/// Versions 7 and 1.
fn of_time() -> Vec<Series> {
    let node = fork_safe_uuid::random_node();
    let v1 = one_by_one!(fork_safe_uuid::now_v1(&node));
    let mut all = vec![
        series(V7, "ours", 4000, one_by_one!(fork_safe_uuid::now_v7())),
        series(V7, "uuid + fast-rng", 2000, one_by_one!(peers::uuid_v7())),
        series(V7, "uuid7", 1000, one_by_one!(peers::uuid7_v7())),
        series(
            V7_THOUSAND,
            "ours",
            20_000,
            in_bulk(1000, fork_safe_uuid::fill_v7),
        ),
        series(
            V7_THOUSAND,
            "uuid + fast-rng",
            2000,
            in_bulk(1000, |ids| ids.fill_with(peers::uuid_v7)),
        ),
        series(V1, "ours", 4000, v1),
        series(V1, "uuid", 2000, one_by_one!(peers::uuid_v1())),
    ];
    if let Some(libuuid) = peers::libuuid_v1() {
        all.push(series(V1, "libuuid", 100, one_by_one!(libuuid())));
    }
    all
}

/// Keeps the calling thread on one processor: it is the generator that is
/// measured here, not when the scheduler parts two threads.
fn pin(cpu: usize) {
    // SAFETY: an empty set is valid, and the calls are given its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut all = all();
    let few = |series: &Series| series.group == MILLION;
    for round in 0..ROUNDS {
        for series in &mut all {
            // The long ones need no hundreds of rounds.
            if few(series) && round % 10 != 0 {
                continue;
            }
            let time = (series.run)(series.count);
            series
                .times
                .push(time.as_nanos() as f64 / series.count as f64);
        }
    }

    let machine = machine();
    println!("{machine}\n");
    println!(
        "{:<30} {:<16} {:>9} {:>8}   of nine rounds in ten",
        "", "", "ns a UUID", "÷ ours"
    );
    let mut ours = 0;
    for (index, series) in all.iter().enumerate() {
        if index == 0 || all[index - 1].group != series.group {
            ours = index;
        }
        // The ratio within each round.
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
    println!("\nuuid's default ÷ ours, one by one: {default:.0}");
    println!(
        "first UUID of a new thread: {:.1} µs",
        first_of_a_thread() / 1000.0
    );
    picture(&all, &machine)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// The median, in nanoseconds, from the call to the value.
fn first_of_a_thread() -> f64 {
    let times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let thread = std::thread::spawn(|| {
                let start = Instant::now();
                black_box(fork_safe_uuid::new_v4());
                start.elapsed().as_nanos() as f64
            });
            thread.join().expect("no panic")
        })
        .collect();
    quantile(&times, 0.5)
}

fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    #[cfg(target_env = "gnu")]
    // SAFETY: a string that the libc keeps for ever.
    let libc = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    #[cfg(target_env = "gnu")]
    let libc = format!("glibc {}", libc.to_string_lossy());
    #[cfg(not(target_env = "gnu"))]
    let libc = "another libc";
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    format!("{cpu}, Linux {kernel}, {libc}")
}

/// Bars on a logarithmic scale, one for each contender.
fn picture(all: &[Series], machine: &str) -> Result<(), Box<dyn Error>> {
    let bars: Vec<_> = all
        .iter()
        .filter(|series| [ONE, THOUSAND, UNBUFFERED, V7, V7_THOUSAND, V1].contains(&series.group))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.svg");
    std::fs::create_dir_all(path.parent().expect("docs"))?;
    let (left, top, step, width) = (260, 60, 26, 760);
    let height = top + step * bars.len() as i32 + 10;
    let root = SVGBackend::new(&path, (width as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    root.draw(&Text::new(
        "Nanoseconds a UUID (logarithmic)",
        (20, 14),
        text(18),
    ))?;
    root.draw(&Text::new(machine.to_owned(), (20, 38), text(12)))?;
    // A power of ten is this wide.
    let longest = bars.iter().map(|series| quantile(&series.times, 0.5));
    let decade = f64::from(width - left - 90) / longest.fold(10.0, f64::max).log10();
    for (index, series) in bars.iter().enumerate() {
        let y = top + step * index as i32;
        let time = quantile(&series.times, 0.5);
        let end = left + (time.log10() * decade).max(2.0) as i32;
        let ours = series.name == "ours";
        let color = if ours {
            RGBColor(0, 114, 178)
        } else {
            RGBColor(170, 170, 170)
        };
        let name = if ours { "fork-safe-uuid" } else { series.name };
        let name = format!("{}: {name}", series.group);
        root.draw(&Text::new(name, (20, y + 4), text(13)))?;
        root.draw(&Rectangle::new(
            [(left, y), (end, y + step - 8)],
            color.filled(),
        ))?;
        root.draw(&Text::new(format!("{time:.1}"), (end + 6, y + 4), text(13)))?;
    }
    root.present()?;
    Ok(())
}

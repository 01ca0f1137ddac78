//! All contenders in turn, round by round, so that what the machine does
//! besides hits all alike: medians, and ratios with their spread.
//!
//! ```text
//! cargo bench --bench versus
//! RUSTFLAGS='--cfg fork_safe_uuid_backend="chacha"' cargo bench --bench versus
//! ```
//!
//! The second is what a machine without AES instructions does; `aes` and `vaes256`
//! leave out the wider ones. The first writes the picture to `docs/benchmarks.svg`.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant, SystemTime};

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

const ONE: &str = "v4, one by one";
const BULK: [(&str, usize); 5] = [
    ("v4, 2 at once", 2),
    ("v4, 16 at once", 16),
    ("v4, 100 at once", 100),
    ("v4, 1000 at once", 1000),
    (MILLION, 1_000_000),
];
const MILLION: &str = "v4, 1 M at once";
const UNBUFFERED: &str = "v4, unbuffered";
const V7: &str = "v7, one by one";
const V7_THOUSAND: &str = "v7, 1000 at once";
const V1: &str = "v1, one by one";
const AFTER_FORK: &str = "first after fork";
const OF_THREAD: &str = "first of a thread";

/// What is in the picture, in parts.
const PICTURE: [(&str, &[&str]); 5] = [
    ("One by one", &[ONE, UNBUFFERED]),
    (
        "In bulk",
        &["v4, 16 at once", "v4, 1000 at once", V7_THOUSAND],
    ),
    ("Version 7", &[V7]),
    ("Version 1", &[V1]),
    ("Beginnings", &[AFTER_FORK, OF_THREAD]),
];

fn all() -> Vec<Series> {
    let unbuffered = Generator::unbuffered();
    let mut all = vec![
        series(
            ONE,
            "fork-safe-uuid",
            20_000,
            one_by_one!(fork_safe_uuid::new_v4()),
        ),
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
    for (group, size) in BULK {
        let count = if size == 1_000_000 { size } else { 20 * 1000 };
        let ours = in_bulk(size, fork_safe_uuid::fill_v4);
        all.push(series(group, "fork-safe-uuid", count, ours));
        let fast_rng = in_bulk(size, |ids| ids.fill_with(peers::fast_rng));
        all.push(series(group, "uuid + fast-rng", count, fast_rng));
    }
    all.push(series(
        UNBUFFERED,
        "fork-safe-uuid",
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
    all.extend(beginnings());
    all
}

/// Two threads, each with half of what one would make.
fn in_pairs() -> Vec<Series> {
    let node = fork_safe_uuid::random_node();
    fn pair(
        group: &'static str,
        count: usize,
        run: impl FnMut(usize) -> Duration + Clone + Send + 'static,
    ) -> [Series; 2] {
        let together = run.clone();
        [
            series(group, "one thread", count, run),
            series(group, "two threads", count, move |count| {
                let begin = &Barrier::new(2);
                // In threads of their own, so that the main one stays free to move.
                std::thread::scope(|scope| {
                    let both = [0, 1].map(|cpu| {
                        let mut run = together.clone();
                        scope.spawn(move || {
                            pin(cpu);
                            begin.wait();
                            run(count / 2)
                        })
                    });
                    let times = both.map(|thread| thread.join().expect("no panic"));
                    (times[0] + times[1]) / 2
                })
            }),
        ]
    }
    let v4 = one_by_one!(fork_safe_uuid::new_v4());
    let v7 = one_by_one!(fork_safe_uuid::now_v7());
    let v1 = one_by_one!(fork_safe_uuid::now_v1(&node));
    let mut all = Vec::from(pair("v4, two threads", 200_000, v4));
    all.extend(pair("v7, two threads", 20_000, v7));
    all.extend(pair("v1, two threads", 20_000, v1));
    all
}

/// From the call to the value, in a child or a thread that makes no other.
fn beginnings() -> Vec<Series> {
    type Make = fn() -> Uuid;
    const PEERS: [(&str, Make); 3] = [
        ("fork-safe-uuid", fork_safe_uuid::new_v4),
        ("uuid", peers::uuid_default),
        ("uuid + fast-rng", peers::fast_rng),
    ];
    let after_fork = PEERS.map(|(name, make)| {
        series(AFTER_FORK, name, 4, move |count| {
            (0..count).map(|_| first_of_a_child(make)).sum()
        })
    });
    let of_thread = PEERS.map(|(name, make)| {
        series(OF_THREAD, name, 4, move |count| {
            let first = move || timed(make);
            let threads = (0..count).map(|_| std::thread::spawn(first).join().expect("no panic"));
            threads.sum()
        })
    });
    after_fork.into_iter().chain(of_thread).collect()
}

fn timed(make: fn() -> Uuid) -> Duration {
    // The clock's memory is touched before.
    black_box(Instant::now());
    let start = Instant::now();
    black_box(make());
    start.elapsed()
}

fn first_of_a_child(make: fn() -> Uuid) -> Duration {
    static SHARED: OnceLock<usize> = OnceLock::new();
    let shared = *SHARED.get_or_init(|| {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: memory of its own, which stays.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), 8, access, kind, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        memory.expose_provenance()
    });
    let nanos = std::ptr::with_exposed_provenance_mut::<u64>(shared);
    // As a parent that serves.
    black_box(make());
    // SAFETY: the child writes a number to shared memory and ends; the parent reads it
    // afterwards.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            nanos.write(timed(make).as_nanos() as u64);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0);
        Duration::from_nanos(nanos.read())
    }
}

/// Versions 7 and 1.
fn of_time() -> Vec<Series> {
    let node = fork_safe_uuid::random_node();
    let v1 = one_by_one!(fork_safe_uuid::now_v1(&node));
    let mut all = vec![
        series(
            V7,
            "fork-safe-uuid",
            4000,
            one_by_one!(fork_safe_uuid::now_v7()),
        ),
        series(V7, "uuid + fast-rng", 2000, one_by_one!(peers::uuid_v7())),
        series(V7, "uuid7", 1000, one_by_one!(peers::uuid7_v7())),
        series(
            V7,
            "a read of the clock",
            4000,
            one_by_one!(SystemTime::now()),
        ),
        series(
            V7_THOUSAND,
            "fork-safe-uuid",
            20_000,
            in_bulk(1000, fork_safe_uuid::fill_v7),
        ),
        series(
            V7_THOUSAND,
            "uuid + fast-rng",
            2000,
            in_bulk(1000, |ids| ids.fill_with(peers::uuid_v7)),
        ),
        series(V1, "fork-safe-uuid", 4000, v1),
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
    all.extend(in_pairs());
    let few = |series: &Series| series.group == MILLION;
    for round in 0..ROUNDS {
        for group in all.chunk_by_mut(|one, next| one.group == next.group) {
            // Each is first as often as the others: it finds what the group before
            // left in the caches.
            for turn in 0..group.len() {
                let series = &mut group[(turn + round) % group.len()];
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
    }

    let machine = machine();
    println!("{machine}\n");
    println!(
        "{:<30} {:<16} {:>9} {:>8}   of nine rounds in ten",
        "", "", "ns a UUID", "÷ first"
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
    println!("\nuuid's default ÷ fork-safe-uuid, one by one: {default:.0}");
    small_requests();
    if IS_WHOLE {
        picture(&all, &machine)?;
    }
    Ok(())
}

/// Prints what a request for a few UUIDs takes, beside as many calls that each
/// overwrite one.
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

/// No backend is left out.
const IS_WHOLE: bool = !cfg!(any(
    fork_safe_uuid_backend = "chacha",
    fork_safe_uuid_backend = "aes",
    fork_safe_uuid_backend = "vaes256"
));

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
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
    let limit = if IS_WHOLE {
        ""
    } else {
        ", with a backend forced"
    };
    format!("{cpu}, Linux {kernel}, {libc}{limit}")
}

/// Bars on a logarithmic scale, one for each contender, and how many times as long as
/// ours each takes.
fn picture(all: &[Series], machine: &str) -> Result<(), Box<dyn Error>> {
    let of = |group: &'static str| all.iter().filter(move |series| series.group == group);
    let bars =
        |groups: &[&'static str]| groups.iter().map(|group| of(group).count()).sum::<usize>();
    let lines: usize = PICTURE.iter().map(|(_, groups)| 1 + bars(groups)).sum();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.svg");
    std::fs::create_dir_all(path.parent().expect("docs"))?;
    let (left, top, step, width) = (290, 60, 24, 800);
    let height = top + step * lines as i32 + 10;
    let root = SVGBackend::new(&path, (width as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    let title = "Time a UUID, logarithmic, and how many times fork-safe-uuid's that is";
    root.draw(&Text::new(title, (20, 14), text(18)))?;
    root.draw(&Text::new(machine.to_owned(), (20, 38), text(12)))?;
    // A power of ten is this wide.
    let shown = PICTURE.iter().flat_map(|(_, groups)| groups.iter());
    let longest = shown
        .flat_map(|group| of(group))
        .map(|series| quantile(&series.times, 0.5))
        .fold(10.0, f64::max);
    let decade = f64::from(width - left - 130) / longest.log10();
    let mut y = top;
    for (part, groups) in PICTURE {
        root.draw(&Text::new(
            part,
            (20, y + 4),
            text(14).style(FontStyle::Bold),
        ))?;
        y += step;
        for group in groups {
            let ours = of(group).next().expect("measured");
            for series in of(group) {
                let is_ours = std::ptr::eq(series, ours);
                let time = quantile(&series.times, 0.5);
                let end = left + (time.log10() * decade).max(2.0) as i32;
                let (name, color) = match is_ours {
                    true => ("fork-safe-uuid", RGBColor(0, 114, 178)),
                    false => (series.name, RGBColor(170, 170, 170)),
                };
                let name = format!("{group}: {name}");
                root.draw(&Text::new(name, (32, y + 3), text(13)))?;
                let bar = [(left, y), (end, y + step - 8)];
                root.draw(&Rectangle::new(bar, color.filled()))?;
                let time = match time {
                    1000.0.. => format!("{:.1} µs", time / 1000.0),
                    _ => format!("{time:.1} ns"),
                };
                let ratios: Vec<f64> = (series.times.iter().zip(&ours.times))
                    .map(|(peer, ours)| peer / ours)
                    .collect();
                let ratio = quantile(&ratios, 0.5);
                let label = match is_ours {
                    true => time,
                    false => format!("{time}, × {ratio:.1}"),
                };
                root.draw(&Text::new(label, (end + 6, y + 3), text(13)))?;
                y += step;
            }
        }
    }
    root.present()?;
    Ok(())
}

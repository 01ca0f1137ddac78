//! The harness itself: when it says that a scenario hangs.

use std::env;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use support::harness::{Scenario, is_emulated, stage, step};

support::scenarios![only_a_scenario_that_makes_no_progress_is_hung {
    possible: || !is_emulated()
}];

/// The variable that tells a second process of this scenario what to be.
const PART: &str = "FORK_SAFE_UUID_PART";

/// After how many seconds without progress a part of this scenario hangs. Even on a busy machine
/// a process is not kept from a processor for so long.
const SECONDS: u64 = 2;

/// Steps for longer than [`SECONDS`].
fn go_on() {
    let begin = Instant::now();
    while begin.elapsed() <= Duration::from_secs(SECONDS + 1) {
        step("goes on");
        sleep(Duration::from_millis(50));
    }
}

/// Uses the processor, or waits, and makes no progress.
fn stop(waits: bool) {
    step("the first step");
    step("the last step");
    loop {
        if waits {
            thread::park();
        }
    }
}

/// Runs this scenario again as one of its parts, and returns how it failed, if it did.
fn failure_of(part: &str) -> Option<String> {
    // SAFETY: this process has one thread.
    unsafe { env::set_var(PART, part) };
    let [this] = SCENARIOS else { unreachable!() };
    let scenario = Scenario {
        seconds: SECONDS,
        ..*this
    };
    let failed = stage(scenario).err()?;
    Some(failed.message().expect("a text").to_owned())
}

fn only_a_scenario_that_makes_no_progress_is_hung() {
    match env::var(PART).as_deref() {
        Ok("goes on") => return go_on(),
        Ok("waits") => return stop(true),
        Ok("spins") => return stop(false),
        _ => {}
    }
    assert_eq!(failure_of("goes on"), None);
    for part in ["waits", "spins"] {
        let text = failure_of(part).expect("it never ends");
        let rest = text.strip_prefix("hung: no progress for ").expect(&text);
        let (seconds, rest) = rest.split_once(' ').expect(&text);
        assert!(seconds.parse::<u64>().expect(&text) >= SECONDS, "{text}");
        assert!(rest.starts_with("s after: the last step\n"), "{text}");
        assert!(rest.contains("the first step"), "{text}");
    }
}

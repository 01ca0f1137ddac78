//! The answer to each call under a combination of faults.

use crate::call::Answer::{self, Real};
use crate::call::{Call, Number};
use crate::fault::{INSTEAD, Kind, OPEN_RETURNS_0};

/// A place where one of several faults can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Vdso,
    /// All calls of a kind.
    Kind(Kind),
    /// The n-th fstat.
    Proof(usize),
}

/// A fault that was chosen, by its number, of `of` faults.
#[derive(Clone, Copy)]
struct Choice {
    place: Place,
    taken: usize,
    of: usize,
}

struct Opened {
    /// The answer of fstat.
    identity: Answer,
    is_0: bool,
}

/// A combination of faults, and the state of the process that meets them.
///
/// A fault is chosen when the process makes the call for the first time. So each combination
/// has only faults that the process meets, and no combination is tried twice.
#[derive(Default)]
pub struct World {
    choices: Vec<Choice>,
    /// Whether the model has chosen all faults. If a process then makes other calls than the
    /// model, these calls have no fault.
    decided: bool,
    /// How many calls of each kind were made.
    counts: [usize; Kind::Madvise as usize + 1],
    proofs: usize,
    opened: Vec<Opened>,
    pub trace: Vec<(Call, Answer)>,
}

impl World {
    /// Continues with the next combination of at most `most` faults. Returns `false` after
    /// the last one.
    pub fn next(&mut self, most: usize) -> bool {
        while let Some(mut last) = self.choices.pop() {
            last.taken += 1;
            if last.taken < last.of && self.faults() < most {
                self.choices.push(last);
                self.restart();
                self.decided = false;
                return true;
            }
        }
        false
    }

    /// Resets the process's state, and keeps the faults.
    pub fn restart(&mut self) {
        *self = Self {
            choices: std::mem::take(&mut self.choices),
            decided: true,
            ..Self::default()
        };
    }

    fn faults(&self) -> usize {
        let choices = self.choices.iter();
        choices.filter(|choice| choice.taken > 0).count()
    }

    /// Returns the names of the faults.
    pub fn describe(&self) -> String {
        let choices = self.choices.iter().filter(|choice| choice.taken > 0);
        let names = choices.map(|&Choice { place, taken, .. }| match place {
            Place::Kind(kind) => {
                let fault = kind.faults()[taken].0;
                format!("{kind:?} {fault}")
            }
            Place::Vdso => "vDSO".into(),
            Place::Proof(n) if taken == 2 => format!("stranger at each proof from {n}"),
            Place::Proof(n) => format!("{:?} at proof {n}", instead(n)),
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn choose(&mut self, place: Place, of: usize) -> usize {
        if let Some(choice) = self.choices.iter().find(|choice| choice.place == place) {
            return choice.taken;
        }
        if !self.decided {
            let taken = 0;
            self.choices.push(Choice { place, taken, of });
        }
        0
    }

    fn chosen(&self, place: Place) -> usize {
        let mut choices = self.choices.iter();
        choices
            .find(|choice| choice.place == place)
            .map_or(0, |choice| choice.taken)
    }

    /// Returns whether the process finds getrandom in the vDSO.
    pub fn has_vdso(&mut self, kernel_has_it: bool) -> bool {
        self.choose(Place::Vdso, 1 + usize::from(kernel_has_it)) == 1
    }

    /// Returns whether the process starts without descriptor 0.
    pub fn is_0_free(&self) -> bool {
        self.chosen(Place::Kind(Kind::Open)) == OPEN_RETURNS_0
    }

    /// Returns the answer to `call`, which the process makes now.
    pub fn answer(&mut self, call: Call) -> Answer {
        let answer = match call {
            Call::Fstat(number) => self.proof(number),
            _ => Kind::of(call).map_or(Real, |kind| self.fault(kind)),
        };
        if matches!(call, Call::Open(_) | Call::Move(_) | Call::Replace(..)) && answer == Real {
            let is_0 = matches!(call, Call::Open(_))
                && self.is_0_free()
                && !self.opened.iter().any(|opened| opened.is_0);
            self.opened.push(Opened {
                identity: Real,
                is_0,
            });
        }
        if let Call::Close(number) = call
            && let Some(opened) = self.opened.get_mut(number)
        {
            opened.is_0 = false;
            opened.identity = Answer::Return(-i64::from(libc::EBADF));
        }
        self.trace.push((call, answer));
        answer
    }

    /// Returns the descriptor that was opened last.
    pub fn newest(&self) -> Number {
        self.opened.len() - 1
    }

    pub fn is_at_0(&self, number: Number) -> bool {
        self.opened[number].is_0
    }

    fn fault(&mut self, kind: Kind) -> Answer {
        let faults = kind.faults();
        let taken = self.choose(Place::Kind(kind), faults.len());
        let count = &mut self.counts[kind as usize];
        *count += 1;
        faults[taken].1(*count - 1)
    }

    /// Returns the answer to an fstat. A stranger may have taken the number just before, at
    /// one proof or at each proof from the first. It then keeps the number.
    fn proof(&mut self, number: Number) -> Answer {
        let n = self.proofs;
        self.proofs += 1;
        let Some(opened) = self.opened.get(number) else {
            return Real;
        };
        if opened.identity != Real {
            return opened.identity;
        }
        let before = self.choices.iter().find_map(|choice| match choice.place {
            Place::Proof(at) if at < n && choice.taken > 0 => Some(choice.taken),
            _ => None,
        });
        let taken = match before {
            Some(1) => 0,
            Some(always) => always,
            None => self.choose(Place::Proof(n), if n == 0 { 3 } else { 2 }),
        };
        if taken > 0 {
            self.opened[number].identity = instead(n);
        }
        self.opened[number].identity
    }
}

fn instead(n: usize) -> Answer {
    INSTEAD[n % INSTEAD.len()]
}

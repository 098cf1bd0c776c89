//! What shall go wrong, and what has been called so far.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::StoreError;

/// One storage call, as it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its place among all calls, from 1.
    pub number: u64,
    /// The method.
    pub method: &'static str,
    /// Its arguments in short.
    pub arguments: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.number, self.method, self.arguments)
    }
}

/// On which side of its effect a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The call has no effect.
    Before,
    /// The call has its effect, the answer is lost.
    After,
}

/// What the caller gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The effect is unknown.
    Unknown,
    /// No space left. A real store says so only of calls without effect.
    Full,
    /// Too many requests. A real store says so only of calls without effect.
    Throttled,
}

impl Fault {
    pub(super) fn error(self, call: &Call) -> StoreError {
        match self {
            Self::Unknown => StoreError::unknown(format!("{call} (injected)")),
            Self::Full => StoreError::full(format!("{call} (injected)")),
            Self::Throttled => StoreError::throttled(format!("{call} (injected)")),
        }
    }
}

/// What a wrapper does with one call.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Let it through.
    Pass,
    /// Fail without effect.
    FailBefore(StoreError),
    /// Make the effect, then fail.
    FailAfter(StoreError),
    /// Fail; the request itself arrives when the count has reached `at`, and, with `also_now`, now as well.
    Late { error: StoreError, at: u64, also_now: bool },
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Fail { when: When, fault: Fault },
    Crash { when: When },
    Late { after_calls: u64, also_now: bool },
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    orders: BTreeMap<u64, Order>,
    is_dead: bool,
    is_disk_full: bool,
    latency: Duration,
    latencies: BTreeMap<&'static str, Duration>,
}

/// The shared plan; clones are the same plan.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    state: Arc<Mutex<State>>,
}

impl FaultPlan {
    /// A plan without faults: it only counts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Call `number` fails once; everything after it works.
    pub fn fail_at(&self, number: u64, when: When, fault: Fault) {
        self.lock().orders.insert(number, Order::Fail { when, fault });
    }

    /// The process dies at call `number`: it and every later one fail with [`StoreError::Unknown`], without effect
    /// but for that one call's when it dies [`When::After`] it, until [`FaultPlan::revive`].
    pub fn crash_at(&self, number: u64, when: When) {
        self.lock().orders.insert(number, Order::Crash { when });
    }

    /// The answer of call `number` (a write) is lost, and the network delivers the request a second time
    /// `after_calls` calls later.
    pub fn duplicate_at(&self, number: u64, after_calls: u64) {
        self.lock().orders.insert(
            number,
            Order::Late {
                after_calls,
                also_now: true,
            },
        );
    }

    /// The request of call `number` (a write) is believed lost, and arrives `after_calls` calls later.
    pub fn delay_at(&self, number: u64, after_calls: u64) {
        self.lock().orders.insert(
            number,
            Order::Late {
                after_calls,
                also_now: false,
            },
        );
    }

    /// Ends a crash.
    pub fn revive(&self) {
        self.lock().is_dead = false;
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.lock().is_dead
    }

    /// While on, every call that needs space fails with [`StoreError::Full`], without effect.
    pub fn set_disk_full(&self, is_full: bool) {
        self.lock().is_disk_full = is_full;
    }

    /// Every call takes this much longer.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Calls of this method take this much longer, instead of what [`FaultPlan::set_latency`] says.
    pub fn set_latency_of(&self, method: &'static str, latency: Duration) {
        self.lock().latencies.insert(method, latency);
    }

    /// How many calls there have been.
    pub fn count(&self) -> u64 {
        self.lock().calls.len() as u64
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Forgets calls and faults; the next call is number 1.
    pub fn reset(&self) {
        *self.lock() = State::default();
    }

    /// Counts a call, waits as long as it takes, and says what becomes of it.
    pub(super) async fn enter(&self, method: &'static str, arguments: String, needs_space: bool) -> (Call, Verdict) {
        let (call, verdict, latency) = self.count_call(method, arguments, needs_space);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        (call, verdict)
    }

    fn count_call(&self, method: &'static str, arguments: String, needs_space: bool) -> (Call, Verdict, Duration) {
        let mut state = self.lock();
        let call = Call {
            number: state.calls.len() as u64 + 1,
            method,
            arguments,
        };
        state.calls.push(call.clone());
        let latency = state.latencies.get(method).copied().unwrap_or(state.latency);
        let verdict = state.verdict(&call, needs_space);
        (call, verdict, latency)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn verdict(&mut self, call: &Call, needs_space: bool) -> Verdict {
        if self.is_dead {
            return Verdict::FailBefore(Fault::Unknown.error(call));
        }
        if self.is_disk_full && needs_space {
            return Verdict::FailBefore(Fault::Full.error(call));
        }
        match self.orders.get(&call.number).copied() {
            None => Verdict::Pass,
            Some(Order::Fail { when, fault }) => fail(when, fault.error(call)),
            Some(Order::Crash { when }) => {
                self.is_dead = true;
                fail(when, Fault::Unknown.error(call))
            }
            Some(Order::Late { after_calls, also_now }) => Verdict::Late {
                error: Fault::Unknown.error(call),
                at: call.number + after_calls,
                also_now,
            },
        }
    }
}

fn fail(when: When, error: StoreError) -> Verdict {
    match when {
        When::Before => Verdict::FailBefore(error),
        When::After => Verdict::FailAfter(error),
    }
}

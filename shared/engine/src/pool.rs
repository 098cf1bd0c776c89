//! The bounded CPU pool: everything over about half a millisecond of CPU runs here and never on an async thread.
//!
//! At most `threads` jobs run at a time, in the order in which they came; a job that splits its work (a big scan) takes
//! the threads that are idle, and no thread is ever added, so many queries at once do not oversubscribe the machine.
//! FAISS will be bounded by the same pool: its batch calls run inside a job, one OpenMP thread each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, oneshot};

/// How many jobs may wait per thread before further ones are refused.
pub const WAITING_PER_THREAD: usize = 64;

/// Why a job gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too many jobs wait already: the service answers 503.
    #[error("{waiting} jobs wait for the cpu already")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The job panicked; the pool goes on.
    #[error("a job panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The pool could not be started, or is being dropped.
    #[error("the cpu pool is not available: {what}")]
    Unavailable {
        /// What the system said.
        what: String,
    },
}

/// A fixed number of CPU threads and a bounded queue before them.
#[derive(Debug)]
pub struct Pool {
    threads: rayon::ThreadPool,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    in_place: bool,
}

impl Pool {
    /// A pool of `threads` threads (at least one) with a queue of [`WAITING_PER_THREAD`] jobs for each.
    ///
    /// # Errors
    /// When the system refuses the threads.
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        let threads = threads.max(1);
        Self::with_queue(threads, threads * WAITING_PER_THREAD)
    }

    /// A pool with a queue of another length.
    ///
    /// # Errors
    /// When the system refuses the threads.
    pub fn with_queue(threads: usize, max_waiting: usize) -> Result<Self, PoolError> {
        let threads = threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("cpu-{number}"))
            .build()
            .map_err(|error| PoolError::Unavailable {
                what: error.to_string(),
            })?;
        Ok(Self {
            threads: pool,
            running: Arc::new(Semaphore::new(threads)),
            waiting: AtomicUsize::new(0),
            max_waiting,
            in_place: false,
        })
    }

    /// A pool of one thread whose callers block until their job is done, instead of letting other tasks run: for
    /// simulations, which must repeat exactly.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn in_place() -> Result<Self, PoolError> {
        let pool = Self::new(1)?;
        Ok(Self { in_place: true, ..pool })
    }

    /// How many threads the pool has.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// How many jobs wait for a thread now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `job` on the pool and waits for its answer without blocking. A caller that goes away while its job waits
    /// takes the job with it; a job that has started runs to its end.
    ///
    /// # Errors
    /// [`PoolError::Busy`] at once when the queue is full; [`PoolError::Panicked`] when the job panics.
    pub async fn run<T, F>(&self, job: F) -> Result<T, PoolError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let ticket = self.queue()?;
        self.start(ticket, job).await
    }

    /// Runs `job` like [`Pool::run`], but is never refused: for a step of work that was let in already (a request's
    /// next step, the indexer's few lanes), which would only have to be begun again.
    ///
    /// # Errors
    /// [`PoolError::Panicked`] when the job panics.
    pub async fn run_next<T, F>(&self, job: F) -> Result<T, PoolError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { waiting: &self.waiting };
        self.start(ticket, job).await
    }

    async fn start<T, F>(&self, ticket: Ticket<'_>, job: F) -> Result<T, PoolError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if self.in_place {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.threads.install(job)));
            return outcome.map_err(|payload| panicked(payload.as_ref()));
        }
        let permit = {
            let _ticket = ticket;
            Arc::clone(&self.running)
                .acquire_owned()
                .await
                .map_err(|error| PoolError::Unavailable {
                    what: error.to_string(),
                })?
        };
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(job));
            // The thread is free for the next job before the caller hears of this one.
            drop(permit);
            // Nobody may be waiting any more; then the answer has no reader.
            let _ = sender.send(outcome.map_err(|payload| panicked(payload.as_ref())));
        });
        receiver.await.map_err(|error| PoolError::Unavailable {
            what: error.to_string(),
        })?
    }

    /// Runs `job` inside the pool and blocks until it is done: for callers that are threads themselves (tests, command
    /// lines, code that runs on the pool already, where this is a plain call). Not bounded by the queue.
    pub fn scope<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.threads.install(job)
    }

    fn queue(&self) -> Result<Ticket<'_>, PoolError> {
        // A free thread means no waiting, whatever the bound is.
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { waiting: &self.waiting };
        if waiting >= self.max_waiting && self.running.available_permits() == 0 {
            return Err(PoolError::Busy { waiting });
        }
        Ok(ticket)
    }
}

/// One place in the queue; given back when the job starts or its caller goes away.
struct Ticket<'a> {
    waiting: &'a AtomicUsize,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> PoolError {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    PoolError::Panicked { message }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap()
    }

    #[test]
    fn answers_and_panics_come_back() {
        let pool = Pool::new(2).unwrap();
        assert_eq!(pool.threads(), 2);
        runtime().block_on(async {
            assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
            let panic = pool.run(|| -> u32 { panic!("row {}", 7) }).await;
            assert_eq!(
                panic,
                Err(PoolError::Panicked {
                    message: "row 7".to_owned()
                })
            );
            assert_eq!(pool.run(|| 1).await, Ok(1), "the pool survives a panic");
        });
        assert_eq!(pool.waiting(), 0);
    }

    #[test]
    fn in_place_a_job_is_done_before_anybody_else_runs() {
        let pool = Arc::new(Pool::in_place().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let meanwhile = tokio::spawn(async { panic!("must never run") });
            assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
            let panic = pool.run(|| -> u32 { panic!("row {}", 7) }).await;
            assert!(matches!(panic, Err(PoolError::Panicked { .. })));
            meanwhile.abort();
            let ended: Result<(), _> = meanwhile.await;
            assert!(ended.unwrap_err().is_cancelled());
        });
    }

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let pool = Arc::new(Pool::with_queue(1, 2).unwrap());
        let (open, gate) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel::<()>();
        runtime().block_on(async {
            let blocker = tokio::spawn({
                let pool = Arc::clone(&pool);
                async move {
                    pool.run(move || {
                        started.send(()).unwrap();
                        gate.recv().unwrap();
                    })
                    .await
                }
            });
            tokio::task::spawn_blocking(move || has_started.recv().unwrap())
                .await
                .unwrap();
            let waiters: Vec<_> = (0..2)
                .map(|n| {
                    let pool = Arc::clone(&pool);
                    tokio::spawn(async move { pool.run(move || n).await })
                })
                .collect();
            while pool.waiting() < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(pool.run(|| 9).await, Err(PoolError::Busy { waiting: 2 }));
            let next_step = tokio::spawn({
                let pool = Arc::clone(&pool);
                async move { pool.run_next(|| 8).await }
            });
            while pool.waiting() < 3 {
                tokio::task::yield_now().await;
            }
            open.send(()).unwrap();
            assert_eq!(next_step.await.unwrap(), Ok(8), "what was let in waits for its turn");
            blocker.await.unwrap().unwrap();
            for (n, waiter) in waiters.into_iter().enumerate() {
                assert_eq!(waiter.await.unwrap(), Ok(n));
            }
            assert_eq!(pool.run(|| 9).await, Ok(9));
        });
    }

    #[test]
    fn a_caller_that_goes_away_leaves_the_queue() {
        let pool = Arc::new(Pool::with_queue(1, 8).unwrap());
        let (open, gate) = mpsc::channel::<()>();
        runtime().block_on(async {
            let blocker = tokio::spawn({
                let pool = Arc::clone(&pool);
                async move { pool.run(move || gate.recv().unwrap()).await }
            });
            while pool.running.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let waiter = tokio::spawn({
                let pool = Arc::clone(&pool);
                async move { pool.run(|| panic!("must never run")).await }
            });
            while pool.waiting() < 1 {
                tokio::task::yield_now().await;
            }
            waiter.abort();
            assert!(waiter.await.unwrap_err().is_cancelled());
            assert_eq!(pool.waiting(), 0);
            open.send(()).unwrap();
            blocker.await.unwrap().unwrap();
        });
    }
}

//! One load per object at a time: whoever asks for an object that is being loaded waits for that load.
//!
//! A load is a task of its own. It goes on when the caller who began it loses interest, so nobody who waits is
//! stranded, and what was fetched is kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tracing::Instrument;

use super::form::FileName;
use crate::error::StoreError;

/// Shared by all who wait.
pub(super) type Answer = Result<Bytes, Arc<StoreError>>;

/// Whether the object is still wanted when its load ends: it may have been deleted meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Unwanted(Arc<AtomicBool>);

impl Unwanted {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

struct Flight {
    answer: Shared<BoxFuture<'static, Answer>>,
    unwanted: Unwanted,
}

/// The loads in flight.
#[derive(Clone, Default)]
pub(super) struct Flights {
    running: Arc<Mutex<HashMap<FileName, Flight>>>,
}

impl std::fmt::Debug for Flights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// Ends a flight when its task ends, however it ends.
struct Landing {
    flights: Flights,
    file: FileName,
    unwanted: Unwanted,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut running = self.flights.lock();
        let is_ours = |flight: &Flight| flight.unwanted.is_same(&self.unwanted);
        if running.get(&self.file).is_some_and(is_ours) {
            running.remove(&self.file);
        }
    }
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<FileName, Flight>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the object's load, which `load` begins when none is in flight. Also whether another caller began it.
    pub(super) async fn join<F>(&self, file: &FileName, load: impl FnOnce(Unwanted) -> F) -> (Answer, bool)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (answer, joined) = self.board(file, load);
        (answer.await, joined)
    }

    fn board<F>(&self, file: &FileName, load: impl FnOnce(Unwanted) -> F) -> (Shared<BoxFuture<'static, Answer>>, bool)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut running = self.lock();
        if let Some(flight) = running.get(file) {
            return (flight.answer.clone(), true);
        }
        let unwanted = Unwanted::default();
        let landing = Landing {
            flights: self.clone(),
            file: file.clone(),
            unwanted: unwanted.clone(),
        };
        let load = load(unwanted.clone());
        let flying = async move {
            let _landing = landing;
            load.await
        };
        // Begun when it is first waited for, which is at once: not while the flights are locked, since a runtime that
        // shuts down drops a new task, and the landing with it, on the spot.
        let answer = async move {
            let ended = tokio::spawn(flying.in_current_span()).await;
            ended.unwrap_or_else(|error| Err(Arc::new(StoreError::other_because("loading an object", error))))
        };
        let answer = answer.boxed().shared();
        let flight = Flight {
            answer: answer.clone(),
            unwanted,
        };
        running.insert(file.clone(), flight);
        (answer, false)
    }

    /// Lets go of a load: those who wait get its answer, the next one asks anew, and nothing of it is kept.
    pub(super) fn detach(&self, file: &FileName) {
        if let Some(flight) = self.lock().remove(file) {
            flight.unwanted.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;
    use crate::paths::ObjectName;

    fn file() -> FileName {
        FileName::of(&ObjectName::from_stored("v1/a")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_first_caller_strands_nobody() {
        let flights = Flights::default();
        let loads = Arc::new(AtomicU32::new(0));
        let load = |_: Unwanted| {
            let loads = Arc::clone(&loads);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                loads.fetch_add(1, Ordering::SeqCst);
                Ok(Bytes::from_static(b"x"))
            }
        };
        let first = tokio::time::timeout(Duration::from_millis(1), flights.join(&file(), load)).await;
        assert!(first.is_err());
        let (answer, joined) = flights.join(&file(), load).await;
        assert_eq!((answer.unwrap(), joined), (Bytes::from_static(b"x"), true));
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        let (_, joined) = flights.join(&file(), load).await;
        assert!(!joined, "a load that ended is not joined");
    }

    #[tokio::test]
    async fn a_panic_ends_the_load_only() {
        let flights = Flights::default();
        let (answer, _) = flights.join(&file(), |_| async { panic!("planned") }).await;
        assert!(matches!(*answer.unwrap_err(), StoreError::Other { .. }));
        let (answer, joined) = flights.join(&file(), |_| async { Ok(Bytes::new()) }).await;
        assert!(answer.is_ok() && !joined);
    }

    #[tokio::test(start_paused = true)]
    async fn a_detached_load_is_not_joined_and_knows_it() {
        let flights = Flights::default();
        let load = |unwanted: Unwanted| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Bytes::from(format!("unwanted: {}", unwanted.is_set())))
        };
        let one = file();
        let (old, new) = tokio::join!(flights.join(&one, load), async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            flights.detach(&one);
            flights.join(&one, load).await
        });
        assert_eq!(old.0.unwrap(), "unwanted: true");
        assert!(!new.1);
        assert_eq!(new.0.unwrap(), "unwanted: false");
    }
}

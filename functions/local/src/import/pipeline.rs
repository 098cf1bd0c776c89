//! From the reader to the server: a thread reads, checks and serialises; a bounded channel holds what is ready; a few
//! requests are in flight. What is acknowledged without a gap from the start is done, and is remembered.

use std::collections::BTreeMap;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use model::Operation;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::batch::{Batch, BatchBuilder};
use super::duplicates::{Earlier, RecentKeys};
use super::error::{ImportError, StopError};
use super::meter::{Meter, Summary};
use super::progress_file::ProgressFile;
use super::record::{Record, RecordSource, Rules, SourceError};
use crate::client::{Client, ClientError, Refusal};

/// Between two writes of the progress file.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// How long requests in flight may take to finish after an interruption.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// What the reader thread owns.
pub(crate) struct Reader {
    pub(crate) source: Box<dyn RecordSource>,
    pub(crate) rules: Rules,
    pub(crate) builder: BatchBuilder,
}

/// What the sending side owns.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) client: Client,
    pub(crate) progress: ProgressFile,
    pub(crate) concurrency: u16,
    pub(crate) meter: Meter,
}

/// How an import ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Finished(Summary),
    Interrupted { done: u64 },
    Stopped { error: StopError, done: u64 },
}

/// Done when the user or the system wants the process to end.
pub(crate) async fn interruption() {
    use tokio::signal::unix::{SignalKind, signal};
    // Without a handler the process just ends, which loses nothing either.
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        },
        _ => future::pending().await,
    }
}

type Ready = Result<Batch, SourceError>;

impl Reader {
    /// Sends batches until the source ends, fails, or nobody listens any more.
    fn run(mut self, ready: &Sender<Ready>, acknowledged: Arc<AtomicU64>) {
        let mut recent = RecentKeys::new(acknowledged);
        if let Err(error) = self.read(ready, &mut recent) {
            // What comes before the fault is sent, so that the report can say how far it got.
            let _ = self.flush(ready);
            let _ = ready.blocking_send(Err(error));
        }
    }

    fn read(&mut self, ready: &Sender<Ready>, recent: &mut RecentKeys) -> Result<(), SourceError> {
        let mut record = Record::default();
        while self.source.next(&mut record)? {
            self.rules.check(&record)?;
            match recent.remember(&record.key, record.row, self.builder.begin()) {
                Earlier::Done => {}
                Earlier::InFlight => self.builder.send_last(),
                Earlier::SameBatch => {
                    if !self.flush_before(record.row, ready) {
                        return Ok(());
                    }
                    self.builder.send_last();
                }
            }
            self.builder.push(&record);
            if self.builder.is_full() && !self.flush_before(record.row + 1, ready) {
                return Ok(());
            }
        }
        self.flush(ready);
        Ok(())
    }

    fn flush(&mut self, ready: &Sender<Ready>) -> bool {
        match self.builder.last_row() {
            Some(row) => self.flush_before(row + 1, ready),
            None => true,
        }
    }

    /// False when nobody listens any more.
    fn flush_before(&mut self, end: u64, ready: &Sender<Ready>) -> bool {
        self.builder.is_empty()
            || ready
                .blocking_send(Ok(self.builder.finish(end, self.source.position())))
                .is_ok()
    }
}

/// An answered batch.
type Answered = (Batch, Result<Bytes, ClientError>);

struct InFlight {
    /// Ends of batches that are acknowledged, by their beginnings, while something before them is not.
    gaps: BTreeMap<u64, u64>,
    /// All rows before this one are in the index.
    done: u64,
    shared: Arc<AtomicU64>,
    /// The first thing that went wrong.
    stop: Option<StopError>,
}

impl Pipeline {
    /// Runs until everything is in the index, something is wrong, or `interrupted` is done.
    pub(crate) async fn run(
        mut self,
        reader: Reader,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Outcome, ImportError> {
        let done = reader.builder.begin();
        let shared = Arc::new(AtomicU64::new(done));
        let (sender, ready) = mpsc::channel(usize::from(self.concurrency));
        let acknowledged = Arc::clone(&shared);
        let thread = tokio::task::spawn_blocking(move || reader.run(&sender, acknowledged));
        let mut state = InFlight {
            gaps: BTreeMap::new(),
            done,
            shared,
            stop: None,
        };
        let finished = self.send_all(ready, &mut state, interrupted).await;
        if !finished || state.stop.is_some() {
            self.progress.save(state.done)?;
            let summary = self.meter.finish();
            tracing::debug!(rows = summary.rows, "stopped early");
            return Ok(match state.stop {
                Some(error) => Outcome::Stopped {
                    error,
                    done: state.done,
                },
                None => Outcome::Interrupted { done: state.done },
            });
        }
        if let Err(error) = thread.await {
            return Err(ImportError::Target(format!("the reader failed: {error}")));
        }
        self.progress.remove()?;
        Ok(Outcome::Finished(self.meter.finish()))
    }

    /// False when interrupted.
    async fn send_all(
        &mut self,
        mut ready: Receiver<Ready>,
        state: &mut InFlight,
        interrupted: impl Future<Output = ()>,
    ) -> bool {
        let client = &self.client;
        let mut requests: FuturesUnordered<BoxFuture<'_, Answered>> = FuturesUnordered::new();
        let mut interrupted = std::pin::pin!(interrupted);
        let mut save = interval(SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A batch that waits for all requests before it.
        let mut waiting: Option<Batch> = None;
        let mut reading = true;
        loop {
            if let Some(batch) = waiting.take_if(|_| requests.is_empty()) {
                requests.push(Box::pin(put(client, batch)));
            }
            if requests.is_empty() && !reading {
                return true;
            }
            let room = requests.len() < usize::from(self.concurrency) && waiting.is_none();
            tokio::select! {
                biased;
                () = &mut interrupted => {
                    let limit = Instant::now() + LAST_ANSWERS;
                    while let Ok(Some(answered)) = timeout_at(limit, requests.next()).await {
                        state.answered(answered, &mut self.meter);
                    }
                    return false;
                }
                Some(answered) = requests.next() => {
                    state.answered(answered, &mut self.meter);
                    if state.stop.is_some() {
                        // The others finish, nothing new begins.
                        (reading, waiting) = (false, None);
                        ready.close();
                    }
                }
                _ = save.tick() => {
                    if let Err(error) = self.progress.save(state.done) {
                        state.stop.get_or_insert(StopError::Progress(error));
                        (reading, waiting) = (false, None);
                        ready.close();
                    }
                }
                next = ready.recv(), if reading && room => match next {
                    Some(Ok(batch)) if batch.last && !requests.is_empty() => waiting = Some(batch),
                    Some(Ok(batch)) => requests.push(Box::pin(put(client, batch))),
                    Some(Err(error)) => {
                        state.stop.get_or_insert(StopError::Source(error));
                        reading = false;
                    }
                    None => reading = false,
                },
            }
        }
    }
}

async fn put(client: &Client, batch: Batch) -> Answered {
    let answer = client.call(Operation::PutVectors, batch.body.clone()).await;
    (batch, answer)
}

impl InFlight {
    fn answered(&mut self, (batch, answer): Answered, meter: &mut Meter) {
        if let Err(error) = answer {
            let row = error.refusal().and_then(|refusal| row_of(refusal, &batch));
            self.stop.get_or_insert(StopError::Request { row, error });
            return;
        }
        self.gaps.insert(batch.begin, batch.end);
        while let Some(end) = self.gaps.remove(&self.done) {
            self.done = end;
        }
        self.shared.store(self.done, Ordering::Release);
        meter.advance(batch.rows.len() as u64, batch.position);
    }
}

/// The row that a refusal is about: by the path of the record (`/vectors/3/key`, `vectors[3].metadata`), else by the
/// key in the sentence `Invalid record for key 'K': ...`.
fn row_of(refusal: &Refusal, batch: &Batch) -> Option<u64> {
    let index_in = |path: &str| {
        let rest = path
            .trim_start_matches('/')
            .strip_prefix("vectors")?
            .trim_start_matches(['/', '[']);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    };
    let by_path = refusal.fields.iter().find_map(|field| index_in(&field.path));
    let position = by_path.or_else(|| {
        let rest = refusal.message.split_once("for key '")?.1;
        let body = wire::parse_put_vectors(&batch.body).ok()?;
        // The longest key that fits: a key may itself hold a quote.
        let fits = |key: &str| rest.strip_prefix(key).is_some_and(|rest| rest.starts_with('\''));
        let fitting = body.records.iter().enumerate().filter(|(_, record)| fits(&record.key));
        fitting
            .max_by_key(|(_, record)| record.key.len())
            .map(|(position, _)| position)
    })?;
    batch.rows.get(position).copied()
}

//! An object store with faults.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::plan::{FaultPlan, Verdict};
use crate::error::StoreError;
use crate::objects::{ETag, ObjectMeta, ObjectStore, Reach};
use crate::paths::ObjectName;

/// Passes calls on to another store as a [`FaultPlan`] says.
#[derive(Debug, Clone)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: FaultPlan,
    /// Requests that are still on their way, and the call at which they arrive.
    late: Arc<Mutex<Vec<(u64, Write)>>>,
}

/// A write that can arrive a second time.
#[derive(Debug, Clone)]
enum Write {
    Put(ObjectName, Bytes),
    Create(ObjectName, Bytes),
    Replace(ObjectName, Bytes, ETag),
    Delete(Vec<ObjectName>),
}

impl FaultStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            late: Arc::default(),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// Delivers every request that is still on its way.
    pub async fn deliver_late(&self) {
        self.deliver(u64::MAX).await;
    }

    async fn deliver(&self, until: u64) {
        let due: Vec<Write> = {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            let (due, waiting) = late.drain(..).partition(|(at, _)| *at <= until);
            *late = waiting;
            due.into_iter().map(|(_, write): (u64, Write)| write).collect()
        };
        for write in due {
            // Nobody waits for this answer any more.
            let _ = self.perform(write).await;
        }
    }

    async fn read<T>(
        &self,
        method: &'static str,
        arguments: String,
        effect: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let (call, verdict) = self.plan.enter(method, arguments, false).await;
        self.deliver(call.number).await;
        match verdict {
            Verdict::Pass => effect.await,
            Verdict::FailBefore(error) | Verdict::FailAfter(error) | Verdict::Late { error, .. } => Err(error),
        }
    }

    async fn write(&self, write: Write) -> Result<Option<ETag>, StoreError> {
        let (method, arguments) = write.describe();
        let needs_space = !matches!(write, Write::Delete(_));
        let (call, verdict) = self.plan.enter(method, arguments, needs_space).await;
        self.deliver(call.number).await;
        match verdict {
            Verdict::Pass => self.perform(write).await,
            Verdict::FailBefore(error) => Err(error),
            Verdict::FailAfter(error) => {
                let _ = self.perform(write).await;
                Err(error)
            }
            Verdict::Late { error, at, also_now } => {
                self.late
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((at, write.clone()));
                if also_now {
                    let _ = self.perform(write).await;
                }
                Err(error)
            }
        }
    }

    async fn perform(&self, write: Write) -> Result<Option<ETag>, StoreError> {
        match write {
            Write::Put(name, bytes) => self.inner.put(&name, bytes).await.map(|()| None),
            Write::Create(name, bytes) => self.inner.create(&name, bytes).await.map(Some),
            Write::Replace(name, bytes, expected) => self.inner.replace(&name, bytes, &expected).await.map(Some),
            Write::Delete(names) => self.inner.delete(&names).await.map(|()| None),
        }
    }
}

impl Write {
    fn describe(&self) -> (&'static str, String) {
        match self {
            Self::Put(name, bytes) => ("put", format!("{name} ({} bytes)", bytes.len())),
            Self::Create(name, bytes) => ("create", format!("{name} ({} bytes)", bytes.len())),
            Self::Replace(name, bytes, _) => ("replace", format!("{name} ({} bytes)", bytes.len())),
            Self::Delete(names) => {
                let names: Vec<&str> = names.iter().map(ObjectName::as_str).collect();
                ("delete", names.join(" "))
            }
        }
    }
}

fn written(etag: Option<ETag>, name: &ObjectName) -> Result<ETag, StoreError> {
    etag.ok_or_else(|| StoreError::other(format!("writing {name}")))
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.write(Write::Put(name.clone(), bytes)).await.map(|_| ())
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.read("get", name.to_string(), self.inner.get(name)).await
    }

    fn reach(&self, name: &ObjectName, size: u64) -> Reach {
        self.inner.reach(name, size)
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let arguments = format!("{name} {}..{}", range.start, range.end);
        self.read("get_range", arguments, self.inner.get_range(name, range))
            .await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.read("list", prefix.to_owned(), self.inner.list(prefix, after, limit))
            .await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.write(Write::Delete(names.to_vec())).await.map(|_| ())
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.read("read_tagged", name.to_string(), self.inner.read_tagged(name))
            .await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        written(self.write(Write::Create(name.clone(), bytes)).await?, name)
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        written(
            self.write(Write::Replace(name.clone(), bytes, expected.clone()))
                .await?,
            name,
        )
    }

    async fn invalidate(&self, names: &[ObjectName]) -> bool {
        self.inner.invalidate(names).await
    }
}

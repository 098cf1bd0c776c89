//! The commit that folds and compactions share, and what a failed one means (DESIGN section 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use format::manifest::{DeadRef, Manifest};
use format::record::{IndexRecord, ManifestRef};
use model::{DeadId, IndexUuid, ManifestId, ShardId, Ulid};
use roaring::RoaringBitmap;
use storage::{Commit, IndexPath, Publish, StoreError, paths};

use super::change::{self, Change};
use super::compact::Due;
use super::{IndexingError, Outcome};
use crate::Context;
use crate::query::{objects, shards};

/// Attempts at one commit before the work is given up; each failure means that somebody else made progress.
const ATTEMPTS: usize = 12;

/// One change on its way to being committed.
pub(super) struct Publisher<'a> {
    ctx: &'a Arc<Context>,
    path: &'a IndexPath,
    uuid: IndexUuid,
    change: &'a Change,
    /// The manifest that the work was read from.
    base: ManifestId,
    /// Every manifest of ours that may have been committed.
    tried: Vec<ManifestId>,
    /// Shards searched for the fold's keys so far.
    found: BTreeMap<ShardId, RoaringBitmap>,
}

/// A manifest that is stored and may be committed.
struct Prepared {
    publish: Publish,
    manifest: Manifest,
}

enum Verdict {
    Ended(Outcome),
    Again(Box<IndexRecord>),
}

impl<'a> Publisher<'a> {
    pub(super) fn new(
        ctx: &'a Arc<Context>,
        path: &'a IndexPath,
        uuid: IndexUuid,
        base: ManifestId,
        change: &'a Change,
    ) -> Self {
        Self {
            ctx,
            path,
            uuid,
            change,
            base,
            tried: Vec::new(),
            found: BTreeMap::new(),
        }
    }

    /// Commits the change on `record`'s manifest or on a newer one that it can be rebased on.
    pub(super) async fn run(mut self, record: IndexRecord) -> Result<Outcome, IndexingError> {
        let mut record = record;
        for _ in 0..ATTEMPTS {
            let manifest = objects::manifest(self.ctx, &record).await?;
            if let Err(reason) = change::check(self.change, &record, &manifest) {
                tracing::debug!(?reason, "indexing work is obsolete");
                return Ok(Outcome::Dropped);
            }
            let prepared = self.prepare(&record, &manifest).await?;
            self.tried.push(prepared.manifest.id);
            match self.commit(&record, prepared).await? {
                Verdict::Ended(outcome) => return Ok(outcome),
                Verdict::Again(current) => record = *current,
            }
        }
        Err(IndexingError::Contended(ATTEMPTS))
    }

    /// Writes the deletion vectors and the manifest; nothing refers to them yet.
    async fn prepare(&mut self, record: &IndexRecord, manifest: &Manifest) -> Result<Prepared, IndexingError> {
        self.search_new_shards(manifest).await?;
        let current = current_dead(self.ctx, manifest).await?;
        let dead = change::dead_rows(self.change, &current, &self.found);
        let mut next = manifest.child(ManifestId(self.ctx.ids.ulid(record.floor)));
        let is_input = |id: ShardId| self.change.inputs.iter().any(|input| input.id == id);
        next.shards.retain(|shard| !is_input(shard.id));
        next.dead.retain(|shard, _| !is_input(*shard));
        let mut oldest_new = next.id.0;
        if let Some(output) = &self.change.output {
            oldest_new = oldest_new.min(output.id.0);
            next.shards.push(output.clone());
        }
        for (shard, rows) in dead {
            if current.get(&shard) == Some(&rows) {
                continue;
            }
            let reference = self.store_dead(record, shard, rows).await?;
            if let DeadRef::Object { id, .. } = &reference {
                oldest_new = oldest_new.min(id.0);
            }
            next.dead.insert(shard, reference);
        }
        if let Some(train) = self.change.train {
            oldest_new = oldest_new.min(train.id.0);
            next.train = Some(train);
        }
        next.note_folded(self.change.fold.iter().map(|entry| entry.id));
        next.quarantined.extend(&self.change.quarantined);
        let reference = ManifestRef {
            version: next.version,
            id: next.id,
        };
        let name = paths::manifest(self.uuid, &reference);
        let bytes = next.encode()?;
        self.ctx.ports.objects.put(&name, bytes).await?;
        let publish = self.publish(record, reference, oldest_new, &next);
        Ok(Prepared {
            publish,
            manifest: next,
        })
    }

    fn publish(&self, record: &IndexRecord, new: ManifestRef, oldest_new: Ulid, next: &Manifest) -> Publish {
        let fold = self.change.fold.len();
        let takes_all = fold == record.wal.len();
        Publish {
            uuid: self.uuid,
            old: record.manifest,
            new,
            fold,
            fold_kib: self.change.fold.iter().map(|entry| u64::from(entry.kib)).sum(),
            oldest_new,
            // The mark goes only with the last of the work, and only if the catalog agrees that it is the last.
            clear_dirty: takes_all && super::compact::due(self.ctx, next, false) == Due::Never,
        }
    }

    async fn commit(&self, record: &IndexRecord, prepared: Prepared) -> Result<Verdict, IndexingError> {
        let catalog = &self.ctx.ports.catalog;
        let mut publish = prepared.publish;
        for _ in 0..ATTEMPTS {
            let current = match catalog.publish(self.path, &publish).await {
                Ok(Commit::Done) => return Ok(Verdict::Ended(self.committed())),
                Ok(Commit::Refused(current)) => current.map(|current| *current),
                Err(StoreError::Unknown { .. } | StoreError::Conflict { .. }) => catalog.read_record(self.path).await?,
                Err(error) => return Err(error.into()),
            };
            let Some(current) = current.filter(|current| current.uuid == self.uuid) else {
                return Ok(Verdict::Ended(Outcome::Gone));
            };
            if current.manifest != record.manifest {
                return self.judge(current).await;
            }
            if current.floor >= publish.oldest_new {
                // Our objects may be on a collector's list already: they must not be introduced any more (I4).
                return Ok(Verdict::Ended(Outcome::Dropped));
            }
            // Same manifest: either nothing happened, or new entries joined the tail and the mark must stay.
            publish.clear_dirty = publish.clear_dirty && current.wal.len() == publish.fold;
        }
        Err(IndexingError::Contended(ATTEMPTS))
    }

    /// Another manifest is current: is it ours, a descendant of ours, or one to rebase on?
    async fn judge(&self, current: IndexRecord) -> Result<Verdict, IndexingError> {
        let manifest = objects::manifest(self.ctx, &current).await?;
        // I2: an own commit whose answer was lost must be recognised, or the fold would be done twice.
        if self.tried.iter().any(|id| manifest.descends_from(*id)) {
            return Ok(Verdict::Ended(self.committed()));
        }
        if !reaches_back_to(&manifest, self.base) {
            return Ok(Verdict::Ended(Outcome::Dropped));
        }
        Ok(Verdict::Again(Box::new(current)))
    }

    fn committed(&self) -> Outcome {
        let rows = self.change.output.as_ref().map_or(0, |output| u64::from(output.rows));
        Outcome::Committed { rows }
    }

    /// I3: older rows of the fold's keys are dead in *every* shard of the manifest, also in those that appeared
    /// since the fold was begun.
    async fn search_new_shards(&mut self, manifest: &Manifest) -> Result<(), IndexingError> {
        if self.change.keys.is_empty() {
            return Ok(());
        }
        // A shard that a compaction has taken since is never named again; its rows are searched for in the output.
        self.found.retain(|shard, _| manifest.shard(*shard).is_some());
        for entry in &manifest.shards {
            let is_input = self.change.inputs.iter().any(|input| input.id == entry.id);
            if is_input || self.found.contains_key(&entry.id) {
                continue;
            }
            let shard = shards::shard(self.ctx, manifest.index, entry).await?;
            let rows = super::fold::rows_of_keys(&shard, entry, &self.change.keys);
            self.found.insert(entry.id, rows);
        }
        Ok(())
    }

    async fn store_dead(
        &self,
        record: &IndexRecord,
        shard: ShardId,
        rows: RoaringBitmap,
    ) -> Result<DeadRef, IndexingError> {
        if DeadRef::is_small(&rows) {
            return Ok(DeadRef::Inline(rows));
        }
        let id = DeadId(self.ctx.ids.ulid(record.floor));
        let name = paths::dead(self.uuid, shard, id);
        let bytes = format::encode_dead(&rows)?;
        let reference = DeadRef::object(id, &rows, &bytes);
        self.ctx.ports.objects.put(&name, bytes).await?;
        Ok(reference)
    }
}

/// Does the manifest remember `base`, or everything since before the first manifest?
fn reaches_back_to(manifest: &Manifest, base: ManifestId) -> bool {
    let first = ManifestId(Ulid::NIL);
    if base == first {
        let ancestors = manifest.version.0.saturating_sub(1);
        return manifest.parents.len() as u64 == ancestors;
    }
    manifest.descends_from(base)
}

/// Every deletion vector of the manifest.
async fn current_dead(ctx: &Context, manifest: &Manifest) -> Result<BTreeMap<ShardId, RoaringBitmap>, IndexingError> {
    let mut dead = BTreeMap::new();
    for (shard, reference) in &manifest.dead {
        let rows = objects::dead(ctx, manifest.index, *shard, Some(reference)).await?;
        dead.insert(*shard, rows.as_ref().clone());
    }
    Ok(dead)
}

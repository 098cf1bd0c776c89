//! The commits on one index record: the conditions of [`conditions`](crate::conditions) as expressions, each sent
//! once. What a refusal means is read from the record that comes back with it.

use aws_sdk_dynamodb::types::AttributeValue;
use format::{IndexRecord, Lease, ManifestRef};
use model::{IndexUuid, Ulid};

use super::DynamoCatalog;
use super::item;
use super::request::{Update, Updated};
use super::schema::{self, number, text};
use crate::catalog::{Append, ClearDirty, Commit, IndexPath, Publish, SetLease};
use crate::conditions::{self, MAX_TAIL_ENTRIES, MAX_TAIL_KIB};
use crate::error::StoreError;

impl DynamoCatalog {
    pub(super) async fn read_record_item(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        let stored = self.read_item(schema::record_key(path), &of(path)).await?;
        stored.map(|stored| item::to_record(path, &stored)).transpose()
    }

    pub(super) async fn commit_append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        let mut values = vec![
            (":uuid", text(append.uuid)),
            (":base", number(append.base)),
            (":id", item::ulid(append.entry.id.0)),
            (":entry", item::entry(&append.entry)),
            (":entries", AttributeValue::L(vec![item::entry(&append.entry)])),
            (":kib", number(append.entry.kib)),
            (":now", number(append.now_ms)),
            (":most", number(MAX_TAIL_ENTRIES)),
            (":most_kib", number(MAX_TAIL_KIB)),
        ];
        // I2: `wal_base`; I4: `floor`.
        let mut condition = "#uuid = :uuid AND #wal_base = :base AND #floor < :id AND NOT contains(#wal, :entry) \
            AND size(#wal) < :most AND #tail_kib < :most_kib"
            .to_owned();
        if let Some(end) = append.end {
            // I1: the entry gets this sequence number, or none.
            condition += " AND size(#wal) = :length";
            values.push((":length", number(i128::from(end) - i128::from(append.base))));
        }
        let update = Update {
            key: schema::record_key(path),
            change: "SET #wal = list_append(#wal, :entries), #tail_kib = #tail_kib + :kib, \
                #dirty_since = if_not_exists(#dirty_since, :now)"
                .to_owned(),
            condition,
            values,
        };
        self.commit(path, update, |record| conditions::is_appended(record, append))
            .await
    }

    pub(super) async fn commit_publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        let mut values = vec![
            (":uuid", text(publish.uuid)),
            (":new", item::manifest_bytes(&publish.new)),
            (":oldest", item::ulid(publish.oldest_new)),
        ];
        let mut condition = format!(
            "#uuid = :uuid AND {} AND #floor < :oldest",
            manifest_is(publish.old.as_ref(), &mut values)
        );
        let mut change = "SET #manifest = :new".to_owned();
        // Descending: servers that remove one after the other would meet shifted positions.
        let mut removed: Vec<String> = (0..publish.fold).rev().map(|n| format!("#wal[{n}]")).collect();
        if publish.fold > 0 {
            change += ", #wal_base = #wal_base + :fold, #tail_kib = #tail_kib - :fold_kib";
            values.push((":fold", number(publish.fold)));
            values.push((":fold_kib", number(publish.fold_kib)));
            condition += " AND size(#wal) >= :fold";
        }
        if publish.clear_dirty {
            removed.push("#dirty_since".to_owned());
            condition += " AND size(#wal) = :length";
            values.push((":length", number(publish.fold)));
        }
        if !removed.is_empty() {
            change += &format!(" REMOVE {}", removed.join(", "));
        }
        let update = Update {
            key: schema::record_key(path),
            change,
            condition,
            values,
        };
        let is_done = |record: &IndexRecord| record.uuid == publish.uuid && record.manifest == Some(publish.new);
        self.commit(path, update, is_done).await
    }

    pub(super) async fn commit_clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        let mut values = vec![(":uuid", text(clear.uuid)), (":none", number(0))];
        let manifest = manifest_is(clear.manifest.as_ref(), &mut values);
        let update = Update {
            key: schema::record_key(path),
            change: "REMOVE #dirty_since".to_owned(),
            condition: format!("#uuid = :uuid AND {manifest} AND size(#wal) = :none"),
            values,
        };
        self.commit(path, update, |_| false).await
    }

    pub(super) async fn commit_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        let update = Update {
            key: schema::record_key(path),
            change: "SET #floor = :floor".to_owned(),
            condition: "#uuid = :uuid AND #floor < :floor".to_owned(),
            values: vec![(":uuid", text(uuid)), (":floor", item::ulid(floor))],
        };
        let stored = match self.update(update, &of(path)).await? {
            Updated::Done(stored) | Updated::Refused(Some(stored)) => stored,
            Updated::Refused(None) => return Ok(None),
        };
        // A floor that was as high already is as good.
        let record = item::to_record(path, &stored)?;
        Ok((record.uuid == uuid).then_some(record))
    }

    pub(super) async fn commit_lease(&self, path: &IndexPath, set: &SetLease) -> Result<Commit, StoreError> {
        let wanted = conditions::wanted_lease(set);
        if conditions::is_held_by_another(set.expected.as_ref(), set) {
            // The lease that was read forbids it, whatever the record says now.
            let record = self.read_record_item(path).await?;
            return Ok(match record {
                Some(record) if record.uuid == set.uuid && record.lease == Some(wanted) => Commit::Done,
                record => Commit::Refused(record.map(Box::new)),
            });
        }
        let mut values = vec![
            (":uuid", text(set.uuid)),
            (":holder", text(&wanted.holder)),
            (":until", number(wanted.until_ms)),
            (":attempts", number(wanted.attempts)),
            (":retry_at", number(wanted.retry_at_ms)),
        ];
        let lease = lease_is(set.expected.as_ref(), &mut values);
        let update = Update {
            key: schema::record_key(path),
            change: "SET #lease_holder = :holder, #lease_until = :until, #lease_attempts = :attempts, \
                #retry_at = :retry_at"
                .to_owned(),
            condition: format!("#uuid = :uuid AND {lease}"),
            values,
        };
        let is_done = |record: &IndexRecord| record.uuid == set.uuid && record.lease.as_ref() == Some(&wanted);
        self.commit(path, update, is_done).await
    }

    /// Sends an update; one that is refused because it `is_done` already is a success.
    async fn commit(
        &self,
        path: &IndexPath,
        update: Update,
        is_done: impl Fn(&IndexRecord) -> bool,
    ) -> Result<Commit, StoreError> {
        let stored = match self.update(update, &of(path)).await? {
            Updated::Done(_) => return Ok(Commit::Done),
            Updated::Refused(None) => return Ok(Commit::Refused(None)),
            Updated::Refused(Some(stored)) => stored,
        };
        let record = item::to_record(path, &stored)?;
        if is_done(&record) {
            return Ok(Commit::Done);
        }
        Ok(Commit::Refused(Some(Box::new(record))))
    }
}

fn of(path: &IndexPath) -> String {
    format!("the record of {}/{}", path.bucket, path.index)
}

fn manifest_is(manifest: Option<&ManifestRef>, values: &mut Vec<(&'static str, AttributeValue)>) -> &'static str {
    match manifest {
        Some(manifest) => {
            values.push((":old", item::manifest_bytes(manifest)));
            "#manifest = :old"
        }
        None => "attribute_not_exists(#manifest)",
    }
}

fn lease_is(lease: Option<&Lease>, values: &mut Vec<(&'static str, AttributeValue)>) -> &'static str {
    let Some(lease) = lease else {
        return "attribute_not_exists(#lease_holder)";
    };
    values.push((":old_holder", text(&lease.holder)));
    values.push((":old_until", number(lease.until_ms)));
    values.push((":old_attempts", number(lease.attempts)));
    values.push((":old_retry_at", number(lease.retry_at_ms)));
    "#lease_holder = :old_holder AND #lease_until = :old_until AND #lease_attempts = :old_attempts \
        AND #retry_at = :old_retry_at"
}

//! Keys and attributes of the table, as `shared/format/README.md` specifies them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use model::{BucketName, BucketUuid, IndexName, IndexUuid, OwnerUuid};

use crate::catalog::{Attachment, IndexPath};

/// One item, or the attributes that make its key.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";

pub(super) const STORE: &str = "STORE";
pub(super) const BUCKETS: &str = "ROOT";
pub(super) const DELETED_INDEXES: &str = "DELETED#INDEX";
pub(super) const DELETED_BUCKETS: &str = "DELETED#BUCKET";
const NAMES: &str = "B#";
const RECORDS: &str = "R#";
const ATTACHMENTS: &str = "A#";
const RECORD: &str = "record";

pub(super) const ATTEMPTS: &str = "lease_attempts";
pub(super) const BUCKET: &str = "bucket";
pub(super) const BUCKET_UUID: &str = "bucket_uuid";
pub(super) const CONFIG: &str = "config";
pub(super) const CREATED: &str = "created";
pub(super) const DELETED: &str = "deleted";
pub(super) const DIRTY_SINCE: &str = "dirty_since";
pub(super) const ENCRYPTION: &str = "encryption";
pub(super) const FLOOR: &str = "floor";
pub(super) const HOLDER: &str = "lease_holder";
pub(super) const ID: &str = "id";
pub(super) const INDEX: &str = "index";
pub(super) const INDEX_COUNT: &str = "index_count";
pub(super) const MANIFEST: &str = "manifest";
pub(super) const RETRY_AT: &str = "retry_at";
pub(super) const REV: &str = "rev";
pub(super) const SCHEMA: &str = "schema";
pub(super) const TAIL_KIB: &str = "tail_kib";
pub(super) const TEXT: &str = "text";
pub(super) const UNTIL: &str = "lease_until";
pub(super) const UUID: &str = "uuid";
pub(super) const WAL: &str = "wal";
pub(super) const WAL_BASE: &str = "wal_base";

/// The sparse index of records with work.
pub(super) const DIRTY: &str = "dirty";

pub(super) fn text(text: impl ToString) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

pub(super) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn bytes(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes))
}

pub(super) fn key(pk: impl ToString, sk: impl ToString) -> Item {
    Item::from([(PK.to_owned(), text(pk)), (SK.to_owned(), text(sk))])
}

pub(super) fn store_key() -> Item {
    key(STORE, STORE)
}

pub(super) fn bucket_key(bucket: &BucketName) -> Item {
    key(BUCKETS, bucket)
}

/// The partition of the names of a bucket's indexes.
pub(super) fn names_pk(bucket: &BucketName) -> String {
    format!("{NAMES}{bucket}")
}

pub(super) fn name_key(path: &IndexPath) -> Item {
    key(names_pk(&path.bucket), &path.index)
}

pub(super) fn record_key(path: &IndexPath) -> Item {
    key(format!("{RECORDS}{}/{}", path.bucket, path.index), RECORD)
}

/// The index whose record has this partition key.
pub(super) fn record_path(pk: &str) -> Option<IndexPath> {
    let (bucket, index) = pk.strip_prefix(RECORDS)?.split_once('/')?;
    Some(IndexPath {
        bucket: BucketName::parse(bucket).ok()?,
        index: IndexName::parse(index).ok()?,
    })
}

pub(super) fn attachment_key(owner: OwnerUuid, attachment: Attachment) -> Item {
    key(format!("{ATTACHMENTS}{owner}"), attachment.word())
}

pub(super) fn index_tombstone_key(index: IndexUuid) -> Item {
    key(DELETED_INDEXES, index)
}

pub(super) fn bucket_tombstone_key(bucket: BucketUuid) -> Item {
    key(DELETED_BUCKETS, bucket)
}

/// The names behind the `#name` of expressions: each stands for itself, since many are reserved words.
pub(super) fn names(expressions: &[&str]) -> HashMap<String, String> {
    let is_end = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let mut found = HashMap::new();
    for expression in expressions {
        for rest in expression.split('#').skip(1) {
            let name = rest.split(is_end).next().unwrap_or_default();
            found.insert(format!("#{name}"), name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_themselves() {
        let found = names(&[
            "SET #wal = list_append(#wal, :e), #tail_kib = #tail_kib + :n REMOVE #wal[0]",
            "#uuid=:u",
        ]);
        let mut pairs: Vec<_> = found.iter().map(|(key, name)| (key.as_str(), name.as_str())).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [("#tail_kib", "tail_kib"), ("#uuid", "uuid"), ("#wal", "wal")]);
    }

    #[test]
    fn a_records_key_leads_back_to_its_path() {
        let path = IndexPath {
            bucket: BucketName::parse("my-bucket").unwrap(),
            index: IndexName::parse("my.index").unwrap(),
        };
        let key = record_key(&path);
        let pk = key[PK].as_s().unwrap();
        assert_eq!((pk.as_str(), record_path(pk)), ("R#my-bucket/my.index", Some(path)));
        assert_eq!(record_path("B#my-bucket"), None);
    }
}

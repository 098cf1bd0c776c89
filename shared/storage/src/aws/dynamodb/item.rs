//! Items to structs and back (`shared/format/README.md`, section 11).

use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use format::{IndexRecord, Lease, ManifestRef, RECORD_SCHEMA, WalEntry};
use model::{BucketName, Ulid};

use super::schema::{self, Item, bytes, number, text};
use crate::catalog::{BucketInfo, IndexPath, NameEntry};
use crate::error::StoreError;

/// Reads the attributes of one item; what is missing or wrong is a corrupt item of this name.
pub(super) struct Reader<'a> {
    item: &'a Item,
    name: &'a dyn Display,
}

impl<'a> Reader<'a> {
    pub(super) fn new(item: &'a Item, name: &'a dyn Display) -> Self {
        Self { item, name }
    }

    fn wrong(&self, attribute: &str) -> StoreError {
        StoreError::corrupt(self.name, format!("attribute {attribute} is missing or wrong"))
    }

    pub(super) fn has(&self, attribute: &str) -> bool {
        self.item.contains_key(attribute)
    }

    pub(super) fn text(&self, attribute: &str) -> Result<&'a str, StoreError> {
        match self.item.get(attribute) {
            Some(AttributeValue::S(text)) => Ok(text),
            _ => Err(self.wrong(attribute)),
        }
    }

    pub(super) fn parsed<T: FromStr>(&self, attribute: &str) -> Result<T, StoreError> {
        self.text(attribute)?.parse().map_err(|_| self.wrong(attribute))
    }

    pub(super) fn number<T: FromStr>(&self, attribute: &str) -> Result<T, StoreError> {
        match self.item.get(attribute) {
            Some(AttributeValue::N(text)) => text.parse().map_err(|_| self.wrong(attribute)),
            _ => Err(self.wrong(attribute)),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, attribute: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(attribute)?).map_err(|_| self.wrong(attribute))
    }

    fn array<const N: usize>(&self, attribute: &str) -> Result<[u8; N], StoreError> {
        match self.item.get(attribute) {
            Some(AttributeValue::B(blob)) => blob.as_ref().try_into().map_err(|_| self.wrong(attribute)),
            _ => Err(self.wrong(attribute)),
        }
    }

    fn entries(&self) -> Result<Vec<WalEntry>, StoreError> {
        let Some(AttributeValue::L(list)) = self.item.get(schema::WAL) else {
            return Err(self.wrong(schema::WAL));
        };
        let entry = |value: &AttributeValue| WalEntry::from_bytes(value.as_b().ok()?.as_ref());
        let entries: Option<Vec<WalEntry>> = list.iter().map(entry).collect();
        entries.ok_or_else(|| self.wrong(schema::WAL))
    }
}

fn json_text(value: &impl serde::Serialize, what: impl Display) -> Result<AttributeValue, StoreError> {
    let json = serde_json::to_string(value);
    json.map(text)
        .map_err(|error| StoreError::other_because(format!("encoding {what}"), error))
}

/// Version and ULID, big-endian.
pub(super) fn manifest_bytes(manifest: &ManifestRef) -> AttributeValue {
    let version = manifest.version.0.to_be_bytes();
    bytes([version.as_slice(), manifest.id.0.to_bytes().as_slice()].concat())
}

fn manifest_from(array: [u8; 24]) -> Option<ManifestRef> {
    let (version, id) = array.split_first_chunk::<8>()?;
    Some(ManifestRef {
        version: model::ManifestVersion(u64::from_be_bytes(*version)),
        id: model::ManifestId(Ulid::from_bytes(id.try_into().ok()?)),
    })
}

pub(super) fn ulid(ulid: Ulid) -> AttributeValue {
    bytes(ulid.to_bytes())
}

pub(super) fn entry(entry: &WalEntry) -> AttributeValue {
    bytes(entry.to_bytes())
}

/// The item of a record, its key included.
pub(super) fn from_record(path: &IndexPath, record: &IndexRecord) -> Result<Item, StoreError> {
    let mut item = schema::record_key(path);
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    set(schema::SCHEMA, number(record.schema));
    set(schema::UUID, text(record.uuid));
    set(schema::BUCKET_UUID, text(record.bucket_uuid));
    set(schema::CREATED, number(record.created_ms));
    set(schema::CONFIG, json_text(&record.config, record.uuid)?);
    set(schema::WAL, AttributeValue::L(record.wal.iter().map(entry).collect()));
    set(schema::WAL_BASE, number(record.wal_base));
    set(schema::TAIL_KIB, number(record.tail_kib));
    set(schema::FLOOR, ulid(record.floor));
    if let Some(manifest) = &record.manifest {
        set(schema::MANIFEST, manifest_bytes(manifest));
    }
    if let Some(dirty_since_ms) = record.dirty_since_ms {
        set(schema::DIRTY_SINCE, number(dirty_since_ms));
    }
    if let Some(lease) = &record.lease {
        set(schema::HOLDER, text(&lease.holder));
        set(schema::UNTIL, number(lease.until_ms));
        set(schema::ATTEMPTS, number(lease.attempts));
        set(schema::RETRY_AT, number(lease.retry_at_ms));
    }
    Ok(item)
}

pub(super) fn to_record(path: &IndexPath, item: &Item) -> Result<IndexRecord, StoreError> {
    let name = format!("the record of {}/{}", path.bucket, path.index);
    let read = Reader::new(item, &name);
    let stored: u32 = read.number(schema::SCHEMA)?;
    if stored > RECORD_SCHEMA {
        let reason = format!("its schema {stored} is newer than {RECORD_SCHEMA}, the newest that this program reads");
        return Err(StoreError::corrupt(&name, reason));
    }
    let manifest = if read.has(schema::MANIFEST) {
        manifest_from(read.array(schema::MANIFEST)?)
    } else {
        None
    };
    let dirty_since_ms = read.has(schema::DIRTY_SINCE).then(|| read.number(schema::DIRTY_SINCE));
    let record = IndexRecord {
        schema: stored,
        bucket: path.bucket.clone(),
        index: path.index.clone(),
        uuid: read.parsed(schema::UUID)?,
        bucket_uuid: read.parsed(schema::BUCKET_UUID)?,
        created_ms: read.number(schema::CREATED)?,
        config: read.json(schema::CONFIG)?,
        manifest,
        wal: read.entries()?,
        wal_base: read.number(schema::WAL_BASE)?,
        tail_kib: read.number(schema::TAIL_KIB)?,
        floor: Ulid::from_bytes(read.array(schema::FLOOR)?),
        dirty_since_ms: dirty_since_ms.transpose()?,
        lease: to_lease(&read)?,
    };
    record.check().map_err(|error| StoreError::corrupt(&name, error))?;
    Ok(record)
}

fn to_lease(read: &Reader<'_>) -> Result<Option<Lease>, StoreError> {
    if !read.has(schema::HOLDER) {
        return Ok(None);
    }
    Ok(Some(Lease {
        holder: read.text(schema::HOLDER)?.to_owned(),
        until_ms: read.number(schema::UNTIL)?,
        attempts: read.number(schema::ATTEMPTS)?,
        retry_at_ms: read.number(schema::RETRY_AT)?,
    }))
}

/// The item of a new bucket, its key included.
pub(super) fn from_bucket(bucket: &BucketInfo) -> Result<Item, StoreError> {
    let mut item = schema::bucket_key(&bucket.name);
    item.insert(schema::UUID.to_owned(), text(bucket.uuid));
    item.insert(schema::CREATED.to_owned(), number(bucket.created_ms));
    let encryption = json_text(&bucket.encryption, &bucket.name)?;
    item.insert(schema::ENCRYPTION.to_owned(), encryption);
    item.insert(schema::INDEX_COUNT.to_owned(), number(0));
    Ok(item)
}

pub(super) fn to_bucket(name: &BucketName, item: &Item) -> Result<BucketInfo, StoreError> {
    let read = Reader::new(item, name);
    Ok(BucketInfo {
        name: name.clone(),
        uuid: read.parsed(schema::UUID)?,
        created_ms: read.number(schema::CREATED)?,
        encryption: read.json(schema::ENCRYPTION)?,
    })
}

/// A line of a listing, of a bucket or of the name of an index.
pub(super) fn to_name(item: &Item) -> Result<NameEntry, StoreError> {
    let read = Reader::new(item, &"a name");
    Ok(NameEntry {
        name: read.text(schema::SK)?.to_owned(),
        uuid: read.parsed(schema::UUID)?,
        created_ms: read.number(schema::CREATED)?,
    })
}

/// The item of an index's name, its key included.
pub(super) fn from_name(path: &IndexPath, record: &IndexRecord) -> Item {
    let mut item = schema::name_key(path);
    item.insert(schema::UUID.to_owned(), text(record.uuid));
    item.insert(schema::BUCKET_UUID.to_owned(), text(record.bucket_uuid));
    item.insert(schema::CREATED.to_owned(), number(record.created_ms));
    item
}

#[cfg(test)]
mod tests {
    use model::{
        BucketUuid, Dimension, DistanceMetric, Encryption, IndexConfig, IndexName, IndexUuid, ManifestId,
        ManifestVersion, WalId,
    };

    use super::*;

    fn path() -> IndexPath {
        IndexPath {
            bucket: BucketName::parse("bucket").unwrap(),
            index: IndexName::parse("index").unwrap(),
        }
    }

    fn record() -> IndexRecord {
        let entry = |n: u64| WalEntry {
            id: WalId(Ulid::from_parts(n, 7)),
            rows: 5,
            kib: 2,
        };
        IndexRecord {
            schema: RECORD_SCHEMA,
            bucket: path().bucket,
            index: path().index,
            uuid: IndexUuid(uuid::Uuid::from_u128(7)),
            bucket_uuid: BucketUuid(uuid::Uuid::from_u128(8)),
            created_ms: 6,
            config: IndexConfig {
                dimension: Dimension::new(3).unwrap(),
                metric: DistanceMetric::Euclidean,
                non_filterable_keys: Some(vec!["text".to_owned()]),
                encryption: Encryption::Aes256,
            },
            manifest: Some(ManifestRef {
                version: ManifestVersion(u64::MAX),
                id: ManifestId(Ulid::from_parts(9, 9)),
            }),
            wal: vec![entry(1), entry(2)],
            wal_base: u64::MAX - 10,
            tail_kib: 4,
            floor: Ulid::from_parts(3, 3),
            dirty_since_ms: Some(77),
            lease: Some(Lease {
                holder: "h".to_owned(),
                until_ms: 1,
                attempts: 2,
                retry_at_ms: 3,
            }),
        }
    }

    #[test]
    fn records_come_back() {
        let full = record();
        let fresh = IndexRecord {
            manifest: None,
            wal: Vec::new(),
            tail_kib: 0,
            dirty_since_ms: None,
            lease: None,
            ..record()
        };
        for record in [full, fresh] {
            let item = from_record(&path(), &record).unwrap();
            assert_eq!(to_record(&path(), &item).unwrap(), record);
        }
    }

    /// Names and values count, and the size is what a write costs.
    #[test]
    fn an_item_with_an_empty_tail_is_shorter_than_a_kilobyte() {
        let long = IndexPath {
            bucket: BucketName::parse(&"b".repeat(63)).unwrap(),
            index: IndexName::parse(&"i".repeat(63)).unwrap(),
        };
        let mut record = record();
        record.wal.clear();
        record.tail_kib = 0;
        record.config.non_filterable_keys = Some(vec!["some_text".to_owned(); 10]);
        if let Some(lease) = &mut record.lease {
            *lease = Lease {
                holder: "h".repeat(36),
                until_ms: u64::MAX,
                attempts: 9,
                retry_at_ms: u64::MAX,
            };
        }
        let size = |value: &AttributeValue| match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(digits) => digits.len() / 2 + 2,
            AttributeValue::B(blob) => blob.as_ref().len(),
            AttributeValue::L(_) => 3,
            other => panic!("{other:?}"),
        };
        let item = from_record(&long, &record).unwrap();
        let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
        assert!(bytes < 1024, "{bytes} bytes");
    }

    #[test]
    fn wrong_items_are_refused() {
        let good = from_record(&path(), &record()).unwrap();
        for attribute in [
            schema::UUID,
            schema::WAL,
            schema::FLOOR,
            schema::CONFIG,
            schema::UNTIL,
            schema::SCHEMA,
        ] {
            let mut item = good.clone();
            item.remove(attribute);
            assert!(
                matches!(to_record(&path(), &item), Err(StoreError::Corrupt { .. })),
                "{attribute}"
            );
        }
        for (attribute, value) in [
            (schema::SCHEMA, number(2)),
            (schema::TAIL_KIB, number(5)),
            (schema::MANIFEST, bytes([0; 23])),
            (schema::WAL, AttributeValue::L(vec![bytes([0; 23])])),
        ] {
            let mut item = good.clone();
            item.insert(attribute.to_owned(), value);
            assert!(
                matches!(to_record(&path(), &item), Err(StoreError::Corrupt { .. })),
                "{attribute}"
            );
        }
    }
}

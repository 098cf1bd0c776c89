//! The index record: the one mutable thing of an index (DESIGN section 4), and its WAL entries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::{BucketName, BucketUuid, IndexConfig, IndexName, IndexUuid, ManifestId, ManifestVersion, Ulid, WalId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{FileKind, FormatError, sealed};

/// The newest schema of the record that this program reads and the one that it writes.
pub const RECORD_SCHEMA: u32 = 1;

/// Length of a WAL entry in its binary form.
pub const WAL_ENTRY_BYTES: usize = 24;

/// One committed WAL object in the record's tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WalEntry {
    /// Names the WAL object.
    pub id: WalId,
    /// Rows in it (puts and deletes).
    pub rows: u32,
    /// Its size in KiB, rounded up.
    pub kib: u32,
}

impl WalEntry {
    /// The entry of a WAL object of `bytes` bytes.
    #[must_use]
    pub fn new(id: WalId, rows: u32, bytes: usize) -> Self {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Self { id, rows, kib }
    }

    /// ULID (16), rows (4), KiB (4), all big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; WAL_ENTRY_BYTES] {
        let mut out = [0; WAL_ENTRY_BYTES];
        let (ulid, counts) = out.split_at_mut(16);
        let (rows, kib) = counts.split_at_mut(4);
        ulid.copy_from_slice(&self.id.0.to_bytes());
        rows.copy_from_slice(&self.rows.to_be_bytes());
        kib.copy_from_slice(&self.kib.to_be_bytes());
        out
    }

    /// The reverse of `to_bytes`; `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ulid, counts) = bytes.split_first_chunk::<16>()?;
        let (rows, kib) = counts.split_first_chunk::<4>()?;
        Some(Self {
            id: WalId(Ulid::from_bytes(*ulid)),
            rows: u32::from_be_bytes(*rows),
            kib: u32::from_be_bytes(kib.try_into().ok()?),
        })
    }
}

// In JSON an entry is the base64 text (standard alphabet, 32 characters) of its 24 bytes.
impl Serialize for WalEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(self.to_bytes()))
    }
}

impl<'de> Deserialize<'de> for WalEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        STANDARD_NO_PAD
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| Self::from_bytes(&bytes))
            .ok_or_else(|| de::Error::custom("a wal entry is the base64 text of 24 bytes"))
    }
}

/// Which manifest is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ManifestRef {
    /// Rises by one with each publication.
    pub version: ManifestVersion,
    /// Names the manifest object together with the version.
    pub id: ManifestId,
}

/// Who is indexing; saves double work, never gives safety.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The indexer that holds it.
    pub holder: String,
    /// When it lapses (unix milliseconds).
    pub until_ms: u64,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Not before this time (unix milliseconds) is the work tried again.
    pub retry_at_ms: u64,
}

/// The index record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexRecord {
    /// `RECORD_SCHEMA` of the writer.
    pub schema: u32,
    /// The bucket's name.
    pub bucket: BucketName,
    /// The index's name.
    pub index: IndexName,
    /// Names the index in every object path (S2).
    pub uuid: IndexUuid,
    /// The bucket's own uuid.
    pub bucket_uuid: BucketUuid,
    /// When it was created (unix milliseconds).
    pub created_ms: u64,
    /// What CreateIndex fixed for ever.
    pub config: IndexConfig,
    /// The current manifest; `None` before the first fold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestRef>,
    /// The tail, oldest entry first.
    #[serde(default)]
    pub wal: Vec<WalEntry>,
    /// Sequence number of `wal[0]`.
    #[serde(default)]
    pub wal_base: u64,
    /// Sum of the entries' rounded KiB.
    #[serde(default)]
    pub tail_kib: u64,
    /// Only rises; no commit may introduce an object older than it.
    pub floor: Ulid,
    /// Since when there is work for the indexer (unix milliseconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty_since_ms: Option<u64>,
    /// The indexer's lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

impl IndexRecord {
    /// The record as compact JSON.
    pub fn to_json(&self) -> Result<String, FormatError> {
        serde_json::to_string(self).map_err(|e| FormatError::input(FileKind::Record, e))
    }

    /// Reads `to_json`'s form; a newer schema is refused.
    pub fn from_json(json: &str) -> Result<Self, FormatError> {
        sealed::check_schema(FileKind::Record, RECORD_SCHEMA, json.as_bytes())?;
        let record: Self = serde_json::from_str(json).map_err(|e| FormatError::corrupt(FileKind::Record, e))?;
        record.check()?;
        Ok(record)
    }

    /// The sequence number after the last entry of the tail. It only rises, and only by appends: a fold takes entries
    /// out of the tail and moves `wal_base` by as many.
    pub fn end(&self) -> u64 {
        self.wal_base.saturating_add(self.wal.len() as u64)
    }

    /// What every record must satisfy, whoever stored it.
    pub fn check(&self) -> Result<(), FormatError> {
        let sum: u64 = self.wal.iter().map(|entry| u64::from(entry.kib)).sum();
        if sum != self.tail_kib {
            return Err(FormatError::corrupt(
                FileKind::Record,
                format!("tail_kib is {}, the entries sum to {sum}", self.tail_kib),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{Dimension, DistanceMetric, Encryption};
    use proptest::prelude::*;

    use super::*;

    fn record() -> IndexRecord {
        IndexRecord {
            schema: RECORD_SCHEMA,
            bucket: BucketName::parse(&"b".repeat(63)).unwrap(),
            index: IndexName::parse(&"i".repeat(63)).unwrap(),
            uuid: "0a0b0c0d-0000-4000-8000-000000000001".parse().unwrap(),
            bucket_uuid: "0a0b0c0d-0000-4000-8000-000000000002".parse().unwrap(),
            created_ms: 1_790_000_000_000,
            config: IndexConfig {
                dimension: Dimension::new(4096).unwrap(),
                metric: DistanceMetric::Euclidean,
                non_filterable_keys: Some(vec!["some_text".into(); 4]),
                encryption: Encryption::Aes256,
            },
            manifest: Some(ManifestRef {
                version: ManifestVersion(u64::MAX),
                id: ManifestId(Ulid::NIL),
            }),
            wal: Vec::new(),
            wal_base: u64::MAX,
            tail_kib: 0,
            floor: Ulid::from_parts(1_790_000_000_000, 7),
            dirty_since_ms: Some(1_790_000_000_000),
            lease: Some(Lease {
                holder: "h".repeat(36),
                until_ms: u64::MAX,
                attempts: 9,
                retry_at_ms: u64::MAX,
            }),
        }
    }

    #[test]
    fn an_empty_tail_stays_below_a_kilobyte() {
        let json = record().to_json().unwrap();
        assert!(json.len() < 1024, "{} bytes", json.len());
        assert_eq!(IndexRecord::from_json(&json).unwrap(), record());
    }

    #[test]
    fn a_fresh_record_needs_no_optional_members() {
        let fresh = IndexRecord {
            manifest: None,
            dirty_since_ms: None,
            lease: None,
            wal_base: 0,
            ..record()
        };
        let json = fresh.to_json().unwrap();
        assert!(!json.contains("null"), "{json}");
        assert_eq!(IndexRecord::from_json(&json).unwrap(), fresh);
    }

    #[test]
    fn wrong_records_are_refused() {
        let mut wrong = record();
        wrong.wal.push(WalEntry {
            id: WalId(Ulid::NIL),
            rows: 1,
            kib: 3,
        });
        let json = wrong.to_json().unwrap();
        assert!(matches!(
            IndexRecord::from_json(&json),
            Err(FormatError::Corrupt {
                file: FileKind::Record,
                ..
            })
        ));
        let newer = IndexRecord { schema: 2, ..record() }.to_json().unwrap();
        let version = FormatError::Version {
            file: FileKind::Record,
            found: 2,
            supported: 1,
        };
        assert_eq!(IndexRecord::from_json(&newer), Err(version));
    }

    #[test]
    fn sizes_are_rounded_up() {
        for (bytes, kib) in [(0, 0), (1, 1), (1024, 1), (1025, 2)] {
            assert_eq!(WalEntry::new(WalId(Ulid::NIL), 1, bytes).kib, kib);
        }
    }

    proptest! {
        #[test]
        fn entries_are_24_bytes_and_32_characters(ms in any::<u64>(), random: u128, rows: u32, kib: u32) {
            let entry = WalEntry { id: WalId(Ulid::from_parts(ms, random)), rows, kib };
            let bytes = entry.to_bytes();
            prop_assert_eq!(WalEntry::from_bytes(&bytes), Some(entry));
            prop_assert_eq!(&bytes[16..20], &rows.to_be_bytes());
            let json = serde_json::to_string(&entry).unwrap();
            prop_assert_eq!(json.len(), 34);
            prop_assert_eq!(serde_json::from_str::<WalEntry>(&json).unwrap(), entry);
            prop_assert!(WalEntry::from_bytes(&bytes[1..]).is_none());
        }
    }
}

//! Identifiers and where they come from. Every id of the workspace is made by an [`Ids`], whose clock and randomness
//! are injected, so that a test can replay any run.

use std::fmt::{self, Debug, Display};
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::json::string_serde;

const RANDOM_BITS: u32 = 80;
const RANDOM_MASK: u128 = (1 << RANDOM_BITS) - 1;
const TIME_MASK: u64 = (1 << 48) - 1;

/// A text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {text:?}")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

/// 48 bits of milliseconds, 80 bits of randomness: sorts by time, in bytes and in text alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ulid(u128);

impl Ulid {
    /// The smallest ULID: "none yet", below every ULID that [`Ids`] makes.
    pub const NIL: Self = Self(0);

    /// The ULID of a time (48 bits are kept) and a random part (80 bits are kept).
    pub const fn from_parts(ms: u64, random: u128) -> Self {
        Self((((ms & TIME_MASK) as u128) << RANDOM_BITS) | (random & RANDOM_MASK))
    }

    /// The time it was made for, in milliseconds since the Unix epoch.
    pub const fn timestamp_ms(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }

    /// Big-endian bytes: they sort as the ULIDs do.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Ulid::to_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; ulid::ULID_LEN];
        f.pad(ulid::Ulid(self.0).array_to_str(&mut buffer))
    }
}

impl FromStr for Ulid {
    type Err = IdError;

    /// Accepts the canonical text only (26 upper-case characters), so that one ULID has one object name.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError {
            kind: "ulid",
            text: text.chars().take(40).collect(),
        };
        let ulid = ulid::Ulid::from_string(text).map_err(|_| refused())?;
        let mut buffer = [0; ulid::ULID_LEN];
        if ulid.array_to_str(&mut buffer) != text {
            return Err(refused());
        }
        Ok(Self(ulid.0))
    }
}

string_serde!(Ulid);

macro_rules! ulid_newtype {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self)
            }
        }
    )*};
}

ulid_newtype! {
    /// One WAL object, and so one commit.
    WalId
    /// One shard.
    ShardId
    /// One manifest object.
    ManifestId
    /// One stored deletion vector.
    DeadId
    /// What one garbage collection found.
    CollectionId
    /// One training generation.
    TrainId
}

macro_rules! uuid_newtype {
    ($($(#[$doc:meta])* $name:ident $kind:literal)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub uuid::Uuid);

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Accepts the canonical text only: hyphenated, lower case.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let refused = || IdError { kind: $kind, text: text.chars().take(40).collect() };
                let uuid = uuid::Uuid::try_parse(text).map_err(|_| refused())?;
                let mut buffer = uuid::Uuid::encode_buffer();
                if uuid.as_hyphenated().encode_lower(&mut buffer) != text {
                    return Err(refused());
                }
                Ok(Self(uuid))
            }
        }

        string_serde!($name);
    )*};
}

uuid_newtype! {
    /// One life of an index: delete and re-create gives another one.
    IndexUuid "index uuid"
    /// One life of a vector bucket.
    BucketUuid "bucket uuid"
    /// Whoever owns tags or a policy: an index or a bucket.
    OwnerUuid "owner uuid"
}

impl From<IndexUuid> for OwnerUuid {
    fn from(uuid: IndexUuid) -> Self {
        Self(uuid.0)
    }
}

impl From<BucketUuid> for OwnerUuid {
    fn from(uuid: BucketUuid) -> Self {
        Self(uuid.0)
    }
}

/// A row of one shard, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowId(pub u32);

impl Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// How many manifests an index has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManifestVersion(pub u64);

impl Display for ManifestVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// A source of random numbers for ids and nonces. Not for secrets.
pub trait Randomness: Send + Sync + Debug {
    /// 128 fresh random bits.
    fn next_u128(&self) -> u128;
}

/// Randomness that differs between processes: a counter under SipHash, keyed by the operating system's entropy
/// (which the standard library draws for its hash maps).
#[derive(Debug)]
pub struct OsRandom {
    keyed: RandomState,
    counter: AtomicU64,
}

impl OsRandom {
    /// A freshly keyed source.
    pub fn new() -> Self {
        Self {
            keyed: RandomState::new(),
            counter: AtomicU64::new(0),
        }
    }
}

impl Default for OsRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Randomness for OsRandom {
    fn next_u128(&self) -> u128 {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let high = self.keyed.hash_one((count, 0_u8));
        let low = self.keyed.hash_one((count, 1_u8));
        (u128::from(high) << 64) | u128::from(low)
    }
}

/// Randomness that a test can repeat: SplitMix64 from a seed.
#[derive(Debug)]
pub struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Randomness for SeededRandom {
    fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }
}

/// Makes ids. Clones share one sequence.
#[derive(Debug, Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Randomness>,
    last: Arc<Mutex<Ulid>>,
}

impl Ids {
    /// A source of ids over the given clock and randomness.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Randomness>) -> Self {
        Self {
            clock,
            random,
            last: Arc::new(Mutex::new(Ulid::NIL)),
        }
    }

    /// A new ULID: above `floor` (by at least a millisecond, unless `floor` is [`Ulid::NIL`]) and above every ULID
    /// that this source has made, whatever the clock does.
    pub fn ulid(&self, floor: Ulid) -> Ulid {
        let earliest = if floor == Ulid::NIL {
            0
        } else {
            floor.timestamp_ms().saturating_add(1)
        };
        let random = self.random.next_u128();
        let drawn = Ulid::from_parts(self.clock.now_ms().max(earliest).min(TIME_MASK), random);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn > *last {
            *last = drawn;
        } else {
            // Same millisecond, or a clock that went back: step on by a random stride, since a stride of one would
            // let two processes that share a prefix meet. A carry into the time part is still an increase.
            let stride = (random & 0xFFFF_FFFF) + 1;
            *last = Ulid(last.0.saturating_add(stride));
        }
        *last
    }

    /// A random (version 4) uuid.
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.random.next_u128().to_be_bytes()).into_uuid()
    }

    /// A number that is not expected to be drawn twice.
    pub fn nonce(&self) -> u64 {
        (self.random.next_u128() >> 64) as u64
    }

    /// The clock's reading, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The clock itself.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

#[cfg(test)]
mod tests;

//! The k nearest rows by (distance, key), and the cursor that says where the next page starts.
//!
//! Distances are never negative and never NaN, so their bits order as they do: everything here compares `u32`s. Keys
//! are looked up only for a candidate that beats or ties the worst one held.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Where a page ended: the next page holds what comes strictly after this distance and key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// `f32::to_bits` of the last answer's distance.
    pub distance_bits: u32,
    /// The last answer's key.
    pub key: String,
}

impl Cursor {
    /// The cursor after `hit`.
    pub fn after(hit: &Hit) -> Self {
        Self {
            distance_bits: hit.distance.to_bits(),
            key: hit.key.clone(),
        }
    }
}

/// Where an answer's row lies, by position in the slices that the search was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A row of a shard.
    Shard {
        /// Position of the shard's view.
        shard: usize,
        /// The row in it.
        row: u32,
    },
    /// A row of a tail object.
    Tail {
        /// Position of the tail object.
        entry: usize,
        /// The row in it.
        row: u32,
    },
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its distance to the query.
    pub distance: f32,
    /// Its key.
    pub key: String,
    /// Where its row lies.
    pub place: Place,
}

/// Derived order: distance, then key bytewise, then place (keys are unique among live rows; the place only makes the
/// order total).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    distance_bits: u32,
    key: &'a str,
    place: Place,
}

/// Collects the `k` nearest of what it is offered.
#[derive(Debug, Clone)]
pub struct TopK<'a> {
    k: usize,
    after: Option<&'a Cursor>,
    worst_first: BinaryHeap<Candidate<'a>>,
}

impl<'a> TopK<'a> {
    /// Wants the `k` nearest strictly after `after`.
    pub fn new(k: usize, after: Option<&'a Cursor>) -> Self {
        Self {
            k,
            after,
            worst_first: BinaryHeap::new(),
        }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.worst_first.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.worst_first.is_empty()
    }

    /// The distance beyond which nothing can be an answer any more: `None` until `k` are held.
    pub fn bound(&self) -> Option<f32> {
        if self.worst_first.len() < self.k {
            return None;
        }
        // k = 0 wants nothing at all, not even distance 0: the offer refuses it.
        Some(
            self.worst_first
                .peek()
                .map_or(0.0, |worst| f32::from_bits(worst.distance_bits)),
        )
    }

    /// Offers one row. `key` is called only if the distance alone does not settle the matter.
    pub fn offer(&mut self, distance: f32, place: Place, key: impl FnOnce() -> &'a str) {
        let distance_bits = distance.to_bits();
        let full = self.worst_first.len() >= self.k;
        if full
            && self
                .worst_first
                .peek()
                .is_none_or(|worst| worst.distance_bits < distance_bits)
        {
            return;
        }
        if self.after.is_some_and(|after| distance_bits < after.distance_bits) {
            return;
        }
        self.insert(Candidate {
            distance_bits,
            key: key(),
            place,
        });
    }

    /// Takes over what `other` holds.
    pub fn merge(mut self, mut other: Self) -> Self {
        if self.worst_first.len() < other.worst_first.len() {
            std::mem::swap(&mut self, &mut other);
        }
        for candidate in other.worst_first {
            self.insert(candidate);
        }
        self
    }

    /// The answers, nearest first.
    pub fn into_sorted(self) -> Vec<Hit> {
        let hit = |candidate: Candidate<'_>| Hit {
            distance: f32::from_bits(candidate.distance_bits),
            key: candidate.key.to_owned(),
            place: candidate.place,
        };
        self.worst_first.into_sorted_vec().into_iter().map(hit).collect()
    }

    fn insert(&mut self, candidate: Candidate<'a>) {
        if self.after.is_some_and(|after| is_not_after(&candidate, after)) {
            return;
        }
        if self.worst_first.len() < self.k {
            self.worst_first.push(candidate);
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }
}

fn is_not_after(candidate: &Candidate<'_>, cursor: &Cursor) -> bool {
    let order = candidate.distance_bits.cmp(&cursor.distance_bits);
    order.then_with(|| candidate.key.cmp(cursor.key.as_str())) != Ordering::Greater
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn place(row: u32) -> Place {
        Place::Shard { shard: 0, row }
    }

    fn keys(top: TopK<'_>) -> Vec<String> {
        top.into_sorted().into_iter().map(|hit| hit.key).collect()
    }

    #[test]
    fn nearest_first_and_ties_by_key_bytes() {
        let mut top = TopK::new(4, None);
        for (row, (distance, key)) in [
            (0.5, "b"),
            (0.5, "a"),
            (0.25, "z"),
            (0.5, "B"),
            (9.0, "far"),
            (0.5, "c"),
        ]
        .into_iter()
        .enumerate()
        {
            top.offer(distance, place(row as u32), || key);
        }
        assert_eq!(top.bound(), Some(0.5));
        assert_eq!(keys(top), ["z", "B", "a", "b"]);
    }

    #[test]
    fn keys_are_looked_up_only_when_they_matter() {
        let looked_up = Cell::new(0);
        let key = || {
            looked_up.set(looked_up.get() + 1);
            "k"
        };
        let mut top = TopK::new(1, None);
        top.offer(1.0, place(0), key);
        top.offer(2.0, place(1), key);
        top.offer(1.5, place(2), key);
        assert_eq!(looked_up.get(), 1);
        top.offer(1.0, place(3), key);
        assert_eq!(looked_up.get(), 2, "a tie needs the key");
    }

    #[test]
    fn pages_concatenate_to_the_whole() {
        let rows: Vec<(f32, String)> = (0..50)
            .map(|n| ((n % 3) as f32, format!("key-{:02}", (n * 7) % 50)))
            .collect();
        let page = |k: usize, after: Option<&Cursor>| {
            let mut top = TopK::new(k, after);
            for (row, (distance, key)) in rows.iter().enumerate() {
                top.offer(*distance, place(row as u32), || key.as_str());
            }
            top.into_sorted()
        };
        let whole = page(100, None);
        for size in [1, 7, 49, 50] {
            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let hits = page(size, after.as_ref());
                let Some(last) = hits.last() else { break };
                after = Some(Cursor::after(last));
                paged.extend(hits);
            }
            assert_eq!(paged, whole, "pages of {size}");
        }
    }

    #[test]
    fn merging_equals_offering_everything_to_one() {
        let rows: Vec<(f32, String)> = (0..40)
            .map(|n| ((n % 4) as f32, format!("{:02}", (n * 11) % 40)))
            .collect();
        let top_of = |range: std::ops::Range<usize>| {
            let mut top = TopK::new(9, None);
            for row in range {
                top.offer(rows[row].0, place(row as u32), || rows[row].1.as_str());
            }
            top
        };
        let whole = top_of(0..40).into_sorted();
        for split in [0, 1, 20, 39, 40] {
            assert_eq!(
                top_of(0..split).merge(top_of(split..40)).into_sorted(),
                whole,
                "split at {split}"
            );
        }
    }

    #[test]
    fn zero_wanted_is_zero_held() {
        let mut top = TopK::new(0, None);
        top.offer(0.0, place(0), || "k");
        assert!(top.is_empty());
        assert_eq!(top.bound(), Some(0.0));
    }
}

//! The commit protocol of the index record (DESIGN section 4) as small exhaustive models.
//!
//! **What it is.** Writers, indexers, compactors, collectors, creators and deleters, and readers, each of which may
//! stop between any two of its storage calls, for any time or for ever; a catalog, an object store, and a network
//! that loses, delays and repeats requests. The checker visits every state that any interleaving reaches and tests
//! the invariants in each (`invariants.rs`). Mistakes that somebody might make are planted one at a time
//! ([`config::Mistake`]), and a test shows for each that the models notice it.
//!
//! **What it must not know.** The product's code. It is a second description of the protocol, short enough to be
//! read beside the text; the code itself is held to the same invariants by crash enumeration and by `kill -9`.
//!
//! **What it leaves out.** Leases, doorbells and attempts (they give no safety); sizes in bytes; several writes in
//! one WAL object (one commit is one entry either way); deletion vectors, training generations and `gc/` lists as
//! objects of their own (they are introduced and reached like shards); buckets above the one index name; late PUTs
//! of immutable objects (their names are fresh). Bounds: a handful of operations, one or two faults, `folded`,
//! `parents` and the tail cut to one to three entries so that their limits are met.
//!
//! | module | what |
//! |---|---|
//! | `state` | ULIDs, clocks, objects, requests under way, the ghost log of what really happened |
//! | `record` | the index record and its conditional updates |
//! | `catalog`, `cas` | the two adapters: conditional updates, compare-and-swap documents |
//! | `role` | what a client is: steps, answers, time-outs |
//! | `writer`, `indexer`, `compactor`, `commit`, `collector`, `deleter`, `reader` | the clients |
//! | `invariants` | I1-I4 and I7, names, the dirty mark, refusals |
//! | `model` | all of it as a `stateright::Model` |
//! | `config`, `setups` | bounds, planted mistakes, the configurations |
//!
//! The configurations, each under conditional updates and under compare-and-swap. W writer, I indexer (folds),
//! C compactor, G collector, D creator and deleter, R reader; seconds of one core in a release build:
//!
//! | configuration | roles | faults | states | s | states, CAS | s |
//! |---|---|---|---|---|---|---|
//! | `writers` | W W I | 2 time-outs, 1 repeat | 56,700 | 0.4 | 101,156 | 0.7 |
//! | `limits`: tail of 1, `folded` of 1 | W W I | 2 time-outs | 14,615 | 0.1 | 16,838 | 0.1 |
//! | `indexers` | W I I C | 1 time-out | 84,012 | 0.8 | 136,034 | 1.4 |
//! | `compactors`: a fold that absorbs | I I C C | 1 time-out | 64,837 | 0.7 | 84,155 | 0.9 |
//! | `collection` | W I G R | 1 time-out | 97,534 | 0.8 | 120,640 | 1.0 |
//! | `collected_shards` | I C G R | 1 time-out | 190,037 | 1.9 | 237,871 | 2.4 |
//! | `collectors`: clocks that differ | W I G G | 1 time-out | 53,347 | 0.4 | 78,297 | 0.6 |
//! | `deletion` | W I D R | 1 time-out, 1 repeat | 70,550 | 0.5 | 280,317 | 2.4 |
//! | `purge` | C G D R | 1 time-out | 138,409 | 1.2 | 470,692 | 4.2 |
//! | `names` | D D D | 2 time-outs, 1 repeat | 20,571 | 0.1 | 107,083 | 0.6 |
//!
//! Every pair of roles meets in one of them (a test in `tests/exhaustive.rs` counts).

pub mod cas;
pub mod catalog;
pub mod collector;
pub mod commit;
pub mod compactor;
pub mod config;
pub mod deleter;
pub mod indexer;
pub mod invariants;
pub mod model;
pub mod reader;
pub mod record;
pub mod role;
pub mod setups;
pub mod state;
pub mod writer;

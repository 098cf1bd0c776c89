//! The suite that every adapter must pass: the ports' promises as tests that panic.
//!
//! `make` opens the same store again, as another process would; the suite works through several such handles at once.
//! Everything it writes lies under names of its own, so it may run on a store that is in use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attachments;
mod commits;
mod conditional;
mod immutable;
mod listing;
mod names;
mod races;
mod samples;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::objects::ObjectStore;
use samples::Samples;

/// Of which names a store keeps what the port promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Of all.
    All,
    /// Of such as `paths` makes: none has a directory beside a file that begins like it (`a/b` beside `a-`), none has
    /// a backslash. SeaweedFS lists the former in another order, MinIO ends a page of them early.
    OfStores,
}

/// Every promise of [`ObjectStore`].
pub async fn run_object_store<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn ObjectStore>>,
{
    run_object_store_in(Names::All, make).await;
}

/// Every promise of [`ObjectStore`], of a store that keeps it for these names.
pub async fn run_object_store_in<F, Fut>(names: Names, make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn ObjectStore>>,
{
    let (one, other) = (make().await, make().await);
    let samples = Samples::new();
    immutable::run(&one, &other, &samples).await;
    immutable::odd_names(&one, names, &samples).await;
    immutable::big_objects(&one, &other, &samples).await;
    listing::run(&one, names, &samples).await;
    listing::random_pages(&one, names, &samples).await;
    conditional::run(&one, &other, &samples).await;
    conditional::one_create_wins(&one, &other, &samples).await;
    conditional::one_put_wins(&one, &other, &samples).await;
    conditional::counter(&one, &other, &samples).await;
}

/// Objects around a length at which an adapter does something else, such as sending them in parts.
pub async fn run_around(store: &dyn ObjectStore, length: usize) {
    immutable::around(store, length, &Samples::new()).await;
}

/// Every promise of [`Catalog`].
pub async fn run_catalog<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Catalog>>,
{
    let (one, other) = (make().await, make().await);
    let samples = Samples::new();
    names::buckets(&one, &other, &samples).await;
    names::indexes(&one, &other, &samples).await;
    names::pages(&one, &samples).await;
    names::a_name_again(&one, &other, &samples).await;
    commits::append(&one, &other, &samples).await;
    commits::publish(&one, &other, &samples).await;
    commits::dirty_mark(&one, &samples).await;
    commits::floor(&one, &other, &samples).await;
    commits::lease(&one, &samples).await;
    attachments::run(&one, &other, &samples).await;
    races::appends(&one, &other, &samples).await;
    races::appends_and_folds(&one, &other, &samples).await;
    races::one_creation_wins(&one, &other, &samples).await;
    races::create_against_delete_bucket(&one, &other, &samples).await;
    races::append_against_delete(&one, &other, &samples).await;
    races::tags(&one, &other, &samples).await;
}

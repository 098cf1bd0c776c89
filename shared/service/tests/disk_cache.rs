//! Reads through a disk cache: damage of cached files, and damage that only the engine's own checksums find.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use genai_vectors_service::Config;
use genai_vectors_service::indexing::fold;
use model::{ApiError, Operation};
use serde_json::{Value, json};
use storage::layers::disk_cache::DiskCacheConfig;
use storage::paths::{self, ObjectKind};
use storage::{MemoryStore, ObjectName};
use support::{World, path};

const INDEX: &str = "cached";

/// One folded shard of 40 vectors behind a cache of this directory; nothing is open yet.
async fn folded(directory: &Path) -> World {
    let cache = DiskCacheConfig::new(directory, 1 << 20);
    let mut world = World::behind(Some(cache), MemoryStore::new(), Config::default()).await;
    world.create_index(INDEX, 2, "euclidean", &[]).await;
    let vectors: Vec<Value> = (0..40)
        .map(|number| json!({"key": format!("k{number}"), "data": {"float32": [number, 1]}, "metadata": {"even": number % 2 == 0}}))
        .collect();
    let put = json!({"vectors": vectors});
    world.on(INDEX, Operation::PutVectors, put).await.unwrap();
    fold::fold_once(world.ctx(), &path(INDEX), 256).await.unwrap();
    world.restart().await;
    world
}

async fn nearest(world: &World) -> Result<Value, ApiError> {
    let body =
        json!({"topK": 2, "queryVector": {"float32": [6.2, 1]}, "filter": {"even": true}, "returnMetadata": true});
    let answer = world.on(INDEX, Operation::QueryVectors, body).await?;
    Ok(json!([answer["vectors"][0]["key"], answer["vectors"][1]["key"]]))
}

fn cached_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn shard_files(store: &MemoryStore) -> Vec<ObjectName> {
    let mut names = store.names();
    names.retain(|name| matches!(paths::parse(name), Some(ObjectKind::Shard(..))));
    names
}

#[tokio::test]
async fn every_cached_file_may_be_damaged_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = folded(folder.path()).await;
    assert_eq!(nearest(&world).await.unwrap(), json!(["k6", "k8"]));
    let files = cached_files(folder.path());
    assert_eq!(files.len(), shard_files(&world.store).len());
    for file in files {
        let sound = fs::read(&file).unwrap();
        for place in [0, sound.len() / 2, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[place] ^= 4;
            for damaged in [Some(&damaged[..]), Some(&sound[..place]), None] {
                match damaged {
                    Some(bytes) => fs::write(&file, bytes).unwrap(),
                    None => fs::remove_file(&file).unwrap(),
                }
                world.restart().await;
                assert_eq!(
                    nearest(&world).await.unwrap(),
                    json!(["k6", "k8"]),
                    "{}",
                    file.display()
                );
                assert!(fs::read(&file).unwrap() == sound, "{} is mended", file.display());
            }
        }
    }
}

/// A flipped bit in the store is an error that names the object, whatever a cache keeps; once the object is mended, so
/// is every copy of it, without a restart.
#[tokio::test]
async fn damage_in_the_store_is_not_kept_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = folded(folder.path()).await;
    for name in shard_files(&world.store) {
        for file in cached_files(folder.path()) {
            fs::remove_file(file).unwrap();
        }
        world.restart().await;
        assert!(world.store.flip_bit(&name, 100));
        for _ in 0..2 {
            let error = nearest(&world).await.unwrap_err();
            assert!(matches!(error, ApiError::Internal { .. }), "{name}: {error}");
        }
        assert!(world.store.flip_bit(&name, 100));
        assert_eq!(nearest(&world).await.unwrap(), json!(["k6", "k8"]), "{name}");
    }
}

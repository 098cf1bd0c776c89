//! A built shard's files, written before anything refers to them.

use format::manifest::ShardEntry;
use format::shard::EncodedShard;
use futures::future::try_join_all;
use model::{IndexUuid, ShardId};
use storage::StoreError;
use storage::paths::{self, ShardFile};

use crate::Context;

/// PUTs every file of the shard; the entry that a manifest may then list.
pub(super) async fn shard(
    ctx: &Context,
    index: IndexUuid,
    id: ShardId,
    encoded: EncodedShard,
) -> Result<ShardEntry, StoreError> {
    let entry = encoded.entry(id);
    let files = [
        (ShardFile::Rows, encoded.rows),
        (ShardFile::Keys, encoded.keys),
        (ShardFile::Fst, encoded.fst),
        (ShardFile::Attributes, encoded.attributes),
        (ShardFile::Head, encoded.head),
    ];
    let faiss = encoded.index.map(|bytes| (ShardFile::Index, bytes));
    let puts = files.into_iter().chain(faiss).map(|(file, bytes)| async move {
        let name = paths::shard_file(index, id, file);
        ctx.ports.objects.put(&name, bytes).await
    });
    try_join_all(puts).await?;
    Ok(entry)
}

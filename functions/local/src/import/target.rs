//! The bucket and the index: created when that is wanted, otherwise verified against the file and the flags.

use std::collections::BTreeSet;

use model::Dimension;

use super::args::ImportArgs;
use super::error::ImportError;
use super::record::Hints;
use crate::client::{Client, IndexInfo, NewIndex};

/// The index as it is, now that it exists.
pub(crate) async fn prepare(
    client: &Client,
    args: &ImportArgs,
    dimension: Option<usize>,
    hints: Hints,
) -> Result<IndexInfo, ImportError> {
    let describe = || async { client.describe_index(&args.target).await.map_err(ImportError::Client) };
    let mut found = describe().await?;
    if found.is_none() {
        let new = new_index(args, dimension, hints)?;
        client.create(&args.target, &new).await.map_err(ImportError::Client)?;
        found = describe().await?;
    }
    let Some(index) = found else {
        return Err(refused(args, "was deleted just after it was created"));
    };
    verify(args, dimension, &index)?;
    Ok(index)
}

fn refused(args: &ImportArgs, what: &str) -> ImportError {
    ImportError::Target(format!("index {}/{} {what}", args.target.bucket, args.target.index))
}

fn new_index(args: &ImportArgs, dimension: Option<usize>, hints: Hints) -> Result<NewIndex, ImportError> {
    if !args.create.create {
        return Err(refused(args, "does not exist; --create creates it"));
    }
    let Some(metric) = args.create.metric.or(hints.metric) else {
        return Err(refused(
            args,
            "does not exist; to create it, --metric cosine or --metric euclidean is needed",
        ));
    };
    let Some(dimension) = dimension else {
        return Err(refused(
            args,
            "does not exist, and a file without records does not say what dimension it should have",
        ));
    };
    let small = u32::try_from(dimension).ok().and_then(Dimension::new);
    let dimension = small.ok_or_else(|| {
        refused(
            args,
            &format!("cannot be created: the file's vectors have {dimension} values, 1 to 4096 are possible"),
        )
    })?;
    let non_filterable = args
        .create
        .non_filterable
        .clone()
        .or(hints.non_filterable)
        .unwrap_or_default();
    Ok(NewIndex {
        dimension,
        metric,
        non_filterable,
    })
}

fn verify(args: &ImportArgs, dimension: Option<usize>, index: &IndexInfo) -> Result<(), ImportError> {
    if let Some(dimension) = dimension.filter(|dimension| *dimension != index.dimension.get()) {
        let has = index.dimension;
        return Err(refused(
            args,
            &format!("has dimension {has}, but the file's vectors have {dimension} values"),
        ));
    }
    if let Some(metric) = args.create.metric.filter(|metric| *metric != index.metric) {
        return Err(refused(args, &format!("compares by {}, not by {metric}", index.metric)));
    }
    let set = |keys: &[String]| keys.iter().cloned().collect::<BTreeSet<_>>();
    if let Some(keys) = args
        .create
        .non_filterable
        .as_ref()
        .filter(|keys| set(keys) != set(&index.non_filterable))
    {
        let has = index.non_filterable.join(",");
        return Err(refused(
            args,
            &format!("has the non-filterable keys {has:?}, not {:?}", keys.join(",")),
        ));
    }
    Ok(())
}
